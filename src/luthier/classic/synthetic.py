"""Rows of a known linear rule, as the linear regression of *Dive into Deep Learning* uses them."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from luthier.classic.nd import NDArray


def synthetic_data(
    w: Sequence[float] = (2.0, -3.4), b: float = 4.2, n: int = 1000, *, noise: float = 0.01, seed: int = 0
) -> tuple[NDArray, NDArray]:
    """Features [n, 2] from N(0, 1) and labels X w + b with noise of this deviation.

    >>> X, y = synthetic_data(n=5)
    >>> X.shape, y.shape
    ((5, 2), (5,))
    """
    generator = torch.Generator().manual_seed(seed)
    X = torch.randn(n, len(w), generator=generator)
    y = X @ torch.tensor(w) + b + noise * torch.randn(n, generator=generator)
    return NDArray(X), NDArray(y)

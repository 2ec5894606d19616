"""Rows of a large table a few thousand at a time, one thread each; numbers are the same for any number of threads."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from luthier.machine import threads, torch_settings
from luthier.rows import Inputs


def in_threads(answer: Callable[..., np.ndarray], *rows: Inputs | Tensor, at_once: int) -> np.ndarray:
    """A function of rows that gives a row for each, of pieces of `at_once` of them.

    >>> in_threads(lambda x: 2 * x.numpy(), torch.arange(5), at_once=2).tolist()
    [0, 2, 4, 6, 8]
    """
    if (rows[0].rows if isinstance(rows[0], Inputs) else len(rows[0])) <= at_once:
        return answer(*rows)
    pieces = zip(
        *(one.pieces(at_once) if isinstance(one, Inputs) else torch.split(one, at_once) for one in rows), strict=True
    )
    with (
        torch_settings(threads=1),
        ThreadPoolExecutor(threads(), initializer=torch.set_num_threads, initargs=(1,)) as pool,
    ):
        return np.concatenate(list(pool.map(lambda piece: answer(*piece), pieces)))

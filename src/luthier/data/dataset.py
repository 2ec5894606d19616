"""Rows as tensors."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Dataset:
    """Encoded rows: `numbers` float64 [N, F] (NaN where missing), `codes` int64 [N, K], `targets` [N] or
    None (class numbers int64, or values float64 on the modelled scale), `weights` float64 [N] with a mean
    of about 1, or None where all rows count alike."""

    numbers: Tensor
    codes: Tensor
    targets: Tensor | None = None
    weights: Tensor | None = None

    def __len__(self) -> int:
        return self.numbers.shape[0]

    def joined(self, other: Dataset) -> Dataset:
        """With other rows after them, which are encoded alike."""
        targets, weights = (
            None if one is None or two is None else torch.cat([one, two])
            for one, two in ((self.targets, other.targets), (self.weights, other.weights))
        )
        numbers, codes = torch.cat([self.numbers, other.numbers]), torch.cat([self.codes, other.codes])
        return Dataset(numbers, codes, targets, weights)

    def rows(self, index: Tensor) -> Dataset:
        """Some of the rows, by number."""
        targets, weights = (None if part is None else part[index] for part in (self.targets, self.weights))
        return Dataset(self.numbers[index], self.codes[index], targets, weights)


def centre_of(targets: Tensor, weights: Tensor | None = None) -> tuple[float, float]:
    """Mean and deviation of a regression's targets [N], of which each counts by its weight [N].

    >>> import torch
    >>> centre_of(torch.tensor([1.0, 4.0]).double(), torch.tensor([2.0, 1.0]).double())
    (2.0, 1.4142135623730951)
    """
    if weights is None:
        return float(targets.mean()), float(targets.std(correction=0))
    shares = (weights / weights.sum()).to(targets.dtype)
    mean = float(shares @ targets)
    return mean, float(shares @ (targets - mean) ** 2) ** 0.5

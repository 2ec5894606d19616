"""Rows as tensors."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Dataset:
    """Encoded rows: `numbers` float64 [N, F] (NaN where missing), `codes` int64 [N, K], `targets` [N] or
    None (class numbers int64, or values float64 on the modelled scale), `weights` float32 [N] or None."""

    numbers: Tensor
    codes: Tensor
    targets: Tensor | None = None
    weights: Tensor | None = None

    def __len__(self) -> int:
        return self.numbers.shape[0]

    def rows(self, index: Tensor) -> Dataset:
        """Some of the rows, by number."""
        targets, weights = (None if part is None else part[index] for part in (self.targets, self.weights))
        return Dataset(self.numbers[index], self.codes[index], targets, weights)

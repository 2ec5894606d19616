"""Means of the target by the level of a category ("target encoding"): counted over training rows, not learnt.

N rows, F folds, L levels, T values of a row's target: one, or a share of each class.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from luthier.errors import ConfigError

TABLE = "targets.{place}.table"
SMOOTHING = 10.0
MANY_LEVELS, MOST_CLASSES = 10, 10  # of a category whose means are worth counting; of a target that has a mean each


@dataclass(frozen=True)
class TargetEncoding:
    """Beside all embeddings come, for each of some code columns, `width` means of the target at the row's level.

    `columns` are those of the codes and `levels` how many each has. The target is a number (or 0 and 1, or an ordered
    level) where `width` is 1; else it is one of `width` classes. Each mean is in deviations of the target from its mean
    over all rows, drawn towards that as by `smoothing` more rows: a level without rows has 0. What a row that is learnt
    from says of itself is left out: means are of the rows of other folds (see `LevelSums`).

    >>> TargetEncoding(columns=(0, 2), levels=(52, 31), width=3).features
    6
    """

    columns: tuple[int, ...]
    levels: tuple[int, ...]
    width: int = 1
    smoothing: float = SMOOTHING

    def __post_init__(self) -> None:
        sizes = (*self.levels, self.width, *(column + 1 for column in self.columns))
        distinct = len(set(self.columns)) == len(self.columns) == len(self.levels) > 0
        if not distinct or min(sizes) < 1 or not self.smoothing >= 0:
            raise ConfigError(
                [
                    "means of the target need a column of codes or several, each with its number of levels, a width of "
                    f"1 and a smoothing of 0 at least; got {self.columns}, {self.levels}, {self.width} and "
                    f"{self.smoothing:g}"
                ]
            )

    @property
    def features(self) -> int:
        """How many values come beside the embeddings."""
        return len(self.columns) * self.width

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of each column's table."""
        return {TABLE.format(place=place): (levels, self.width) for place, levels in enumerate(self.levels)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any] | None) -> TargetEncoding | None:
        """The encoding that `dataclasses.asdict` gave; None of None."""
        if value is None:
            return None
        columns, levels = (tuple(map(int, value[name])) for name in ("columns", "levels"))
        return cls(columns, levels, int(value["width"]), float(value["smoothing"]))


def many_levelled(levels: Sequence[int], outputs: int, loss: str) -> TargetEncoding | None:
    """Means of the target for those of some code columns that have many levels; None where none has.

    >>> many_levelled((4, 52, 31), outputs=3, loss="softmax")
    TargetEncoding(columns=(1, 2), levels=(52, 31), width=3, smoothing=10.0)
    """
    columns = tuple(column for column, count in enumerate(levels) if count >= MANY_LEVELS)
    width = outputs if loss == "softmax" else 1
    if not columns or width > MOST_CLASSES:
        return None
    return TargetEncoding(columns, tuple(levels[column] for column in columns), width)


@dataclass(frozen=True)
class LevelSums:
    """Sums over the rows of each fold and level: of weights [F, L], of targets [F, L, T], of their squares [F, T].

    >>> sums = LevelSums.of(torch.tensor([0, 0, 1]), torch.tensor([1.0, 0.0, 1.0]), levels=3)
    >>> sums.means(smoothing=1.0).T  # (1 - 4/3) / 3, (1 - 2/3) / 2 and 0, each over sqrt(2) / 3
    tensor([[-0.2357,  0.3536,  0.0000]], dtype=torch.float64)
    """

    weights: Tensor
    targets: Tensor
    squares: Tensor

    @classmethod
    def of(
        cls,
        codes: Tensor,
        targets: Tensor,
        *,
        levels: int,
        width: int = 1,
        weights: Tensor | None = None,
        folds: Tensor | None = None,
    ) -> LevelSums:
        """Of codes, targets, weights and folds [N] of rows; targets are numbers, or one of `width` classes."""
        y = targets.double().unsqueeze(1) if width == 1 else F.one_hot(targets, width).double()
        w = torch.ones(len(y), dtype=torch.float64) if weights is None else weights.double()
        folds = torch.zeros_like(codes) if folds is None else folds
        count = int(folds.max()) + 1
        places = folds * levels + codes
        of_level = torch.zeros(count * levels, 1 + width, dtype=torch.float64)
        of_level.index_add_(0, places, torch.cat([w.unsqueeze(1), w.unsqueeze(1) * y], 1))
        squares = torch.zeros(count, width, dtype=torch.float64).index_add_(0, folds, w.unsqueeze(1) * y.square())
        of_level = of_level.view(count, levels, 1 + width)
        return cls(of_level[:, :, 0], of_level[:, :, 1:], squares)

    def means(self, without: Collection[int] = (), *, smoothing: float) -> Tensor:
        """The means [L, T] over the rows outside of some folds, smoothed, in deviations of the target from its mean."""
        kept = [fold for fold in range(len(self.weights)) if fold not in without]
        count, total, square = self.weights[kept].sum(0), self.targets[kept].sum(0), self.squares[kept].sum(0)
        rows = count.sum()
        if not rows > 0:
            return torch.zeros_like(total)
        mean = total.sum(0) / rows
        deviation = (square / rows - mean.square()).clamp_min(0).sqrt()
        spread = torch.where(deviation > 0, deviation, 1.0)
        count = count.unsqueeze(1)
        return (total - count * mean) / (count + smoothing).clamp_min(torch.finfo(count.dtype).tiny) / spread

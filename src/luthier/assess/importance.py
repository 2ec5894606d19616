"""Permutation importance of each column: it is shuffled, and the score measured again. R repeats, N rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from luthier.assess.intervals import score
from luthier.data import Task
from luthier.objective import metric_named
from luthier.seeds import numpy_generator

REPEATS = 5
MOST_ROWS = 1000

Predict = Callable[[Tensor, Tensor], np.ndarray]


def permutation_importance(
    predict: Predict,
    numbers: Tensor,
    codes: Tensor,
    y: np.ndarray,
    metric: str,
    groups: Mapping[str, tuple[list[int], list[int]]],
    *,
    seed: int = 0,
    repeats: int = REPEATS,
    task: Task | None = None,
    weights: np.ndarray | None = None,
) -> list[dict[str, Any]]:
    """How much worse the metric gets when a column's values are shuffled among the rows (Breiman 2001).

    `groups` names, for each column of the table, the places of its numbers and of its codes: they are
    shuffled together. Rows [N] count by `weights`. Returns one row a column, the most important first, with the
    spread over repeats. A column that others can stand in for looks less important than it is. Empty where the metric
    is not defined.

    >>> X = torch.randn(500, 2, generator=torch.Generator().manual_seed(0))
    >>> codes = torch.zeros(500, 0, dtype=torch.int64)
    >>> groups = {"a": ([0], []), "b": ([1], [])}
    >>> found = permutation_importance(lambda x, c: x[:, 0].numpy(), X, codes, X[:, 0].numpy(), "rmse", groups)
    >>> [row["column"] for row in found], found[1]["drop"]
    (['a', 'b'], 0.0)
    """
    rows = min(len(y), MOST_ROWS)
    numbers, codes, y, weights = numbers[:rows], codes[:rows], y[:rows], None if weights is None else weights[:rows]
    sign = metric_named(metric).sign
    best = score(metric, y, predict(numbers, codes), weights, task=task)
    if not np.isfinite(best):
        return []
    result = []
    for name, (indices, coded) in groups.items():
        drops = []
        for repeat in range(repeats):
            order = torch.from_numpy(numpy_generator(seed, "importance", name, repeat).permutation(rows))
            shuffled, recoded = numbers.clone(), codes.clone()
            shuffled[:, indices] = numbers[order][:, indices]
            recoded[:, coded] = codes[order][:, coded]
            drops.append(sign * (best - score(metric, y, predict(shuffled, recoded), weights, task=task)))
        result.append({"column": name, "drop": float(np.mean(drops)), "spread": float(np.std(drops, ddof=1))})
    return sorted(result, key=lambda row: -row["drop"])

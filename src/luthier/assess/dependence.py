"""What a model answers when one column is set to a value in every row: partial dependence (Friedman 2001)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from luthier.records import Measure

MOST_ROWS = 500
ENDS = (0.1, 0.9)  # of the rows' own answers
Predict = Callable[[Tensor, Tensor], np.ndarray]


def partial_dependence(
    predict: Predict,
    numbers: Tensor,
    codes: Tensor,
    *,
    number: int | None = None,
    code: int | None = None,
    values: Sequence[float],
) -> list[list[Measure]]:
    """For each value that the column is set to, the mean answer [C] over rows, between the rows' tenth and ninetieth.

    The column is the place of a `number` [N, F] or of a `code` [N, K]; `predict` gives [N] or [N, C]. Where columns
    hang together, rows are made that nobody has: read it beside the importance, not alone.

    >>> X = torch.tensor([[0.0, 1.0], [1.0, 3.0]])
    >>> codes = torch.zeros(2, 0, dtype=torch.int64)
    >>> found = partial_dependence(lambda x, c: (x[:, 0] + x[:, 1]).numpy(), X, codes, number=0, values=[5.0])
    >>> found[0][0].value
    7.0
    """
    numbers, codes = numbers[:MOST_ROWS], codes[:MOST_ROWS]
    result = []
    for value in values:
        changed, recoded = numbers.clone(), codes.clone()
        if number is not None:
            changed[:, number] = torch.tensor(value, dtype=numbers.dtype)
        if code is not None:
            recoded[:, code] = int(value)
        answers = predict(changed, recoded)
        answers = answers.reshape(len(answers), -1)
        low, high = np.quantile(answers, ENDS, axis=0)
        result.append(
            [
                Measure("answer", float(m), float(a), float(b), len(answers))
                for m, a, b in zip(answers.mean(0), low, high, strict=True)
            ]
        )
    return result

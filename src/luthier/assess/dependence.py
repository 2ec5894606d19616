"""What a model answers when one column is set to a value in every row: partial dependence (Friedman 2001)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from torch import Tensor

from luthier.records import Measure
from luthier.rows import Inputs

MOST_ROWS = 500
ENDS = (0.1, 0.9)  # of the rows' own answers
Predict = Callable[[Inputs], np.ndarray]


def partial_dependence(
    predict: Predict,
    inputs: Inputs,
    *,
    number: int | None = None,
    code: int | None = None,
    values: Sequence[float],
) -> list[list[Measure]]:
    """For each value that the column is set to, the mean answer [C] over rows, between the rows' tenth and ninetieth.

    The column is the place of a `number` [N, F] or of a `code` [N, K]; `predict` gives [N] or [N, C]. Where columns
    hang together, rows are made that nobody has: read it beside the importance, not alone.

    >>> import torch
    >>> X = torch.tensor([[0.0, 1.0], [1.0, 3.0]])
    >>> found = partial_dependence(lambda x: x.numbers.sum(1).numpy(), Inputs(numbers=X), number=0, values=[5.0])
    >>> found[0][0].value
    7.0
    """
    inputs = inputs.map(lambda value: value[:MOST_ROWS])
    result = []
    for value in values:
        changed = inputs.map(Tensor.clone)
        if number is not None:
            changed.numbers[:, number] = value
        if code is not None:
            changed.codes[:, code] = int(value)
        answers = predict(changed)
        answers = answers.reshape(len(answers), -1)
        low, high = np.quantile(answers, ENDS, axis=0)
        result.append(
            [
                Measure("answer", float(m), float(a), float(b), len(answers))
                for m, a, b in zip(answers.mean(0), low, high, strict=True)
            ]
        )
    return result

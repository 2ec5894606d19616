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
    ends_of: int = 0,
) -> list[list[Measure]]:
    """For each value that the column is set to, the mean answer [C] over rows, between the rows' tenth and ninetieth.
    These ends are of all answers, or of so many, those that change most from value to value: of a thousand classes they
    take longer than to predict.

    The column is the place of a `number` [N, F] or of a `code` [N, K]; `predict` gives [N] or [N, C]. Where columns
    hang together, rows are made that nobody has: read it beside the importance, not alone.

    >>> import torch
    >>> X = torch.tensor([[0.0, 1.0], [1.0, 3.0]])
    >>> found = partial_dependence(lambda x: x.numbers.sum(1).numpy(), Inputs(numbers=X), number=0, values=[5.0])
    >>> found[0][0].value
    7.0
    """
    inputs = inputs.map(lambda value: value[:MOST_ROWS])
    answers = list[np.ndarray]()
    for value in values:
        changed = inputs.map(Tensor.clone)
        if number is not None:
            changed.numbers[:, number] = value
        if code is not None:
            changed.codes[:, code] = int(value)
        found = predict(changed)
        answers.append(found.reshape(len(found), -1))
    means = np.stack([one.mean(0) for one in answers])
    ends = np.full((len(ENDS), *means.shape), np.nan)
    shown = _changed_most(means, ends_of)
    for place, one in enumerate(answers):
        ends[:, place, shown] = np.quantile(one[:, shown], ENDS, axis=0)
    return [
        [Measure("answer", float(m), float(a), float(b), len(answers[0])) for m, a, b in zip(*of_value, strict=True)]
        for of_value in zip(means, *ends, strict=True)
    ]


def _changed_most(means: np.ndarray, count: int) -> np.ndarray:
    """Which of C answers differ most between values [V, C]: so many, and those that differ as much; 0: all.

    >>> _changed_most(np.array([[0.0, 1.0, 2.0], [1.0, 1.0, 4.0]]), 1).tolist()
    [False, False, True]
    """
    ranges = np.ptp(means, axis=0)
    least = np.sort(ranges)[-count] if 0 < count < len(ranges) else -np.inf
    return np.asarray(ranges >= least)

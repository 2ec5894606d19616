"""What a model of numbers says of a row beside its answer: the ends of its interval, and quantiles.

N rows, Q quantiles; values are on the target's own scale.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from luthier.assess import RowIntervals, RowQuantiles
from luthier.data import Encoder, Prepare, Task
from luthier.data.target_transform import TargetTransform
from luthier.errors import InputError
from luthier.rows import Inputs

OfRows = Callable[[Tensor, Tensor, Tensor], np.ndarray]  # features, codes and standardised predictions of rows


class ModelOfNumbers(Protocol):
    """What is asked of a model here."""

    @property
    def task(self) -> Task: ...
    @property
    def encoder(self) -> Encoder: ...
    @property
    def preprocess(self) -> Prepare: ...
    @property
    def transform(self) -> TargetTransform: ...
    @property
    def half_width(self) -> float: ...
    @property
    def row_intervals(self) -> RowIntervals | None: ...
    @property
    def row_quantiles(self) -> RowQuantiles | None: ...
    def averaged(self, inputs: Inputs) -> np.ndarray: ...
    def in_pieces(self, answer: Callable[..., np.ndarray], *rows: Any) -> np.ndarray: ...


def middles(model: ModelOfNumbers, values: np.ndarray, inputs: Inputs) -> np.ndarray:
    """Where predictions lie on the modelled scale [N], of encoded rows with these answers [N]."""
    if model.transform.rounds:  # answers do not say where the predictions lie
        return model.transform.modelled(model.in_pieces(model.averaged, inputs)[:, 0])
    return model.transform.centre(values)


def interval_ends(model: ModelOfNumbers, values: np.ndarray, inputs: Inputs) -> tuple[np.ndarray, np.ndarray]:
    """The ends of the 90 % intervals around the predicted values [N] of encoded rows."""
    middle, by_row = middles(model, values, inputs), model.row_intervals
    if by_row is None:
        return model.transform.around(middle, -model.half_width, model.half_width)
    ends = _of_rows(model, lambda *rows: np.stack(by_row.offsets(*rows), 1), middle, inputs)
    return model.transform.around(middle, *ends.T)


def quantile_values(model: ModelOfNumbers, values: np.ndarray, inputs: Inputs) -> np.ndarray:
    """The quantiles [N, Q] of encoded rows with the predicted values [N]. InputError for a model without any."""
    if model.row_quantiles is None:
        raise InputError("this model knows no quantiles of a row", remedy="fit it with --quantiles 0.1,0.5,0.9")
    middle = middles(model, values, inputs)
    residuals = _of_rows(model, model.row_quantiles.residuals, middle, inputs)
    found = model.transform.beside(middle[:, None], residuals)
    return np.asarray(np.round(found) if model.task.traits.whole else found)


def _of_rows(model: ModelOfNumbers, of: OfRows, middle: np.ndarray, inputs: Inputs) -> np.ndarray:
    """What a network beside the model says of encoded rows whose predictions lie there on the modelled scale [N]."""

    def some(inputs: Inputs, outputs: Tensor) -> np.ndarray:
        ready = model.preprocess.prepared(inputs)
        return of(ready.numbers, ready.codes, outputs)

    return model.in_pieces(some, inputs, torch.from_numpy(model.transform.standardise(middle)))

"""Metrics of one's own, from Python: a function, or a scikit-learn scorer. They live as long as the program."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from luthier.errors import InputError
from luthier.objective.metrics import OWN, PREFIX, Metric

NEEDS = ("answer", "probabilities")
EVERY_KIND = ("regression", "binary", "multiclass")


def own_metric(function: Any, *, greater_is_better: bool | None = None, needs: str = "answer") -> str:
    """Make a metric of a function, and return the name by which `metric=` asks for it.

    `function(y, prediction)`, or `function(y, prediction, weights)`, gives a float, or raises ValueError where it is
    not defined; `greater_is_better` says which way is better. Classes are their numbers, in the order of the model's
    classes; with `needs="probabilities"` a prediction is [N, C]. A function without weights sees rows of unequal weight
    drawn again by these. A scikit-learn scorer says itself which way is better and what it needs. InputError for
    anything else.

    >>> def wasted(y, prediction):
    ...     return float((prediction - y).clip(0).mean())
    >>> own_metric(wasted, greater_is_better=False)
    'own wasted'
    """
    scorer = getattr(function, "_score_func", None)
    if scorer is not None:
        return _kept(_of_scorer(function))
    if not callable(function) or greater_is_better is None:
        raise InputError(
            "a metric of your own is a function, and says which way is better",
            expected="own_metric(function, greater_is_better=True), or a scikit-learn scorer",
            received=f"greater_is_better={greater_is_better}" if callable(function) else type(function).__name__,
        )
    if needs not in NEEDS:
        raise InputError(f"needs='{needs}' is not something a metric can ask for", expected=" or ".join(NEEDS))
    weighed = len(inspect.signature(function).parameters) > 2
    return _kept(_metric(_name_of(function), function, weighed, greater_is_better, needs == "answer"))


def _kept(metric: Metric) -> str:
    OWN[metric.name] = metric
    return metric.name


def _name_of(function: Any) -> str:
    name = getattr(function, "__name__", type(function).__name__).replace("<lambda>", "lambda")
    return f"{PREFIX}{name.replace(',', ' ')}"


def _of_scorer(scorer: Any) -> Metric:
    """A scorer's score function on what its response method gives; of two classes that is the second's column."""
    given, options, sign = scorer._score_func, scorer._kwargs, scorer._sign
    methods = scorer._response_method
    of_classes = methods == "predict" or methods is None
    weighed = "sample_weight" in inspect.signature(given).parameters

    def function(y: np.ndarray, prediction: np.ndarray, weights: np.ndarray) -> float:
        seen = prediction[:, 1] if prediction.ndim == 2 and prediction.shape[1] == 2 else prediction
        return float(given(y, seen, **options, **({"sample_weight": weights} if weighed else {})))

    return _metric(_name_of(given), function, True, sign > 0, of_classes, resampled=not weighed)


def _metric(
    name: str,
    function: Callable[..., float],
    weighed: bool,
    larger_is_better: bool,
    of_classes: bool,
    resampled: bool | None = None,
) -> Metric:
    resampled = not weighed if resampled is None else resampled

    def value(y: Tensor, P: Tensor, W: Tensor, positive: int) -> Tensor:
        predictions = P.argmax(-1) if of_classes and P.ndim == 3 else P
        result = [
            [_scored(name, function, weighed, resampled, y.numpy(), p.numpy(), w.double().numpy()) for w in W]
            for p in predictions
        ]
        return torch.tensor(result, dtype=W.dtype)

    kinds = EVERY_KIND if of_classes else EVERY_KIND[1:]
    return Metric(value, larger_is_better, kinds, of_classes=of_classes, name=name, least=-np.inf)


def _scored(
    name: str,
    function: Callable[..., float],
    weighed: bool,
    resampled: bool,
    y: np.ndarray,
    prediction: np.ndarray,
    weights: np.ndarray,
) -> float:
    """The score of rows of a weight above 0; NaN where the function says with a ValueError that there is none."""
    rows = np.flatnonzero(weights > 0)
    if resampled and len(rows) and np.ptp(weights[rows]) > 0:
        total = np.cumsum(weights)
        rows = np.searchsorted(total, (np.arange(len(rows)) + 0.5) / len(rows) * total[-1])
    try:
        return float(function(y[rows], prediction[rows], *((weights[rows],) if weighed else ())))
    except ValueError:
        return float("nan")
    except Exception as error:
        raise InputError(
            f"your metric '{name.removeprefix(PREFIX)}' cannot be computed", received=f"{type(error).__name__}: {error}"
        ) from error

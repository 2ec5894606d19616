"""The one number that a metric wants of a row whose value is uncertain: pure functions of equally likely values.

Y [N, Q] are N rows' values of equal chance; an answer is [N]. Which answer a metric has the best expectation with is in
`answer_for`: the mean of squared errors, the median of absolute ones, and so on.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np

from luthier.errors import InputError
from luthier.messages import Message
from luthier.objective import spelled
from luthier.objective.metrics import PREFIX

ROUNDS = 12  # of the search for the least symmetric error: by halves down to a 4000th of the range


def mean(Y: np.ndarray) -> np.ndarray:
    """The mean: least squared error, and least Poisson deviance."""
    return np.asarray(Y.mean(1))


def median(Y: np.ndarray) -> np.ndarray:
    """The median: least absolute error."""
    return np.asarray(np.median(Y, 1))


def quantile(Y: np.ndarray, q: float) -> np.ndarray:
    """The quantile q: least pinball loss."""
    return np.asarray(np.quantile(Y, q, axis=1, method="hazen"))


def relative_median(Y: np.ndarray) -> np.ndarray:
    """The median where values count by 1 / |y|: least absolute percentage error.

    >>> relative_median(np.array([[1.0, 2.0, 4.0, 8.0]]))
    array([1.])
    """
    Y = np.sort(Y, 1)
    counted = np.cumsum(1 / np.maximum(np.abs(Y), 1e-300), 1)
    place = (counted < counted[:, -1:] / 2).sum(1)
    return np.asarray(Y[np.arange(len(Y)), place])


def mean_of_logarithms(Y: np.ndarray) -> np.ndarray:
    """exp of the mean of log(1 + y), less 1: least squared logarithmic error."""
    return np.asarray(np.expm1(np.log1p(np.maximum(Y, -1 + 1e-6)).mean(1)))


def middle_of_shortest_half(Y: np.ndarray) -> np.ndarray:
    """The middle of the shortest interval that holds half of the values: least median absolute error (Rousseeuw 1984).

    >>> middle_of_shortest_half(np.array([[0.0, 1.0, 1.2, 1.4, 9.0]]))
    array([1.2])
    """
    Y = np.sort(Y, 1)
    inside = Y.shape[1] // 2 + 1
    widths = Y[:, inside - 1 :] - Y[:, : Y.shape[1] - inside + 1]
    first, rows = widths.argmin(1), np.arange(len(Y))
    return np.asarray((Y[rows, first] + Y[rows, first + inside - 1]) / 2)


def least_symmetric_error(Y: np.ndarray) -> np.ndarray:
    """The value with the least expected symmetric percentage error; found on a grid that narrows."""
    low, high = Y.min(1), Y.max(1)
    for _ in range(ROUNDS):
        tried = np.linspace(low, high, 9, axis=1)  # [N, 9]
        size = np.maximum(np.abs(tried)[..., None] + np.abs(Y)[:, None], 1e-300)
        errors = (np.abs(tried[..., None] - Y[:, None]) / size).mean(2)
        best, rows = errors.argmin(1), np.arange(len(Y))
        low, high = tried[rows, np.maximum(best - 1, 0)], tried[rows, np.minimum(best + 1, 8)]
    return np.asarray((low + high) / 2)


ANSWERS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "mean": mean,
    "median": median,
    "relative median": relative_median,
    "mean of logarithms": mean_of_logarithms,
    "middle of the shortest half": middle_of_shortest_half,
    "least symmetric error": least_symmetric_error,
}
_WANTED = {
    "mae": "median",
    "mape": "relative median",
    "rmsle": "mean of logarithms",
    "msle": "mean of logarithms",
    "median absolute error": "middle of the shortest half",
    "smape": "least symmetric error",
}


def answer_for(metric: str) -> str:
    """The name of the answer that a metric of numbers asks for.

    >>> answer_for("mae"), answer_for("pinball-0.9"), answer_for("r2")
    ('median', 'q0.9', 'mean')
    """
    name = spelled(metric)
    if name.startswith("pinball "):
        return f"q{name.removeprefix('pinball ')}"
    return _WANTED.get(name, "mean")


def baseline_loss(metric: str) -> tuple[str, float]:
    """What gradient-boosted trees of scikit-learn minimise where a metric decides: its name there, and the quantile.

    >>> baseline_loss("mae"), baseline_loss("pinball 0.9"), baseline_loss("poisson deviance"), baseline_loss("auc")
    (('absolute_error', 0.5), ('quantile', 0.9), ('poisson', 0.5), ('squared_error', 0.5))
    """
    answer = answer_for(metric)
    if answer.startswith("q"):
        return "quantile", float(answer[1:])
    if spelled(metric).startswith(("poisson deviance", "tweedie deviance")):
        return "poisson", 0.5  # scikit-learn's trees have no Tweedie loss
    return ("squared_error" if answer in ("mean", "mean of logarithms") else "absolute_error"), 0.5


def losses_asked(metric: str) -> tuple[str, ...]:
    """The losses worth asking where a metric of numbers decides: the one that its answer is the best constant of, then
    squared error; none where squared error alone is.

    >>> losses_asked("mae"), losses_asked("pinball 0.9"), losses_asked("rmse")
    (('mae', 'mse'), ('quantiles 0.9', 'mse'), ())
    """
    if metric.startswith(PREFIX):
        return ()
    answer = answer_for(metric)
    if answer.startswith("q"):
        return f"quantiles {answer[1:]}", "mse"
    return ("mae", "mse") if answer in ("median", "relative median", "least symmetric error") else ()


def answer_named(name: str) -> Callable[[np.ndarray], np.ndarray]:
    """The function behind an answer's name; InputError for one that is not there.

    >>> answer_named("q0.25")(np.array([[0.0, 1.0, 2.0, 3.0]]))
    array([0.5])
    """
    if name in ANSWERS:
        return ANSWERS[name]
    given = re.fullmatch(r"q(0?\.\d+)", name)
    if given and 0 < float(given[1]) < 1:
        return lambda Y: quantile(Y, float(given[1]))
    raise InputError(
        Message("'{name}' is not an answer of a model of numbers", name=name[:60]),
        expected=Message("{names}, or a quantile such as q0.9", names=", ".join(ANSWERS)),
    )

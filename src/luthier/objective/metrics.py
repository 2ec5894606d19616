"""The one table of scores, for the engine and for every judgement, equal to scikit-learn's with its defaults.

M predictions, R ways of weighing the rows, N rows, C classes. y [N] are class numbers or values; P are probabilities
[M, N, C], or values [M, N]; W [R, N] says how much a row counts, where 0 is as good as not being there (a resample is
such a way). Of labels y are 0 and 1 [N, C], and P each one's probability, which is taken from 0.5 on. A score is
[M, R], and NaN where it cannot be worked out: no row, an area under the curve with one class
alone, R2 of one row, F1 of a class that neither is there nor is predicted.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from luthier.errors import ConfigError, InputError, nearest
from luthier.kinds import KINDS
from luthier.objective import class_scores as classes
from luthier.objective import value_scores as values
from luthier.objective.targets import check_indicators, check_labels, check_values

Value = Callable[[Tensor, Tensor, Tensor, int], Tensor]
RowLosses = Callable[[Tensor, Tensor], Tensor]


class Metric(NamedTuple):
    """A score: `value(y, P, W, positive)` is [M, R], where `positive` is the class that counts of two.

    Where it is the mean of rows' losses, to the power `power`, `loss(y, P)` gives these [M, N]. One of your own goes by
    its `name`, and `kinds` are "binary", "multiclass", "labels" or "regression". A score `of_law` sees equally likely
    values [M, N, Q] of each row in place of one.
    """

    value: Value
    larger_is_better: bool
    kinds: tuple[str, ...]
    of_classes: bool = False  # it looks at the classes that are taken, not at their probabilities
    of_one_class: bool = False  # of two classes it is the score of the positive one
    loss: RowLosses | None = None
    power: float = 1.0
    name: str = ""
    usual: bool = False  # it is reported of every model
    of_law: bool = False
    least: float = 0.0  # what it cannot lie below, where larger is better
    smooth: bool = True  # leaving out a row changes it in proportion

    def of_outputs(self, Z: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
        """The score of each member's outputs [M]: Z [M, N, C] are logits, or values.

        Several values a row count alike; R2 weighs them by their variance.
        """
        W = (
            torch.ones(1, Z.shape[1], dtype=torch.float64, device=Z.device)
            if weights is None
            else weights.double()[None]
        )
        if "regression" not in self.kinds:
            P = Z.double().sigmoid() if targets.ndim == 2 else _probabilities(Z.double())
            return self.value(targets.long(), P, W, 1)[:, 0]
        P, y = Z.double(), (targets if targets.ndim == 2 else targets.unsqueeze(-1)).double()
        if self.loss is None:  # each value around its own mean: then all of them are one long column
            centre = (W @ y / W.sum())[0]
            P, y = P - centre, y - centre
        several = W.repeat_interleave(y.shape[1], 1)
        return self.value(y.flatten(), P.flatten(1), several, 1)[:, 0]

    @property
    def sign(self) -> float:
        """By which it is multiplied so that more is better."""
        return 1.0 if self.larger_is_better else -1.0


def _probabilities(Z: Tensor) -> Tensor:
    """Of every class; one output of a binary network stands against 0."""
    return Z.softmax(-1) if Z.shape[-1] > 1 else torch.cat([(-Z).sigmoid(), Z.sigmoid()], -1)


_TWO, _CLASSES, _VALUES, _LABELS = ("binary",), ("binary", "multiclass"), ("regression",), ("labels",)


def _mean_of(loss: RowLosses, kinds: tuple[str, ...], power: float = 1.0, usual: bool = False) -> Metric:
    def value(y: Tensor, P: Tensor, W: Tensor, positive: int) -> Tensor:
        return classes.mean_of_rows(loss(y, P), W) ** power

    return Metric(value, False, kinds, loss=loss, power=power, usual=usual)


def _of_classes(value: Value, usual: bool = False, of_one_class: bool = False, least: float = 0.0) -> Metric:
    return Metric(value, True, _CLASSES, of_classes=True, of_one_class=of_one_class, usual=usual, least=least)


def _of_curve(value: Value, usual: bool = False, smooth: bool = True) -> Metric:
    return Metric(value, True, _TWO, of_one_class=True, usual=usual, smooth=smooth)


def _among_first(k: int) -> Metric:
    def value(y: Tensor, P: Tensor, W: Tensor, positive: int) -> Tensor:
        return 1 - classes.mean_of_rows(classes.not_among_first(y, P, k), W)

    return Metric(value, True, ("multiclass",))


def _pinball(q: float) -> Metric:
    return _mean_of(partial(values.pinball, q), _VALUES)


def _tweedie(power: float) -> Metric:
    return _mean_of(partial(values.tweedie, power), _VALUES)


_BUILT = {
    "accuracy": _of_classes(classes.accuracy, usual=True),
    "balanced accuracy": _of_classes(classes.balanced_accuracy, usual=True),
    "f1": _of_classes(classes.f1, usual=True, of_one_class=True),
    "f1 macro": _of_classes(classes.f1_macro)._replace(kinds=(*_CLASSES, *_LABELS)),
    "f1 weighted": _of_classes(classes.f1_weighted)._replace(kinds=(*_CLASSES, *_LABELS)),
    "f1 micro": _of_classes(classes.f1_micro, usual=True)._replace(kinds=_LABELS),
    "hamming loss": _mean_of(classes.wrong_labels, _LABELS, usual=True)._replace(of_classes=True),
    "label ranking loss": _mean_of(classes.wrong_order, _LABELS, usual=True),
    "label ranking average precision": Metric(classes.ranking_precision, True, _LABELS, usual=True),
    "mcc": _of_classes(classes.mcc, least=-1.0),
    "kappa": _of_classes(classes.kappa, least=-1.0),
    "quadratic kappa": _of_classes(classes.quadratic_kappa, least=-1.0),
    "top 5 accuracy": _among_first(5),
    "log loss": _mean_of(classes.surprise, (*_CLASSES, *_LABELS), usual=True),
    "brier": _mean_of(classes.brier, _CLASSES),
    "auc": _of_curve(classes.auc, usual=True),
    "auc ovr": Metric(classes.auc_against_rest, True, ("multiclass",)),
    "average precision": _of_curve(classes.average_precision),
    "precision at recall 0.8": _of_curve(partial(classes.precision_at, 0.8), smooth=False),
    "recall at precision 0.8": _of_curve(partial(classes.recall_at, 0.8), smooth=False),
    "rmse": _mean_of(values.square, _VALUES, power=0.5, usual=True),
    "mse": _mean_of(values.square, _VALUES),
    "mae": _mean_of(values.absolute, _VALUES, usual=True),
    "median absolute error": Metric(values.median_absolute, False, _VALUES, smooth=False),
    "mape": _mean_of(values.percentage, _VALUES),
    "smape": _mean_of(values.symmetric_percentage, _VALUES),
    "rmsle": _mean_of(values.square_of_logarithms, _VALUES, power=0.5),
    "msle": _mean_of(values.square_of_logarithms, _VALUES),
    "r2": Metric(values.r2, True, _VALUES, usual=True, least=-float("inf")),
    "pinball 0.5": _pinball(0.5),
    "poisson deviance": _mean_of(values.poisson, _VALUES),
    "tweedie deviance 1.5": _tweedie(1.5),
    "crps": _mean_of(values.ranked_probability, _VALUES)._replace(of_law=True),
}
# Those whose name ends in a number that may be another, and its bounds.
_FAMILIES: dict[str, tuple[Callable[[float], Metric], float, float]] = {
    "top {} accuracy": (lambda k: _among_first(int(k)), 1, 1000),
    "precision at recall {}": (lambda r: _of_curve(partial(classes.precision_at, r), smooth=False), 0.0, 1.0),
    "recall at precision {}": (lambda p: _of_curve(partial(classes.recall_at, p), smooth=False), 0.0, 1.0),
    "pinball {}": (_pinball, 0.0, 1.0),
    "tweedie deviance {}": (_tweedie, 1.0, 2.0),
}
METRICS: dict[str, Metric] = {name: metric._replace(name=name) for name, metric in _BUILT.items()}
# What a training may watch beside these; a network alone gives one value a row.
WATCHED: dict[str, Metric] = {
    **{name: metric for name, metric in METRICS.items() if not metric.of_law},
    "error rate": Metric(
        lambda *given: 1 - classes.accuracy(*given), False, _CLASSES, of_classes=True, name="error rate"
    ),
}
# Other spellings, scikit-learn's among them, after `_plain`.
SPELLINGS = {
    "acc": "accuracy",
    "bacc": "balanced accuracy",
    "f1 binary": "f1",
    "matthews corrcoef": "mcc",
    "cohen kappa": "kappa",
    "cohen kappa score": "kappa",
    "qwk": "quadratic kappa",
    "quadratic weighted kappa": "quadratic kappa",
    "top k accuracy": "top 5 accuracy",
    "logloss": "log loss",
    "cross entropy": "log loss",
    "hamming": "hamming loss",
    "micro f1": "f1 micro",
    "macro f1": "f1 macro",
    "lrap": "label ranking average precision",
    "label ranking average precision score": "label ranking average precision",
    "brier score": "brier",
    "brier score loss": "brier",
    "roc auc": "auc",
    "roc auc ovr": "auc ovr",
    "pr auc": "average precision",
    "root mean squared error": "rmse",
    "mean squared error": "mse",
    "mean absolute error": "mae",
    "mean absolute percentage error": "mape",
    "symmetric mean absolute percentage error": "smape",
    "root mean squared log error": "rmsle",
    "mean squared log error": "msle",
    "mean pinball loss": "pinball 0.5",
    "pinball": "pinball 0.5",
    "mean poisson deviance": "poisson deviance",
    "poisson": "poisson deviance",
    "mean tweedie deviance": "tweedie deviance 1.5",
    "tweedie deviance": "tweedie deviance 1.5",
    "tweedie": "tweedie deviance 1.5",
    "precision at recall": "precision at recall 0.8",
    "recall at precision": "recall at precision 0.8",
}


PREFIX = "own "  # of the name of a metric of one's own; they are kept in `OWN`
OWN: dict[str, Metric] = {}


def _plain(name: str) -> str:
    words = re.sub(r"[\s_-]+", " ", name.strip().lower())
    return re.sub(r"^top(\d+)", r"top \1", words.removeprefix("neg "))


def spelled(name: str) -> str:
    """The table's name of a metric, however it is written; an unknown name as it is.

    >>> spelled("neg_mean_absolute_error"), spelled("top-3-accuracy"), spelled("pinball-0.90")
    ('mae', 'top 3 accuracy', 'pinball 0.9')
    """
    if name.strip().startswith(PREFIX):
        return name.strip()
    plain = _plain(name)
    plain = SPELLINGS.get(plain, plain)
    if plain in METRICS:
        return plain
    for family in _FAMILIES:
        given = re.fullmatch(family.replace("{}", r"(\d+(?:\.\d+)?)"), plain)
        if given:
            return family.format(f"{float(given[1]):g}")
    return plain if plain in WATCHED else name


def metric_named(metric: str | Metric) -> Metric:
    """The metric of that name, or the metric itself. ConfigError for a name that is not there.

    >>> metric_named("roc_auc").name, metric_named("pinball 0.9").larger_is_better
    ('auc', False)
    """
    if isinstance(metric, Metric):
        return metric
    name = spelled(metric)
    if name in OWN:
        return OWN[name]
    if name.startswith(PREFIX):
        how = "from Python, luthier.own_metric(function, greater_is_better=...) makes it known"
        raise ConfigError([f"{name}: a metric of your own, which this program does not know; {how}"])
    if name in METRICS or name in WATCHED:
        return METRICS.get(name) or WATCHED[name]
    for family, (built, low, high) in _FAMILIES.items():
        given = re.fullmatch(family.replace("{}", r"(.+)"), name)
        if given:
            number = float(given[1])
            if not (low < number < high or (low == number == 1)):
                raise ConfigError([f"{name}: the number must lie between {low:g} and {high:g}, not {given[1]}"])
            return built(number)._replace(name=name)
    raise ConfigError([f"'{metric}' is not one of {', '.join(WATCHED)}; {nearest(name, WATCHED)}".rstrip("; ")])


def metrics_of(kind: str) -> list[str]:
    """The names of the metrics that can be asked of a kind of task.

    >>> "auc" in metrics_of("binary"), "auc" in metrics_of("multiclass")
    (True, False)
    """
    family = KINDS[kind].family
    return [name for name, metric in METRICS.items() if family in metric.kinds]


def check_metric(name: str | Metric, outputs: int, targets: Tensor) -> None:
    """Raise InputError where a metric cannot be measured on targets [N] or [N, K] of a network with so many outputs."""
    metric = metric_named(name)
    if "labels" in metric.kinds and targets.ndim == 2:
        check_indicators(outputs, targets)
    elif "regression" not in metric.kinds:
        check_labels(max(2, outputs), targets)
    else:
        check_values(outputs, targets)
    if metric.kinds == _TWO and outputs > 2:
        what = "the area under the curve" if metric.name == "auc" else metric.name
        raise InputError(f"{what} is of two classes", received=f"a network of {outputs} outputs")

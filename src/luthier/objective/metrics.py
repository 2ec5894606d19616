"""The one table of scores, for the engine and for every judgement, equal to scikit-learn's with its defaults.

M predictions, R ways of weighing the rows, N rows, C classes. y [N] are class numbers or values; P are probabilities
[M, N, C], or values [M, N]; W [R, N] says how much a row counts, where 0 is as good as not being there (a resample is
such a way). A score is [M, R], and NaN where it cannot be worked out: no row, an area under the curve with one class
alone, R2 of one row, F1 of a class that neither is there nor is predicted.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from luthier.errors import InputError
from luthier.objective.targets import check_labels, check_values

AT_ONCE = 4_000_000  # numbers of a temporary matrix

Value = Callable[[Tensor, Tensor, Tensor, int], Tensor]


class Metric(NamedTuple):
    """A score: `value(y, P, W, positive)` is [M, R], where `positive` is the class that counts of two.

    Where it is the mean of rows' losses, to the power `power`, `loss(y, P)` gives these [M, N]. One of your own goes by
    its `name`, and `kinds` are "binary", "multiclass" or "regression".
    """

    value: Value
    larger_is_better: bool
    kinds: tuple[str, ...]
    of_classes: bool = False  # it looks at the classes that are taken, not at their probabilities
    of_one_class: bool = False  # of two classes it is the score of the positive one
    loss: Callable[[Tensor, Tensor], Tensor] | None = None
    power: float = 1.0
    name: str = ""

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
            return self.value(targets.long(), _probabilities(Z.double()), W, 1)[:, 0]
        values, y = Z.double(), (targets if targets.ndim == 2 else targets.unsqueeze(-1)).double()
        centre = (W @ y / W.sum())[0]  # each value around its own mean: then all of them are one long column
        several = W.repeat_interleave(y.shape[1], 1)
        return self.value((y - centre).flatten(), (values - centre).flatten(1), several, 1)[:, 0]


def _probabilities(Z: Tensor) -> Tensor:
    """Of every class; one output of a binary network stands against 0."""
    return Z.softmax(-1) if Z.shape[-1] > 1 else torch.cat([(-Z).sigmoid(), Z.sigmoid()], -1)


def _mean(rows: Tensor, W: Tensor) -> Tensor:
    return rows.to(W.dtype) @ W.T / W.sum(1)


def _accuracy(y: Tensor, P: Tensor, W: Tensor, positive: int) -> Tensor:
    return _mean(P.argmax(-1) == y, W)


def _surprise(y: Tensor, P: Tensor) -> Tensor:
    """Minus the logarithm of the true class's probability, kept an epsilon from 0 and 1."""
    given = P.gather(-1, y.expand(P.shape[:-1]).unsqueeze(-1)).squeeze(-1)
    smallest = torch.finfo(P.dtype).eps
    return -given.clamp(smallest, 1 - smallest).log()


def _auc(y: Tensor, P: Tensor, W: Tensor, positive: int) -> Tensor:
    """Area under the ROC curve: the chance that a positive row scores above a negative one, ties half."""
    return torch.stack([_area(scores, y == positive, W) for scores in P[..., positive]])


def _area(scores: Tensor, is_positive: Tensor, W: Tensor) -> Tensor:
    _, rank = torch.unique(scores, return_inverse=True)
    nothing = W.new_zeros(int(rank.max()) + 1 if len(rank) else 0, len(W))
    above = nothing.index_add(0, rank[is_positive], W.T[is_positive])
    below = nothing.index_add(0, rank[~is_positive], W.T[~is_positive])
    wins = (above * (below.cumsum(0) - 0.5 * below)).sum(0)
    return wins / (above.sum(0) * below.sum(0))


def _by_class(y: Tensor, P: Tensor, W: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """How many rows of each class were right, belong to it, and were taken for it: [M, R, C], [R, C], [M, R, C]."""
    one = torch.eye(P.shape[-1], dtype=W.dtype, device=W.device)
    there, taken = one[y], one[P.argmax(-1)]
    return W @ (there * taken), W @ there, W @ taken


def _balanced_accuracy(y: Tensor, P: Tensor, W: Tensor, positive: int) -> Tensor:
    """Mean over the classes that are there of the share of their rows that is right."""
    right, there, _ = _by_class(y, P, W)
    return (right / there).nanmean(-1)


def _f1(y: Tensor, P: Tensor, W: Tensor, positive: int) -> Tensor:
    """Harmonic mean of precision and recall: of the positive class of two, else the mean over classes that are there or
    predicted."""
    right, there, taken = _by_class(y, P, W)
    scores = 2 * right / (there + taken)
    return scores[..., positive] if P.shape[-1] == 2 else scores.nanmean(-1)


def _absolute(y: Tensor, P: Tensor) -> Tensor:
    return (P - y).abs()


def _square(y: Tensor, P: Tensor) -> Tensor:
    return (P - y).square()


def _r2(y: Tensor, P: Tensor, W: Tensor, positive: int) -> Tensor:
    """1 where every value is met, 0 for the mean; of equal values 1 where they are met, else 0."""
    error, spread = _mean(_square(y, P), W), _spread(y - y.mean(), W)
    result = torch.where(spread > 0, 1 - error / spread, (error == 0).to(W.dtype))
    return result.where((W > 0).sum(1) > 1, torch.nan)


def _spread(y: Tensor, W: Tensor) -> Tensor:
    """The variance of values around 0 [R], in two passes; 0 where rounding is all of it."""
    y = y.to(W.dtype)
    some = max(1, AT_ONCE // max(1, len(y)))
    around = [(w * (y - _mean(y, w).unsqueeze(1)).square()).sum(1) / w.sum(1) for w in torch.split(W, some)]
    result = torch.cat(around)
    rounding = (4 * torch.finfo(W.dtype).eps * y.abs().max()) ** 2 if len(y) else 0.0
    return result.where(result > rounding, 0.0)


def _mean_of(loss: Callable[[Tensor, Tensor], Tensor], kinds: tuple[str, ...], power: float = 1.0) -> Metric:
    return Metric(lambda y, P, W, positive: _mean(loss(y, P), W) ** power, False, kinds, loss=loss, power=power)


_CLASSES, _VALUES = ("binary", "multiclass"), ("regression",)
METRICS: dict[str, Metric] = {
    "accuracy": Metric(_accuracy, True, _CLASSES, of_classes=True),
    "balanced accuracy": Metric(_balanced_accuracy, True, _CLASSES, of_classes=True),
    "f1": Metric(_f1, True, _CLASSES, of_classes=True, of_one_class=True),
    "log loss": _mean_of(_surprise, _CLASSES),
    "auc": Metric(_auc, True, ("binary",), of_one_class=True),
    "rmse": _mean_of(_square, _VALUES, power=0.5),
    "mae": _mean_of(_absolute, _VALUES),
    "r2": Metric(_r2, True, _VALUES),
}
# What a training may watch beside these.
WATCHED: dict[str, Metric] = {
    **METRICS,
    "error rate": Metric(lambda *given: 1 - _accuracy(*given), False, _CLASSES, of_classes=True),
}


def metric_named(metric: str | Metric) -> Metric:
    """The metric of that name, or the metric itself."""
    return WATCHED[metric] if isinstance(metric, str) else metric


def check_metric(name: str | Metric, outputs: int, targets: Tensor) -> None:
    """Raise InputError where a metric cannot be measured on targets [N] or [N, K] of a network with so many outputs."""
    if "regression" not in metric_named(name).kinds:
        check_labels(max(2, outputs), targets)
    else:
        check_values(outputs, targets)
    if name == "auc" and outputs > 2:
        raise InputError("the area under the curve is of two classes", received=f"a network of {outputs} outputs")

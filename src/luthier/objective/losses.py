"""Losses of classes, of shares, and of pairs of rows, for a whole stack, and their gradient by hand.

Z logits [M, B, C]; targets [B] (class numbers, 0/1, or values) or [B, C] (0/1, a share or a value for each output);
weights [B] or None. A loss is the (weighted) mean over the batch's own rows, so a short last batch
counts over its own length.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from luthier.errors import ConfigError
from luthier.kinds import KINDS
from luthier.objective.row_loss import RAREST, Loss, one_a_column, weighted_mean
from luthier.objective.targets import (
    check_classes,
    check_fractions,
    check_groups,
    check_indicators,
    check_labels,
    check_shares,
)
from luthier.shapes import (
    ClassNumbers,
    Distances,
    Logits,
    OneHot,
    Pairs,
    RowLosses,
    Targets,
)

FEW_CLASSES, MANY_OUTPUTS = 64, 512  # where softmax goes along another axis
SHARED_CLASSES = 16  # up to which a row's class is written out as shares: of more they take memory and save no time


def one_hot(targets: ClassNumbers, classes: int, dtype: torch.dtype = torch.float32) -> OneHot:
    """Class numbers [B] from 0 as rows [B, C] with a single 1.

    >>> one_hot(torch.tensor([2]), 4)
    tensor([[0., 0., 1., 0.]])
    """
    if targets.device.type == "cpu":  # elsewhere a look would hold up the step; labels were looked at before the first
        check_classes(targets, classes)
    return F.one_hot(targets.long(), classes).to(dtype)


def _indicators(Z: Logits, targets: Targets) -> OneHot:
    """Targets as 0/1 for each output, [B, C]: as they are, or from class numbers, or from 0/1 for one output."""
    if targets.ndim == 2:
        return targets.to(Z.dtype)
    return targets.to(Z.dtype).unsqueeze(-1) if Z.shape[-1] == 1 else one_hot(targets, Z.shape[-1], Z.dtype)


def _index(Z: Tensor, targets: Tensor) -> Tensor:
    return targets.long().expand(Z.shape[0], -1).unsqueeze(-1)


def _softmax_rows(Z: Logits, targets: Targets) -> RowLosses:
    if targets.ndim == 2:  # a share for each class
        return -(torch.log_softmax(Z, -1) * targets).sum(-1)
    return torch.logsumexp(Z, -1) - Z.gather(-1, _index(Z, targets)).squeeze(-1)


def _softmax(Z: Logits) -> Logits:
    """Softmax over the last axis; over few classes PyTorch is up to ten times faster along another one."""
    if Z.shape[-1] > FEW_CLASSES or Z.numel() < MANY_OUTPUTS:
        return torch.softmax(Z, -1)
    return torch.softmax(Z.transpose(-1, -2).contiguous(), -2).transpose(-1, -2).contiguous()


def _softmax_residual(Z: Logits, targets: Targets) -> Logits:
    # a - y, with y one-hot (S1-71)
    if targets.ndim == 2:
        return _softmax(Z).sub_(targets)
    return _softmax(Z).scatter_(-1, _index(Z, targets), -1.0, reduce="add")


def _shares(targets: Tensor, classes: int, dtype: torch.dtype) -> Tensor:
    return targets if targets.ndim == 2 or classes > SHARED_CLASSES else one_hot(targets, classes, dtype)


def _smoothed(Z: Logits, targets: ClassNumbers, smoothing: float) -> OneHot:
    return one_hot(targets, Z.shape[-1], Z.dtype) * (1 - smoothing) + smoothing / Z.shape[-1]


def _smoothed_rows(Z: Logits, targets: Targets, smoothing: float) -> RowLosses:
    return -(torch.log_softmax(Z, -1) * _smoothed(Z, targets, smoothing)).sum(-1)


def _smoothed_residual(Z: Logits, targets: Targets, smoothing: float) -> Logits:
    return _softmax(Z) - _smoothed(Z, targets, smoothing)


def label_smoothing(smoothing: float = 0.1) -> Loss:
    """Softmax cross-entropy whose targets share `smoothing` among all classes (Szegedy and others, 2016)."""
    if not 0 <= smoothing < 1:
        raise ConfigError([f"label smoothing must be at least 0 and below 1, not {smoothing:g}"])
    return Loss(
        partial(_smoothed_rows, smoothing=smoothing),
        partial(_smoothed_residual, smoothing=smoothing),
        _right_class,
        check=check_labels,
    )


def _focal_rows(Z: Logits, targets: Targets, gamma: float) -> RowLosses:
    logs = torch.log_softmax(Z, -1).gather(-1, _index(Z, targets)).squeeze(-1)
    return -((1 - logs.exp()) ** gamma) * logs


def _focal_residual(Z: Logits, targets: Targets, gamma: float) -> Logits:
    logs = torch.log_softmax(Z, -1).gather(-1, _index(Z, targets))
    p = logs.exp()
    # d/dlog p of -(1 - p)^gamma log p, times d log p / dZ = y - a
    slope = gamma * (1 - p) ** (gamma - 1) * p * logs - (1 - p) ** gamma
    return -slope * _softmax_residual(Z, targets)


def focal(gamma: float = 2.0) -> Loss:
    """Softmax cross-entropy that counts a row the less, the surer it is right (Lin and others, 2017).

    `gamma` is at least 1; at 0 the loss would be cross-entropy itself.
    """
    if gamma < 1:
        raise ConfigError([f"gamma of the focal loss must be at least 1, not {gamma:g}"])
    return Loss(
        partial(_focal_rows, gamma=gamma), partial(_focal_residual, gamma=gamma), _right_class, check=check_labels
    )


def custom_loss(
    rows: Callable[[Tensor, Tensor], Tensor], score: Callable[[Tensor, Tensor], Tensor] | None = None
) -> Loss:
    """A loss of your own from its rows (Z [M, B, C], targets) -> [M, B]; autograd gives the derivative.

    >>> cubic = custom_loss(lambda Z, targets: (Z[..., 0] - targets).abs() ** 3)
    >>> cubic.residual(torch.tensor([[[3.0]]]), torch.tensor([1.0]))
    tensor([[[12.]]])
    """

    def residual(Z: Logits, targets: Targets) -> Logits:
        with torch.enable_grad():
            logits = Z.detach().requires_grad_()
            (result,) = torch.autograd.grad(rows(logits, targets).sum(), logits)
        return result

    return Loss(rows, residual, score or rows)


def _negative_log_rows(Z: Logits, targets: Targets) -> RowLosses:
    return -Z.gather(-1, _index(Z, targets)).squeeze(-1)


def _negative_log_residual(Z: Logits, targets: Targets) -> Logits:
    return -one_hot(targets, Z.shape[-1], Z.dtype).expand_as(Z)


def _distances(Z: Logits) -> Distances:
    """Distances between the rows' outputs [M, B, B]; at a distance of 0 the derivative is 0."""
    squares = (Z.unsqueeze(2) - Z.unsqueeze(1)).square().sum(-1)
    near = squares == 0
    return torch.where(near, 0.0, torch.where(near, 1.0, squares).sqrt())


def _pairs(Z: Logits, targets: Targets) -> tuple[Pairs, Pairs]:
    """Which pairs [B, B] have one class, and which are pairs of two rows."""
    others = ~torch.eye(len(targets), dtype=torch.bool, device=Z.device)
    return (targets.unsqueeze(1) == targets.unsqueeze(0)) & others, others


def _contrastive_rows(Z: Logits, targets: Targets, margin: float) -> RowLosses:
    D, (same, others) = _distances(Z), _pairs(Z, targets)
    pairs = torch.where(same, D.square(), (margin - D).clamp_min(0).square()) * others
    return 0.5 * pairs.sum(-1) / max(1, len(targets) - 1)


def _triplet_rows(Z: Logits, targets: Targets, margin: float) -> RowLosses:
    D, (same, others) = _distances(Z), _pairs(Z, targets)
    different = others & ~same
    farthest = torch.where(same, D, 0.0).amax(-1)
    nearest = torch.where(different, D, torch.inf).amin(-1)
    known = same.any(-1) & different.any(-1)  # a row without a partner or an opponent says nothing
    return torch.where(known, margin + farthest - torch.where(known, nearest, 0.0), 0.0).clamp_min(0)


def _nearest_agrees(Z: Logits, targets: Targets) -> RowLosses:
    """Whether the nearest other row is of a row's own class."""
    D = torch.where(_pairs(Z, targets)[1], _distances(Z), torch.inf)
    return (targets[D.argmin(-1)] == targets).to(Z.dtype)


def contrastive(margin: float = 1.0) -> Loss:
    """Rows of a class together, others at least `margin` apart, over all pairs of a batch (Hadsell and others, 2006).

    A pair costs d^2 / 2, or max(0, margin - d)^2 / 2 with two classes, d the distance of their outputs. The score is
    how often the nearest other row is of the same class.
    """
    loss = custom_loss(partial(_contrastive_rows, margin=margin), _nearest_agrees)
    return loss._replace(couples=True, check=check_groups)


def triplet(margin: float = 1.0) -> Loss:
    """Each row nearer to its farthest fellow than to its nearest stranger by `margin` (Hermans and others, 2017).

    A row costs max(0, margin + farthest - nearest) within its batch.
    """
    loss = custom_loss(partial(_triplet_rows, margin=margin), _nearest_agrees)
    return loss._replace(couples=True, check=check_groups)


def _sigmoid_rows(Z: Logits, targets: Targets) -> RowLosses:
    return (F.softplus(Z) - Z * _indicators(Z, targets)).sum(-1)


def _sigmoid_residual(Z: Tensor, targets: Tensor) -> Tensor:
    return torch.sigmoid(Z) - _indicators(Z, targets)


def _quadratic_rows(Z: Logits, targets: Targets) -> RowLosses:
    return 0.5 * (torch.sigmoid(Z) - _indicators(Z, targets)).square().sum(-1)


def _quadratic_residual(Z: Logits, targets: Targets) -> Logits:
    A = torch.sigmoid(Z)
    return (A - _indicators(Z, targets)) * A * (1 - A)


def _right_class(Z: Logits, targets: Targets) -> RowLosses:
    targets = targets.argmax(-1) if targets.ndim == 2 else targets
    return (Z.argmax(-1) == targets).to(Z.dtype)


def _right_side(Z: Logits, targets: Targets) -> RowLosses:
    """For one output or several of 0/1: right where every output is on its side; for class numbers, the largest."""
    if targets.ndim == 1 and Z.shape[-1] > 1:
        return _right_class(Z, targets)
    return ((Z > 0) == (_indicators(Z, targets) > 0.5)).all(-1).to(Z.dtype)


def _shares_of(targets: Tensor, weights: Tensor | None, outputs: int) -> Tensor:
    """The share of each class, or the mean for each output [C]; of one output that of class 1."""
    several = targets.ndim == 1 and outputs > 1
    return weighted_mean(one_hot(targets, outputs) if several else targets, weights)


USUAL_LOSSES = {name: kind.loss for name, kind in KINDS.items()}  # by what the targets ask for


def _best_logs(targets: Tensor, weights: Tensor | None, outputs: int) -> Tensor:
    return _shares_of(targets, weights, outputs).clamp_min(RAREST).log()


def _best_logits(targets: Tensor, weights: Tensor | None, outputs: int) -> Tensor:
    return _shares_of(targets, weights, outputs).clamp(RAREST, 1 - RAREST).logit()


def _entropy(targets: Tensor) -> Tensor:
    """The least cross-entropy of shares [B, C]; of class numbers it is 0."""
    return -torch.xlogy(targets, targets).sum(-1) if targets.ndim == 2 else torch.zeros(len(targets))


def _entropy_of_halves(targets: Tensor) -> Tensor:
    """The least cross-entropy where each output is a yes or no of its own."""
    if not targets.is_floating_point():
        return torch.zeros(len(targets))
    rows = -torch.xlogy(targets, targets) - torch.xlogy(1 - targets, 1 - targets)
    return rows.sum(-1) if targets.ndim == 2 else rows


def _squares_of_shares(Z: Logits, targets: Targets) -> RowLosses:
    return (Z.sigmoid() - _indicators(Z, targets)).square().mean(-1)


SOFTMAX = Loss(
    _softmax_rows,
    _softmax_residual,
    _right_class,
    prepare=_shares,
    check=check_shares,
    floor=_entropy,
    constant=_best_logs,
    answer=partial(torch.softmax, dim=-1),
)
BINARY = Loss(
    _sigmoid_rows,
    _sigmoid_residual,
    _right_side,
    check=check_indicators,
    floor=_entropy_of_halves,
    constant=_best_logits,
    answer=torch.sigmoid,
)
# The same likelihood for shares in [0, 1] as for yes or no (Papke and Wooldridge, 1996), watched as their error.
FRACTIONAL = BINARY._replace(score=_squares_of_shares, rooted=True, check=check_fractions, outputs=one_a_column)
# On sigmoid outputs, with its 1/2 (S1-06).
QUADRATIC = Loss(_quadratic_rows, _quadratic_residual, _right_side, check=check_indicators)
# Of log-probabilities.
NEGATIVE_LOG = Loss(_negative_log_rows, _negative_log_residual, _right_class, check=check_labels)

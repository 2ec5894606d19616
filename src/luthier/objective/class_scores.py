"""Scores of classes: y [N] class numbers, P [M, N, C] probabilities, W [R, N] weights; each gives [M, R].

Those that look at the classes that are taken see the largest probability of a row. Of labels y [N, C] are 0 and 1, and
those are taken whose probability is a half or more.
"""

from __future__ import annotations

import torch
from torch import Tensor


def mean_of_rows(rows: Tensor, W: Tensor) -> Tensor:
    """Weighted means [M, R] of rows [M, N]."""
    return rows.to(W.dtype) @ W.T / W.sum(1)


def accuracy(y: Tensor, P: Tensor, W: Tensor, positive: int) -> Tensor:
    """The share of rows that are right."""
    return mean_of_rows(P.argmax(-1) == y, W)


def surprise(y: Tensor, P: Tensor) -> Tensor:
    """Minus the logarithm of the true class's probability, kept an epsilon from 0 and 1 [M, N]; the labels' mean."""
    smallest = torch.finfo(P.dtype).eps
    if y.ndim == 2:
        return -torch.where(y > 0, P, 1 - P).clamp(smallest, 1 - smallest).log().mean(-1)
    return -of_truth(y, P).clamp(smallest, 1 - smallest).log()


def of_truth(y: Tensor, P: Tensor) -> Tensor:
    """The true class's probability [M, N]."""
    return P.gather(-1, y.expand(P.shape[:-1]).unsqueeze(-1)).squeeze(-1)


def brier(y: Tensor, P: Tensor) -> Tensor:
    """Squared distance from the truth (Brier 1950) [M, N]; of two classes half of it, as is usual."""
    squares = P.square().sum(-1) - 2 * of_truth(y, P) + 1
    return squares / 2 if P.shape[-1] == 2 else squares


def not_among_first(y: Tensor, P: Tensor, k: int) -> Tensor:
    """1 where the true class is not among the k likeliest [M, N]; of equal ones the later class comes first."""
    own, places = of_truth(y, P).unsqueeze(-1), torch.arange(P.shape[-1], device=P.device)
    before = (own < P) | ((own == P) & (places > y.unsqueeze(-1)))
    return (before.sum(-1) >= k).to(P.dtype)


def _by_class(y: Tensor, P: Tensor, W: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """How many rows of each class were right, belong to it, and were taken for it: [M, R, C], [R, C], [M, R, C]."""
    one = torch.eye(P.shape[-1], dtype=W.dtype, device=W.device)
    there, taken = (y.to(W.dtype), (P >= 0.5).to(W.dtype)) if y.ndim == 2 else (one[y], one[P.argmax(-1)])
    return W @ (there * taken), W @ there, W @ taken


def balanced_accuracy(y: Tensor, P: Tensor, W: Tensor, positive: int) -> Tensor:
    """Mean over the classes that are there of the share of their rows that is right."""
    right, there, _ = _by_class(y, P, W)
    return (right / there).nanmean(-1)


def _f1_by_class(y: Tensor, P: Tensor, W: Tensor) -> tuple[Tensor, Tensor]:
    """Harmonic means of precision and recall, NaN of a class that neither is there nor is predicted; the classes'
    weights."""
    right, there, taken = _by_class(y, P, W)
    return 2 * right / (there + taken), there


def f1(y: Tensor, P: Tensor, W: Tensor, positive: int) -> Tensor:
    """F1 of the positive class of two, else `f1_macro`."""
    return _f1_by_class(y, P, W)[0][..., positive] if P.shape[-1] == 2 else f1_macro(y, P, W, positive)


def f1_macro(y: Tensor, P: Tensor, W: Tensor, positive: int) -> Tensor:
    """Mean F1 of the classes that are there or predicted."""
    return _f1_by_class(y, P, W)[0].nanmean(-1)


def f1_weighted(y: Tensor, P: Tensor, W: Tensor, positive: int) -> Tensor:
    """Mean F1 of the classes, each by its rows."""
    scores, there = _f1_by_class(y, P, W)
    return (scores.nan_to_num(0.0) * there).sum(-1) / there.sum(-1)


def f1_micro(y: Tensor, P: Tensor, W: Tensor, positive: int) -> Tensor:
    """F1 of all labels of all rows together."""
    right, there, taken = (one.sum(-1) for one in _by_class(y, P, W))
    return 2 * right / (there + taken)


def wrong_labels(y: Tensor, P: Tensor) -> Tensor:
    """The share of a row's labels that are wrongly taken or left out [M, N]."""
    return ((P >= 0.5) != (y > 0)).to(P.dtype).mean(-1)


def wrong_order(y: Tensor, P: Tensor) -> Tensor:
    """The share of pairs of a row's own label and another one that the other does not lie below [M, N]; 0 without
    such pairs."""
    own = y > 0
    pairs = own.sum(-1) * (~own).sum(-1)
    return torch.where(own, _as_likely(P, ~own), 0.0).sum(-1) / pairs.clamp_min(1)


def _as_likely(P: Tensor, among: Tensor) -> Tensor:
    """For each label of a row how many of those `among` which it is seen are as likely or likelier [..., N, C]."""
    others = torch.where(among, P, -torch.inf).sort(-1).values
    return (P.shape[-1] - torch.searchsorted(others, P.contiguous(), right=False)).to(P.dtype)


def ranking_precision(y: Tensor, P: Tensor, W: Tensor, positive: int) -> Tensor:
    """Mean over a row's labels of the share of own ones among those as likely or likelier; 1 for rows with none or
    all."""
    own = y > 0
    count, before, others = own.sum(-1), _as_likely(P, own), _as_likely(P, ~own)
    shares = torch.where(own, before / (before + others).clamp_min(1), 0.0).sum(-1) / count.clamp_min(1)
    return mean_of_rows(torch.where((count == 0) | (count == own.shape[-1]), 1.0, shares), W)


def mcc(y: Tensor, P: Tensor, W: Tensor, positive: int) -> Tensor:
    """Matthews' correlation of true and predicted classes; 0 where one of them never varies."""
    right, there, taken = _by_class(y, P, W)
    rows = there.sum(-1)
    both = right.sum(-1) * rows - (there * taken).sum(-1)
    spread = (rows**2 - taken.square().sum(-1)) * (rows**2 - there.square().sum(-1))
    return torch.where(spread > 1e-12 * rows**4, both / spread.clamp_min(1e-300).sqrt(), 0.0)


def kappa(y: Tensor, P: Tensor, W: Tensor, positive: int) -> Tensor:
    """Agreement beyond chance (Cohen 1960)."""
    right, there, taken = _by_class(y, P, W)
    rows = there.sum(-1)
    chance = (there * taken).sum(-1) / rows**2
    return (right.sum(-1) / rows - chance) / _not_nothing(1 - chance)


def quadratic_kappa(y: Tensor, P: Tensor, W: Tensor, positive: int) -> Tensor:
    """Agreement beyond chance, where a mistake counts by the square of its steps (Cohen 1968)."""
    true, taken = y.to(W.dtype), P.argmax(-1).to(W.dtype)
    seen = mean_of_rows((taken - true).square(), W)
    first, second = mean_of_rows(true, W), mean_of_rows(taken, W)
    chance = mean_of_rows(true.square(), W) + mean_of_rows(taken.square(), W) - 2 * first * second
    return 1 - seen / _not_nothing(chance)


def _not_nothing(x: Tensor) -> Tensor:
    return x.where(x > 1e-12, torch.nan)


def auc(y: Tensor, P: Tensor, W: Tensor, positive: int) -> Tensor:
    """Area under the ROC curve: the chance that a positive row scores above a negative one, ties half."""
    return _of_curves(_area, y, P, W, positive)


def auc_against_rest(y: Tensor, P: Tensor, W: Tensor, positive: int) -> Tensor:
    """Mean area under the ROC curve of each class that is there against all others."""
    return torch.stack([auc(y, P, W, c) for c in range(P.shape[-1])]).nanmean(0)


def average_precision(y: Tensor, P: Tensor, W: Tensor, positive: int) -> Tensor:
    """Precision at each positive row, averaged."""
    return _of_curves(_mean_precision, y, P, W, positive)


def precision_at(recall: float, y: Tensor, P: Tensor, W: Tensor, positive: int) -> Tensor:
    """The best precision of a threshold that finds at least this share of the positive rows."""
    return _of_curves(lambda *given: _best(*_precision_and_recall(*given), recall), y, P, W, positive)


def recall_at(precision: float, y: Tensor, P: Tensor, W: Tensor, positive: int) -> Tensor:
    """The best recall of a threshold with at least this precision; 0 where none has it."""
    return _of_curves(lambda *given: _best(*_precision_and_recall(*given)[::-1], precision), y, P, W, positive)


def _of_curves(of, y: Tensor, P: Tensor, W: Tensor, positive: int) -> Tensor:  # type: ignore[no-untyped-def]
    """A score of each member's probabilities of the positive class, from `_sorted` weights."""
    return torch.stack([of(*_sorted(scores, y == positive, W)) for scores in P[..., positive]])


def _sorted(scores: Tensor, is_positive: Tensor, W: Tensor) -> tuple[Tensor, Tensor]:
    """The weights of positive and of negative rows at each distinct score, from the lowest on [U, R]."""
    _, rank = torch.unique(scores, return_inverse=True)
    nothing = W.new_zeros(int(rank.max()) + 1 if len(rank) else 0, len(W))
    there = nothing.index_add(0, rank[is_positive], W.T[is_positive])
    return there, nothing.index_add(0, rank[~is_positive], W.T[~is_positive])


def _area(above: Tensor, below: Tensor) -> Tensor:
    wins = (above * (below.cumsum(0) - 0.5 * below)).sum(0)
    return wins / (above.sum(0) * below.sum(0))


def _precision_and_recall(above: Tensor, below: Tensor) -> tuple[Tensor, Tensor]:
    """Of the thresholds at each distinct score, from the highest on [U, R]."""
    found, false = above.flip(0).cumsum(0), below.flip(0).cumsum(0)
    return found / (found + false), found / above.sum(0)


def _mean_precision(above: Tensor, below: Tensor) -> Tensor:
    precision, _ = _precision_and_recall(above, below)
    return (precision.nan_to_num(0.0) * above.flip(0)).sum(0) / above.sum(0)


def _best(wanted: Tensor, given: Tensor, least: float) -> Tensor:
    """The largest `wanted` where `given` is at least so much, but for rounding; NaN where no row is positive."""
    best = wanted.nan_to_num(0.0).where(given >= least - 1e-12, 0.0).amax(0)
    return best.where(~given[-1].isnan() & ~wanted[-1].isnan(), torch.nan)

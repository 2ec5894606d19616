"""Scores of values: losses of rows, y [N] and P [M, N] -> [M, N], and two scores that are no means of losses."""

from __future__ import annotations

import torch
from torch import Tensor

from luthier.objective.class_scores import mean_of_rows

AT_ONCE = 4_000_000  # numbers of a temporary matrix
LEAST = -1 + 1e-6  # of a value before log(1 + value)


def absolute(y: Tensor, P: Tensor) -> Tensor:
    """Absolute errors."""
    return (P - y).abs()


def square(y: Tensor, P: Tensor) -> Tensor:
    """Squared errors."""
    return (P - y).square()


def percentage(y: Tensor, P: Tensor) -> Tensor:
    """Absolute errors as shares of the true values."""
    return (P - y).abs() / y.abs().clamp_min(torch.finfo(P.dtype).eps)


def symmetric_percentage(y: Tensor, P: Tensor) -> Tensor:
    """Absolute errors as shares of the mean size of both values: from 0 to 2."""
    return 2 * (P - y).abs() / (P.abs() + y.abs()).clamp_min(torch.finfo(P.dtype).tiny)


def square_of_logarithms(y: Tensor, P: Tensor) -> Tensor:
    """Squared differences of log(1 + value)."""
    return (P.clamp_min(LEAST).log1p() - y.clamp_min(LEAST).log1p()).square()


def pinball(q: float, y: Tensor, P: Tensor) -> Tensor:
    """The loss that the quantile q has least of (Koenker and Bassett 1978)."""
    return torch.maximum(q * (y - P), (q - 1) * (y - P))


def poisson(y: Tensor, P: Tensor) -> Tensor:
    """Twice the log-likelihood that a Poisson law of mean P lacks; P is kept above 0."""
    P = P.clamp_min(torch.finfo(P.dtype).eps)
    return 2 * (torch.xlogy(y, y / P) - y + P)


def tweedie(power: float, y: Tensor, P: Tensor) -> Tensor:
    """The unit deviance of Tweedie's family with `power` between 1 and 2; P is kept above 0."""
    P, one, two = P.clamp_min(torch.finfo(P.dtype).eps), 1 - power, 2 - power
    return 2 * (y**two / (one * two) - y * P**one / one + P**two / two)


def ranked_probability(y: Tensor, P: Tensor) -> Tensor:
    """The continuous ranked probability score of equally likely values P [M, N, Q] (Matheson and Winkler 1976)."""
    count = P.shape[-1]
    ranks = 2 * torch.arange(1, count + 1, dtype=P.dtype, device=P.device) - count - 1
    return (P - y.unsqueeze(-1)).abs().mean(-1) - (P.sort(-1).values * ranks).sum(-1) / count**2


def median_absolute(y: Tensor, P: Tensor, W: Tensor, positive: int) -> Tensor:
    """The median of absolute errors: between two middle ones their mean."""
    errors, order = absolute(y, P).to(W.dtype).sort(-1)
    return torch.stack([_median(one, W[:, places]) for one, places in zip(errors, order, strict=True)])


def _median(values: Tensor, W: Tensor) -> Tensor:
    """Of sorted values [N], for each way of weighing them [R, N]."""
    if not len(values):
        return W.new_full((len(W),), torch.nan)
    below = W.cumsum(1)
    half = below[:, -1:] / 2
    rounding = 4 * torch.finfo(W.dtype).eps * half
    middle = torch.searchsorted(below, torch.cat([half - rounding, half + rounding], 1))
    return values[middle.clamp(max=len(values) - 1)].mean(1)


def r2(y: Tensor, P: Tensor, W: Tensor, positive: int) -> Tensor:
    """1 where every value is met, 0 for the mean; of equal values 1 where they are met, else 0."""
    error, spread = mean_of_rows(square(y, P), W), _spread(y - y.mean(), W)
    result = torch.where(spread > 0, 1 - error / spread, (error == 0).to(W.dtype))
    return result.where((W > 0).sum(1) > 1, torch.nan)


def _spread(y: Tensor, W: Tensor) -> Tensor:
    """The variance of values around 0 [R], in two passes; 0 where rounding is all of it."""
    y = y.to(W.dtype)
    some = max(1, AT_ONCE // max(1, len(y)))
    around = [(w * (y - mean_of_rows(y, w).unsqueeze(1)).square()).sum(1) / w.sum(1) for w in torch.split(W, some)]
    result = torch.cat(around)
    rounding = (4 * torch.finfo(W.dtype).eps * y.abs().max()) ** 2 if len(y) else 0.0
    return result.where(result > rounding, 0.0)

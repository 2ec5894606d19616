"""Losses whose outputs stand in an order by construction: ordered levels, and quantiles. M members, B rows, C outputs.

A step up from one cut or quantile to the next is softplus(z) > 0, so that none crosses another, whatever the outputs.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from luthier.errors import ConfigError
from luthier.objective.row_loss import RAREST, Loss, all_but_the_first, weighted_mean, weighted_quantile
from luthier.objective.targets import check_levels, check_one_value
from luthier.shapes import Logits, RowLosses

LEAST_STEP = 1e-6  # between the best constants of two cuts or quantiles that are equal


def level_cuts(Z: Tensor) -> Tensor:
    """The cuts [..., C] between C + 1 levels, 0 first, from outputs [..., C]: the score of a row and C - 1 steps.

    >>> level_cuts(torch.tensor([0.3, 0.0, 0.0]))
    tensor([0.0000, 0.6931, 1.3863])
    """
    return F.pad(F.softplus(Z[..., 1:]).cumsum(-1), (1, 0))


def level_probabilities(Z: Tensor) -> Tensor:
    """The probability of each level [..., C + 1] from outputs [..., C]: P(y <= k) = 1 / (1 + e^(score - cut k)).

    >>> level_probabilities(torch.tensor([[0.0, 0.0]]))  # 1 / 2, then 1 / (1 + e^-0.693) = 2 / 3
    tensor([[0.5000, 0.1667, 0.3333]])
    """
    below = torch.sigmoid(level_cuts(Z) - Z[..., :1])
    return torch.diff(F.pad(F.pad(below, (1, 0)), (0, 1), value=1.0), dim=-1)


def _around(Z: Logits, targets: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Of each row's level: its upper and lower cut less the score [M, B], its step [M, B], and which of them exist."""
    cuts, levels = level_cuts(Z), Z.shape[-1]
    y = targets.long().expand(len(Z), -1).unsqueeze(-1)
    has_upper, has_lower = y < levels, y > 0
    upper, lower = y.clamp_max(levels - 1), (y - 1).clamp_min(0)
    score = Z[..., 0]
    above, below = cuts.gather(-1, upper).squeeze(-1) - score, cuts.gather(-1, lower).squeeze(-1) - score
    return above, below, Z.gather(-1, upper).squeeze(-1), has_upper.squeeze(-1), has_lower.squeeze(-1)


def _level_rows(Z: Logits, targets: Tensor) -> RowLosses:
    # log(s(a) - s(b)) = log s(a) + log s(-b) + log(1 - e^(b - a)); with a - b = softplus(z) the last is log s(z).
    above, below, step, has_upper, has_lower = _around(Z, targets)
    rows = F.softplus(-above) * has_upper + F.softplus(below) * has_lower
    return rows + F.softplus(-step) * (has_upper & has_lower)


def _level_residual(Z: Logits, targets: Tensor) -> Logits:
    above, below, step, has_upper, has_lower = _around(Z, targets)
    by_upper, by_lower = -torch.sigmoid(-above) * has_upper, torch.sigmoid(below) * has_lower
    y = targets.long().expand(len(Z), -1).unsqueeze(-1)
    upper, lower = y.clamp_max(Z.shape[-1] - 1), (y - 1).clamp_min(0)
    by_cut = torch.zeros_like(Z).scatter_add_(-1, upper, by_upper.unsqueeze(-1))
    by_cut.scatter_add_(-1, lower, by_lower.unsqueeze(-1))
    result = by_cut.flip(-1).cumsum(-1).flip(-1).mul_(torch.sigmoid(Z))  # a step moves its own cut and all above it
    by_step = -torch.sigmoid(-step) * (has_upper & has_lower)
    result.scatter_add_(-1, upper, by_step.unsqueeze(-1))
    result[..., 0] = -(by_upper + by_lower)
    return result


def _right_level(Z: Logits, targets: Tensor) -> RowLosses:
    return (level_probabilities(Z).argmax(-1) == targets).to(Z.dtype)


def _steps_back(steps: Tensor) -> Tensor:
    """The outputs whose softplus these steps are."""
    least = steps.clamp_min(LEAST_STEP)
    return least + torch.log(-torch.expm1(-least))


def _best_cuts(targets: Tensor, weights: Tensor | None, outputs: int) -> Tensor:
    shares = weighted_mean(F.one_hot(targets.long(), outputs + 1), weights)
    cuts = shares.cumsum(0)[:-1].clamp(RAREST, 1 - RAREST).logit()
    return torch.cat([-cuts[:1], _steps_back(cuts.diff())])


def _one_less_than_levels(targets: Tensor) -> int:
    return max(1, int(targets.max()))


ORDINAL = Loss(
    _level_rows,
    _level_residual,
    _right_level,
    check=check_levels,
    constant=_best_cuts,
    answer=level_probabilities,
    outputs=_one_less_than_levels,
    shared=all_but_the_first,
)


def quantile_values(Z: Tensor, middle: int) -> Tensor:
    """Quantiles [..., Q] in their order from outputs [..., Q]: the `middle` one, and steps up and down from it.

    >>> quantile_values(torch.tensor([0.0, 5.0, 0.0]), 1)
    tensor([4.3069, 5.0000, 5.6931])
    """
    steps = F.softplus(Z)
    above = steps[..., middle + 1 :].cumsum(-1)
    below = steps[..., :middle].flip(-1).cumsum(-1).flip(-1)
    centre = Z[..., middle : middle + 1]
    return torch.cat([centre - below, centre, centre + above], -1)


def _pinball_rows(Z: Logits, targets: Tensor, levels: tuple[float, ...], middle: int) -> RowLosses:
    off = targets.to(Z.dtype).unsqueeze(-1) - quantile_values(Z, middle)
    by_level = [torch.maximum(off[..., k] * level, off[..., k] * (level - 1)) for k, level in enumerate(levels)]
    return torch.stack(by_level, -1).mean(-1)


def _pinball_residual(Z: Logits, targets: Tensor, levels: tuple[float, ...], middle: int) -> Logits:
    off = targets.to(Z.dtype).unsqueeze(-1) - quantile_values(Z, middle)
    # of a quantile: the share of rows below it less the one that is asked for; half of the kink where it is met
    below = (1 - off.sign()) / 2
    slope = torch.stack([below[..., k] - level for k, level in enumerate(levels)], -1) / len(levels)
    moves = torch.sigmoid(Z)  # of a step; it moves its own quantile and all beyond it
    result = torch.empty_like(Z)
    result[..., middle] = slope.sum(-1)
    up, down = slope[..., middle + 1 :], slope[..., :middle]
    result[..., middle + 1 :] = up.flip(-1).cumsum(-1).flip(-1) * moves[..., middle + 1 :]
    result[..., :middle] = -down.cumsum(-1) * moves[..., :middle]
    return result


def _off_the_middle(Z: Logits, targets: Tensor, middle: int) -> RowLosses:
    return (Z[..., middle] - targets.to(Z.dtype)).abs()


def _best_quantiles(
    targets: Tensor, weights: Tensor | None, outputs: int, levels: tuple[float, ...], middle: int
) -> Tensor:
    values = torch.cat([weighted_quantile(targets, weights, level) for level in levels])
    steps = _steps_back(values.diff())
    return torch.cat([steps[:middle], values[middle : middle + 1], steps[middle:]])


def _so_many(targets: Tensor, quantiles: int) -> int:
    return quantiles


def quantiles(*levels: float) -> Loss:
    """The mean pinball loss of several quantiles that never cross (Koenker and Bassett, 1978): max(q d, (q - 1) d).

    An output for each of the `levels`; the one nearest to a half is a value, the others are steps away from it.

    >>> quantiles(0.5).rows(torch.tensor([[[1.0]]]), torch.tensor([3.0]))  # half the absolute error
    tensor([[1.]])
    """
    if not levels or any(not 0 < level < 1 for level in levels) or list(levels) != sorted(set(levels)):
        received = ", ".join(f"{level:g}" for level in levels) or "none"
        raise ConfigError([f"the levels of quantiles must rise between 0 and 1, such as 0.1, 0.5, 0.9; not {received}"])
    middle = min(range(len(levels)), key=lambda place: abs(levels[place] - 0.5))
    return Loss(
        partial(_pinball_rows, levels=levels, middle=middle),
        partial(_pinball_residual, levels=levels, middle=middle),
        partial(_off_the_middle, middle=middle),
        check=partial(check_one_value, wanted=len(levels)),
        constant=partial(_best_quantiles, levels=levels, middle=middle),
        answer=partial(quantile_values, middle=middle),
        outputs=partial(_so_many, quantiles=len(levels)),
    )

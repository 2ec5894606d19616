"""Losses of numbers, and of counts and amounts behind an exponential link. M members, B rows, C outputs.

Z [M, B, C]; targets [B] for one output, or [B, C] with a value for each, whose losses are averaged. Beyond `STEEPEST`
an exponential goes on as a line, so that outputs far off cost much and never infinitely much.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from luthier.errors import ConfigError
from luthier.messages import Message
from luthier.objective.row_loss import Loss, all_but_the_first, one_a_column, weighted_mean, weighted_quantile
from luthier.objective.targets import check_amounts, check_one_amount, check_positive, check_values
from luthier.shapes import AnyTargets, Logits, Outputs, RowLosses

HUBER_WIDTH = 1.0  # where the Huber loss turns from square to line
STEEPEST = 30.0  # e^30 is 1e13
SMALLEST = 1e-12  # a mean from which a logarithm is taken
HALVINGS = 60
LARGE = 30.0  # from where on four terms of Stirling's series are exact in float64
WIDEST, STEP = 15.0, 0.618  # of a dispersion's logarithm, and of a golden section

Entries = Callable[[Tensor, Tensor], Tensor]


def _values(Z: Logits, targets: AnyTargets) -> Outputs:
    return (targets if targets.ndim == 2 else targets.unsqueeze(-1)).to(Z.dtype)


def _mean_over_outputs(Z: Logits, targets: AnyTargets, of: Entries) -> RowLosses:
    return of(Z, _values(Z, targets)).mean(-1)


def _slope_over_outputs(Z: Logits, targets: AnyTargets, of: Entries) -> Logits:
    slope = of(Z, _values(Z, targets))
    return slope if Z.shape[-1] == 1 else slope / Z.shape[-1]


def _entrywise(value: Entries, slope: Entries, score: Entries, **known: object) -> Loss:
    rows, residual = partial(_mean_over_outputs, of=value), partial(_slope_over_outputs, of=slope)
    score_rows = partial(_mean_over_outputs, of=score)
    return Loss(rows, residual, score_rows, outputs=one_a_column, **known)  # type: ignore[arg-type]


def _square(Z: Tensor, Y: Tensor) -> Tensor:
    return (Z - Y).square()


def _square_slope(Z: Tensor, Y: Tensor) -> Tensor:
    return (Z - Y) * 2


def _absolute(Z: Tensor, Y: Tensor) -> Tensor:
    return (Z - Y).abs()


def _absolute_slope(Z: Tensor, Y: Tensor) -> Tensor:
    return (Z - Y).sign()


def _bent(Z: Tensor, Y: Tensor, width: float) -> Tensor:
    return F.huber_loss(Z, Y.expand_as(Z), reduction="none", delta=width)


def _bent_slope(Z: Tensor, Y: Tensor, width: float) -> Tensor:
    return (Z - Y).clamp(-width, width)


def _best_mean(targets: Tensor, weights: Tensor | None, outputs: int) -> Tensor:
    return weighted_mean(targets, weights)


def _best_median(targets: Tensor, weights: Tensor | None, outputs: int) -> Tensor:
    return weighted_quantile(targets, weights, 0.5)


def _best_between(targets: Tensor, weights: Tensor | None, outputs: int, width: float) -> Tensor:
    """Where the mean slope, which rises, is 0: by halving."""
    columns = (targets if targets.ndim == 2 else targets.unsqueeze(-1)).double()
    low, high = columns.amin(0), columns.amax(0)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        below = weighted_mean(_bent_slope(middle, columns, width), weights) < 0
        low, high = torch.where(below, middle, low), torch.where(below, high, middle)
    return (low + high) / 2


def huber(width: float = HUBER_WIDTH) -> Loss:
    """Half the squared error up to `width`, beyond it a line: width (|z - y| - width / 2) (Huber, 1964).

    >>> huber(2.0).rows(torch.tensor([[[1.0], [5.0]]]), torch.zeros(2))  # 1 / 2, and 2 (5 - 1)
    tensor([[0.5000, 8.0000]])
    """
    if not width > 0:
        raise ConfigError([f"the width of the Huber loss must be above 0, not {width:g}"])
    value, slope = partial(_bent, width=width), partial(_bent_slope, width=width)
    best = partial(_best_between, width=width)
    return _entrywise(value, slope, _square, rooted=True, check=check_values, constant=best)


def _growth(Z: Tensor) -> Tensor:
    """The exponential, and its tangent beyond `STEEPEST`."""
    bounded = Z.clamp_max(STEEPEST).exp()
    return torch.where(Z > STEEPEST, bounded * (1 + Z - STEEPEST), bounded)


def _growth_slope(Z: Tensor) -> Tensor:
    return Z.clamp_max(STEEPEST).exp()


def _square_of_mean(Z: Tensor, Y: Tensor) -> Tensor:
    return (_growth_slope(Z) - Y).square()


def _best_log(targets: Tensor, weights: Tensor | None, outputs: int) -> Tensor:
    return weighted_mean(targets, weights).clamp_min(SMALLEST).log()


def _poisson(Z: Tensor, Y: Tensor) -> Tensor:
    return _growth(Z) - Y * Z + torch.lgamma(Y + 1)


def _poisson_slope(Z: Tensor, Y: Tensor) -> Tensor:
    return _growth_slope(Z) - Y


def _poisson_floor(targets: Tensor) -> Tensor:
    rows = targets - torch.xlogy(targets, targets) + torch.lgamma(targets + 1)
    return rows.mean(-1) if rows.ndim == 2 else rows


def _gamma(Z: Tensor, Y: Tensor) -> Tensor:
    return Z + Y * _growth(-Z)


def _gamma_slope(Z: Tensor, Y: Tensor) -> Tensor:
    return 1 - Y * _growth_slope(-Z)


def _gamma_floor(targets: Tensor) -> Tensor:
    rows = 1 + targets.log()
    return rows.mean(-1) if rows.ndim == 2 else rows


def _tweedie(Z: Tensor, Y: Tensor, power: float) -> Tensor:
    one, two = 1 - power, 2 - power
    return Y**two / (one * two) - Y * _growth(one * Z) / one + _growth(two * Z) / two


def _tweedie_slope(Z: Tensor, Y: Tensor, power: float) -> Tensor:
    return _growth_slope((2 - power) * Z) - Y * _growth_slope((1 - power) * Z)


def tweedie(power: float = 1.5) -> Loss:
    """Half the unit deviance of Tweedie's family with a log link, for amounts of which many are 0 (Jorgensen, 1987).

    With mean m = e^z: y^(2 - p) / ((1 - p)(2 - p)) - y m^(1 - p) / (1 - p) + m^(2 - p) / (2 - p), `power` p between 1
    (counts) and 2 (amounts without zeros).

    >>> tweedie(1.5).rows(torch.zeros(1, 1, 1), torch.zeros(1))  # 1 / (1 / 2)
    tensor([[2.]])
    """
    if not 1 < power < 2:
        raise ConfigError(
            [f"the power of the Tweedie loss must lie between 1 and 2, not {power:g}"],
            remedy="poisson is the limit at 1, gamma at 2",
        )
    value, slope = partial(_tweedie, power=power), partial(_tweedie_slope, power=power)
    return _of_a_mean(value, slope, check=check_amounts)


def _of_a_mean(value: Entries, slope: Entries, **known: object) -> Loss:
    """A loss of outputs that are the logarithms of means."""
    known = {"rooted": True, "constant": _best_log, "answer": _growth_slope, **known}
    return _entrywise(value, slope, _square_of_mean, **known)


def _dispersed(Z: Logits) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(log mean z, r = 1 / dispersion, log(1 + mean / r), log(mean / r)), [M, B] each."""
    z, spread = Z[..., 0], Z[..., 1].clamp(-WIDEST, WIDEST)
    odds = z + spread
    return z, (-spread).exp(), F.softplus(odds), odds


def _negative_binomial_rows(Z: Logits, targets: Tensor) -> RowLosses:
    z, r, log_total, _ = _dispersed(Z)
    y = targets.to(Z.dtype)
    return torch.lgamma(y + 1) - y * z + (y + r) * log_total - _log_rising(y, r)


def _negative_binomial_residual(Z: Logits, targets: Tensor) -> Logits:
    _, r, log_total, odds = _dispersed(Z)
    y = targets.to(Z.dtype)
    by_odds = (y + r) * torch.sigmoid(odds)
    by_spread = by_odds - r * log_total + r * _log_rising_slope(y, r)
    within = Z[..., 1].abs() <= WIDEST
    return torch.stack([by_odds - y, by_spread * within], -1)


def _of_dispersion(Z: Tensor, Y: Tensor, spread: float) -> Tensor:
    r = Z.new_tensor(math.exp(-spread))
    return torch.lgamma(Y + 1) - Y * Z + (Y + r) * F.softplus(Z + spread) - _log_rising(Y, r)


def _of_dispersion_slope(Z: Tensor, Y: Tensor, spread: float) -> Tensor:
    return (Y + math.exp(-spread)) * torch.sigmoid(Z + spread) - Y


def _of_dispersion_floor(targets: Tensor, spread: float) -> Tensor:
    rows = _of_dispersion(targets.clamp_min(SMALLEST).log(), targets, spread)
    return rows.mean(-1) if rows.ndim == 2 else rows


def negative_binomial(dispersion: float) -> Loss:
    """Minus the logarithm of negative binomial probabilities of a given dispersion d: variance m + d m^2, m = e^z.

    Rows of large means count for less than by Poisson's law: the slope is (m - y) / (1 + d m).

    >>> negative_binomial(1.0).rows(torch.zeros(1, 1, 1), torch.zeros(1)).exp()  # 1 / P(0) = 1 + d m, to the 1 / d
    tensor([[2.]])
    """
    low, high = math.exp(-WIDEST), math.exp(WIDEST)
    if not low <= dispersion <= high:
        template = "the dispersion must lie between {low:.1g} and {high:.1g}, not {dispersion:g}"
        mistake = Message(template, low=low, high=high, dispersion=dispersion)
        raise ConfigError([mistake], remedy="poisson is the limit at 0")
    value, slope, floor = (
        partial(of, spread=math.log(dispersion)) for of in (_of_dispersion, _of_dispersion_slope, _of_dispersion_floor)
    )
    return _of_a_mean(value, slope, check=check_amounts, floor=floor)


def _log_rising(y: Tensor, r: Tensor) -> Tensor:
    """log of r (r + 1) ... (r + y - 1) / r^y: between large numbers from Stirling's series, without their difference.

    >>> _log_rising(torch.tensor(2.0), torch.tensor(4.0)).exp()  # 4 * 5 / 16
    tensor(1.2500)
    """
    near, far = r.clamp_max(LARGE), r.clamp_min(LARGE)
    exact = torch.lgamma(y + near) - torch.lgamma(near) - y * near.log()
    series = (y + far - 0.5) * torch.log1p(y / far) - y + _stirling(y + far) - _stirling(far)
    return torch.where(r < LARGE, exact, series)


def _log_rising_slope(y: Tensor, r: Tensor) -> Tensor:
    """Its derivative by r."""
    near, far = r.clamp_max(LARGE), r.clamp_min(LARGE)
    exact = torch.digamma(y + near) - torch.digamma(near) - y / near
    series = torch.log1p(y / far) - (y + far - 0.5) * y / (far * (far + y)) + _stirling_slope(y + far)
    return torch.where(r < LARGE, exact, series - _stirling_slope(far))


def _stirling(x: Tensor) -> Tensor:
    inverse = 1 / x
    square = inverse.square()
    return inverse * (1 / 12 - square * (1 / 360 - square * (1 / 1260 - square / 1680)))


def _stirling_slope(x: Tensor) -> Tensor:
    square = 1 / x.square()
    return -square * (1 / 12 - square * (1 / 120 - square * (1 / 252 - square / 240)))


def _best_dispersion(targets: Tensor, weights: Tensor | None, outputs: int) -> Tensor:
    """The mean's logarithm, which is best whatever the dispersion is, and the best dispersion's by golden section."""
    z = _best_log(targets, weights, 1)
    y, low, high = targets.double(), -WIDEST, WIDEST

    def cost(spread: float) -> float:
        Z = torch.stack([z[0], z.new_tensor(spread)]).expand(1, len(y), 2)
        return float(weighted_mean(_negative_binomial_rows(Z, y)[0], weights))

    for _ in range(HALVINGS):
        left, right = high - STEP * (high - low), low + STEP * (high - low)
        low, high = (low, right) if cost(left) <= cost(right) else (left, high)
    return torch.stack([z[0], z.new_tensor((low + high) / 2)])


def _mean_of_counts(Z: Tensor) -> Tensor:
    return _growth_slope(Z[..., :1])


def _squares_of_counts(Z: Logits, targets: Tensor) -> RowLosses:
    return _square_of_mean(Z[..., 0], targets.to(Z.dtype))


def _two(targets: Tensor) -> int:
    return 2


MSE = _entrywise(_square, _square_slope, _square, rooted=True, check=check_values, constant=_best_mean)
MAE = _entrywise(_absolute, _absolute_slope, _absolute, check=check_values, constant=_best_median)
# Minus the logarithm of Poisson's probabilities, log y! included, so that it compares with other laws of counts.
POISSON = _of_a_mean(_poisson, _poisson_slope, check=check_amounts, floor=_poisson_floor)
# Minus the logarithm of a gamma density of shape 1, log m + y / m.
GAMMA = _of_a_mean(_gamma, _gamma_slope, check=check_positive, floor=_gamma_floor)
# Two outputs: the mean's logarithm and the dispersion's; variance m + dispersion m^2 (NB2). In the limit of no
# dispersion it is Poisson's, whose least loss is the least here too.
NEGATIVE_BINOMIAL = Loss(
    _negative_binomial_rows,
    _negative_binomial_residual,
    _squares_of_counts,
    rooted=True,
    check=check_one_amount,
    floor=_poisson_floor,
    constant=_best_dispersion,
    answer=_mean_of_counts,
    outputs=_two,
    shared=all_but_the_first,
)

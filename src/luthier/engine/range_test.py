"""The learning-rate range test: several seeds in one stack, all rules shown, the pick confirmed.

S steps, K seeds. The rate rises exponentially over mini-batches; the loss is smoothed by a debiased
moving average; rules read the smoothed curve over the logarithm of the rate.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import torch

from luthier.averages import debias
from luthier.drawing import RangeCurves, draw_range, small_table
from luthier.engine.feed import batches_for
from luthier.engine.members.devices import sent
from luthier.engine.members.member import Member
from luthier.engine.members.module_spec import ModuleSpec
from luthier.engine.members.settings import Settings
from luthier.engine.populations.population import Population
from luthier.errors import LuthierError
from luthier.identity import name_of
from luthier.nets import Spec
from luthier.records import JsonObject
from luthier.rows import Rows

if TYPE_CHECKING:
    import plotly.graph_objects as go

SMOOTHING = 0.9  # a tenth of 100 steps of memory; the average is debiased
DIVERGED = 4.0  # times the best smoothed loss
SOLVED = 0.01  # times the loss at the start: what is lower tells no rate from another
FELL = 0.9  # times the loss at the start: what stays above has not fallen beyond the noise of batches
WIDENED = 100.0
MOST_WIDENINGS = 2
LOOKED_EVERY = 10  # steps between looks whether every network has diverged
FACTORS = (0.5, 1.0, 2.0)
ALIKE, MOST_RAISES = 2e-3, 8  # share of the loss by which short runs at too low rates differ; how often they are raised
Trial = dict[str, float | None]


@dataclass(frozen=True)
class RangeTest:
    """The curves and what the rules make of them.

    `rates` [S]; `losses`, `low`, `high` [S] are the median and the band over seeds, None where a
    curve had diverged. `rules` holds each rule's median suggestion, `pick` the one that is used:
    a tenth of the rate at the minimum. `trials` are the short runs that confirm it.
    """

    rule: str
    rates: list[float]
    losses: list[float | None]
    low: list[float | None]
    high: list[float | None]
    rules: dict[str, float]
    band: dict[str, tuple[float, float]]
    pick: float
    widened: bool
    trials: tuple[dict[str, float | None], ...] = ()

    @property
    def rate(self) -> float:
        """The rate to use: the pick, or the multiple of it that did best in the confirming runs."""
        losses = {trial["rate"]: trial["loss"] for trial in self.trials if trial["loss"] is not None}
        best = min(losses, key=lambda rate: losses[rate]) if losses else None
        if best is not None:
            return best
        return self.pick if not self.trials else self.pick * min(FACTORS)

    def confirmed(self, trials: list[dict[str, float | None]]) -> RangeTest:
        """The same test together with short runs near its pick."""
        return replace(self, trials=tuple(trials))

    def to_json(self) -> JsonObject:
        """The test as plain JSON values."""
        return asdict(self)

    def plot(self) -> go.Figure:
        """The median loss against the rate with its band over seeds, the rules' suggestions and the rate to use."""
        return draw_range(RangeCurves(self.rates, self.losses, self.low, self.high, self.rules), self.rate)

    def __repr__(self) -> str:
        rules = ", ".join(f"{name} {rate:.3g}" for name, rate in self.rules.items())
        return f"RangeTest(rate {self.rate:.3g}; {rules}; from {self.rates[0]:.3g} to {self.rates[-1]:.3g})"

    def _repr_html_(self) -> str:
        rows = [(name, f"{rate:.3g}", "{:.3g} to {:.3g}".format(*self.band[name])) for name, rate in self.rules.items()]
        return small_table(("suggested by", "rate", "over seeds"), [*rows, ("to use", f"{self.rate:.3g}", "")])


def range_test(
    spec: Spec | ModuleSpec,
    training: Rows,
    settings: Settings,
    *,
    seeds: Sequence[int],
    low: float = 1e-6,
    high: float = 10.0,
    widenings: int = MOST_WIDENINGS,
) -> RangeTest:
    """Raise the rate from `low` to `high` over the steps of the settings, one network for each seed, stacked.

    The range is widened, so many times at most, when no loss ever fell, or none diverged or came to next to nothing.
    The networks are the test's own, so nothing outside it is changed.
    """
    return ramp_until_it_tells(
        lambda rates: _ramp(spec, training, settings, seeds, rates),
        name=name_of(settings.rule),
        steps=settings.steps,
        low=low,
        high=high,
        widenings=widenings,
    )


def ramp_until_it_tells(
    ramp: Callable[[np.ndarray], np.ndarray],
    *,
    name: str,
    steps: int,
    low: float,
    high: float,
    widenings: int = MOST_WIDENINGS,
    fell: float = FELL,
) -> RangeTest:
    """The range test over any `ramp`, which gives raw losses [K, S] for rising rates [S].

    LuthierError where the losses of all seeds are not finite at the first step.
    """
    widened, decades = False, np.log(high / low)
    for attempt in range(1 + widenings):
        # As many steps a decade in a wider range.
        rates = np.geomspace(low, high, round(steps * np.log(high / low) / decades))
        curves = np.stack([smooth(curve) for curve in ramp(rates)])
        begun = curves[np.isfinite(curves[:, 0])]
        if not len(begun):
            raise LuthierError(
                "no rate found",
                expected="a loss that is finite before the first step",
                received="losses that are not",
                remedy="look at the scale of inputs, targets and first weights; luthier.diagnose finds the layer",
            )
        start = np.nanmedian(begun[:, : max(1, len(rates) // 10)], 1)
        falls = bool((np.nanmin(begun, 1) < start - (1 - fell) * np.abs(start)).any())
        diverged = bool(np.isnan(curves[:, -1]).any() or any(_solved_at(curve) for curve in curves))
        if (falls and diverged) or attempt == widenings:
            break
        high, low, widened = (high if diverged else high * WIDENED), (low if falls else low / WIDENED), True
    suggestions = [suggest(rates, curve) for curve in curves]
    rules = {rule: [result[rule] for result in suggestions] for rule in suggestions[0]}
    medians = {rule: float(np.median(values)) for rule, values in rules.items()}
    median, lower, upper = band_over_seeds(curves)
    return RangeTest(
        rule=name,
        rates=[float(rate) for rate in rates],
        losses=median,
        low=lower,
        high=upper,
        rules=medians,
        band={rule: (float(min(values)), float(max(values))) for rule, values in rules.items()},
        pick=medians["minimum / 10"],
        widened=widened,
    )


def _ramp(
    spec: Spec | ModuleSpec, training: Rows, settings: Settings, seeds: Sequence[int], rates: np.ndarray
) -> np.ndarray:
    """Raw training losses [K, S] while the rate rises."""
    members = [Member(spec=spec, seed=seed, learning_rate=1.0) for seed in seeds]
    schedule = np.repeat(rates[:, None], len(members), 1)
    return _losses(members, training, settings, schedule)


def _losses(members: Sequence[Member], training: Rows, settings: Settings, rates: np.ndarray) -> np.ndarray:
    """Training losses [K, S] under given rates [S, K]."""
    population = Population.of(members, settings, len(training))
    batches = batches_for(population, training)
    for step, row in enumerate(rates):
        rate = sent(torch.tensor(row, dtype=settings.dtype).unsqueeze(1), settings.device)
        population.step([batches.at(step)], step + 1, rate)
        if step % LOOKED_EVERY == 0 and not population.losses()[-1].isfinite().any():
            break
    result = np.full((len(members), len(rates)), np.nan)
    losses = population.losses().T.double().numpy()
    result[:, : losses.shape[1]] = losses
    return result


def smooth(curve: np.ndarray, memory: float = SMOOTHING) -> np.ndarray:
    """The debiased moving average of a curve [S], NaN from where it diverged on.

    Diverged means not finite, or more than four times the best average so far.

    >>> smooth(np.array([1.0, 1.0, 1.0])).tolist()
    [1.0, 1.0, 1.0]
    """
    result = np.full(len(curve), np.nan)
    average, best = 0.0, np.inf
    for step, loss in enumerate(curve):
        average = memory * average + (1 - memory) * loss
        value = debias(average, memory, step + 1)
        if not np.isfinite(value) or value > _limit(best, curve[0]):
            break
        best = min(best, value)
        result[step] = value
    return result


def _limit(best: float, first: float) -> float:
    """Above which a smoothed loss has diverged. Losses that may be negative have no zero to be multiples of."""
    return DIVERGED * best if best > 0 else best + (DIVERGED - 1) * max(abs(first), first - best)


def suggest(rates: np.ndarray, curve: np.ndarray) -> dict[str, float]:
    """What each rule suggests for one smoothed curve [S] over rates [S]."""
    known = int(np.isfinite(curve).sum())
    lowest = _solved_at(curve) or (int(np.nanargmin(curve)) if known else 0)
    rates_log = np.log(rates)
    steepest = lowest
    if lowest >= 2:
        slope = np.gradient(curve[: lowest + 1], rates_log[: lowest + 1])
        steepest = int(np.argmin(slope))
    start, end = _longest_fall(curve[: max(known, 1)])
    valley = start + round((end - start) / 2)
    return {
        "minimum / 10": float(rates[lowest] / 10),
        "steepest": float(rates[steepest]),
        "valley": float(rates[valley]),
    }


def _solved_at(curve: np.ndarray) -> int:
    """The first place where next to nothing is left of the loss; 0 where it never comes to that.

    The smoothed curve [S] shows it later, by as many steps as its memory takes to forget the loss before.
    """
    if (curve < 0).any():
        return 0
    low = np.flatnonzero(curve <= SOLVED * max(curve[0], 0.0))
    return max(1, int(low[0]) - round(np.log(SOLVED) / np.log(SMOOTHING))) if len(low) and curve[0] > 0 else 0


def _longest_fall(curve: np.ndarray) -> tuple[int, int]:
    """Start and end of the longest stretch in which the curve falls without a break."""
    best, start = (0, 0), 0
    for place, (before, after) in enumerate(pairwise(curve), start=1):
        if not after < before:
            start = place
        if place - start > best[1] - best[0]:
            best = (start, place)
    return best


def band_over_seeds(curves: np.ndarray) -> tuple[list[float | None], list[float | None], list[float | None]]:
    """Median, lowest and highest over seeds at each rate, where at least half of them had not diverged."""
    columns = []
    for values in curves.T:
        finite = values[np.isfinite(values)]
        enough = len(finite) * 2 >= len(values) and len(finite) > 0
        columns.append([float(x) for x in (np.median(finite), finite.min(), finite.max())] if enough else [None] * 3)
    median, low, high = zip(*columns, strict=True)
    return list(median), list(low), list(high)


def confirm(
    pick: float, spec: Spec | ModuleSpec, training: Rows, settings: Settings, *, seeds: Sequence[int], steps: int
) -> list[Trial]:
    """Short runs at half, one and two times the pick, all seeds of all factors in one stack, and beyond while these
    rates are too low to change the loss (`while_too_low`)."""

    def runs(rates: Sequence[float]) -> np.ndarray:
        members = [Member(spec=spec, seed=seed, learning_rate=rate) for rate in rates for seed in seeds]
        followed = np.repeat(np.array([[member.learning_rate for member in members]]), steps, 0)
        return _losses(members, training, settings, followed).reshape(len(rates), len(seeds), steps)

    return while_too_low(pick, runs)


def while_too_low(pick: float, runs: Callable[[Sequence[float]], np.ndarray]) -> list[Trial]:
    """Short runs [rates, seeds, steps] at half, one and two times the pick. While all end alike, at eight times those
    rates, and then on as long as the highest is the best.

    Runs of one seed see the same batches, so that losses which differ by less than `ALIKE` of their size come from
    rates too low to change anything: where batches are noisier than what the range test gained, its lowest loss lies
    anywhere. Each entry has the factor, the rate and the median over seeds of the mean loss of the last fifth of the
    run (None where most seeds diverged).

    >>> def valley(rates):  # nothing learns below 1e-3, 0.1 is the best
    ...     return (1 + 0.1 * np.log10(np.array(rates).clip(1e-3) / 0.1) ** 2)[:, None, None]
    >>> trials = while_too_low(1e-6, valley)
    >>> [one["rate"] for one in trials[::3]]
    [5e-07, 4e-06, 3.2e-05, 0.000256, 0.002048, 0.016384, 0.131072]
    """
    result: list[Trial] = []
    for turn in range(1 + MOST_RAISES):
        factors = [8.0**turn * factor for factor in FACTORS]
        losses = runs([pick * factor for factor in factors])
        tail = losses[:, :, -max(1, losses.shape[2] // 5) :].mean(2)
        medians = np.median(np.where(np.isfinite(tail), tail, np.inf), axis=1)
        result += [
            {"factor": factor, "rate": pick * factor, "loss": float(loss) if np.isfinite(loss) else None}
            for factor, loss in zip(factors, medians, strict=True)
        ]
        if not np.isfinite(medians).all():
            break
        alike = np.ptp(medians) <= ALIKE * np.abs(medians).max()
        falling = turn > 0 and medians.argmin() == len(medians) - 1
        if not (alike or falling):
            break
    return result

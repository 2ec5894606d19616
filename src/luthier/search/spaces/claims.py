"""What a search may claim: findings about the search itself."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from luthier.messages import Message
from luthier.records import Finding
from luthier.search.spaces.space import Choice, Space
from luthier.search.spaces.trials import COMPLETE, Trial
from luthier.statistics.paired import by_seed

EDGE = 0.03  # of a range, counted as its edge


def at_edges(space: Space, best: Trial) -> list[Finding]:
    """Dimensions in which the best setting lies at an end of its range, and how to go on."""
    result = []
    for name, dimension in space.dimensions.items():
        if isinstance(dimension, Choice) or name not in best.values:
            continue
        share, value = dimension.share(best.values[name]), best.values[name]
        if EDGE <= share <= 1 - EDGE and not (dimension.integer and value in (dimension.low, dimension.high)):
            continue
        bound = dimension.low if share < 0.5 else dimension.high
        if bound in dimension.limits:
            continue  # there is nothing beyond
        template = "the best {name}, {value:.4g}, lies at the upper edge of its range, {bound:g}"
        remedy = "widen the range of {name} above {bound:g} and search again"
        if share < 0.5:
            template = "the best {name}, {value:.4g}, lies at the lower edge of its range, {bound:g}"
            remedy = "widen the range of {name} below {bound:g} and search again"
        evidence = {"name": name, "value": value, "share": share, "bound": bound}
        sentence, advice = Message(template, **evidence), Message(remedy, **evidence)
        result.append(Finding("best-at-edge", "warning", sentence, evidence, advice, "S0-04"))
    return result


def still_improving(trial: Trial) -> bool:
    """Whether the weights that were kept are those of the last tenth of training."""
    return bool(trial.curve) and trial.best_step >= 0.9 * trial.steps


def convergence(trials: Sequence[Trial], noise: float) -> Finding | None:
    """Whether the second half of the trials found anything beyond the noise of a seed."""
    values = [trial.value for trial in trials if trial.status == COMPLETE and math.isfinite(trial.value)]
    if len(values) < 10 or noise <= 0:
        return None
    half = len(values) // 2
    before, after = min(values[:half]), min(values)
    converged = before - after <= 2 * noise
    template = (
        "the search has converged: its second half improved the best by {gain:.3g}, within twice the noise of a "
        "seed ({noise:.2g})"
    )
    if not converged:
        template = (
            "the search has not converged: its second half improved the best by {gain:.3g}, beyond twice the noise of "
            "a seed ({noise:.2g})"
        )
    sentence = Message(template, gain=before - after, noise=noise)
    evidence = {"before": before, "after": after, "noise": noise}
    code, remedy = ("converged", "") if converged else ("not-converged", "more trials may find better settings")
    return Finding(code, "note", sentence, evidence, remedy)


def same_within_noise(values: Mapping[int, Sequence[float]], best: int) -> Finding | None:
    """Whether the best candidate cannot be told from any other by refits with the same seeds."""
    others = [number for number in values if number != best]
    gains = {number: by_seed(values[number], values[best]) for number in others}
    unclear = [number for number, gain in gains.items() if not gain.clear]
    if not others or len(unclear) < len(others):
        return None
    template = (
        "the top {count} settings are equal within the noise: refitted with {seeds} seeds, none differs clearly from "
        "the best"
    )
    sentence = Message(template, count=len(values), seeds=len(values[best]))
    evidence = {str(number): gain.to_json() for number, gain in gains.items()}
    remedy = "choose among them by cost or simplicity; more seeds are needed to distinguish them"
    return Finding("top-is-noise", "note", sentence, evidence, remedy)

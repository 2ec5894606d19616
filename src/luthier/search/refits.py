"""After a search: how long to train, which of the best few it is, and what that one really gives.

The lowest loss of a search is its luckiest draw. So the best few are trained anew with the same seeds,
the best by its mean is chosen, and its figures are those of fresh seeds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from luthier.messages import Message
from luthier.records import Finding
from luthier.search.search_outcome import SearchOutcome
from luthier.search.spaces.claims import at_edges, convergence, same_within_noise, still_improving
from luthier.search.spaces.sensitivity import contradictions
from luthier.search.spaces.space import Values
from luthier.search.spaces.stages import Bracket
from luthier.search.spaces.trials import Trial, best_first
from luthier.search.training import Training
from luthier.seeds import derive
from luthier.statistics.paired import by_seed

CANDIDATES, CHOOSING_SEEDS, LENGTH_SEEDS = 5, 3, 5
MOST_DOUBLINGS = 4


@dataclass(frozen=True)
class Refits:
    """How many trainings there is time for, and when they must end."""

    count: int = 1_000_000
    until: float = math.inf


def refit(outcome: SearchOutcome, training: Training, tell: Callable[..., None], room: Refits) -> None:
    """Tune the length where that was asked for, choose among the best few, and measure the best on fresh seeds."""
    again = _Again(training, room.until)
    if "epochs" in outcome.space.dimensions and room.count >= 2 * LENGTH_SEEDS:
        _tune_length(outcome, again, tell, room.count / 2)
    if outcome.effort.confirm:
        _confirm(outcome, again, tell, room.count)


@dataclass(frozen=True)
class _Again:
    training: Training
    until: float

    def __call__(self, stage: str, settings: Sequence[Values], seeds: int, *, keep: bool = False) -> list[list[Trial]]:
        """The trials of each setting, with the same seeds for all; `keep` keeps the weights of the last."""
        training, first = self.training, len(self.training.trials)
        wanted = [(values, k) for values in settings for k in range(seeds)]
        numbers = training.numbers(f"{stage}/{first}", [values for values, _ in wanted], stage)
        trials = [
            Trial(number, values, derive(training.effort.seed, stage, k), stage)
            for number, (values, k) in zip(numbers, wanted, strict=True)
        ]
        key = f"{stage}/{first}/trained"
        ended = training.train(key, trials, Bracket(len(trials)), until=self.until, keep=keep)
        return [ended[place : place + seeds] for place in range(0, len(ended), seeds)]


def _tune_length(outcome: SearchOutcome, again: _Again, tell: Callable[..., None], room: float) -> None:
    """Double the training while the best setting is still improving at its end and gains clearly."""
    best, most = outcome.best, outcome.space.dimensions["epochs"]
    assert best is not None
    values = dict(best.values)
    (before,) = again("length", [values], LENGTH_SEEDS)
    first, used = int(values["epochs"]), float(LENGTH_SEEDS)
    for _ in range(MOST_DOUBLINGS):
        now = int(values["epochs"])
        longer = min(2 * now, int(most.at(1.0)))
        used += LENGTH_SEEDS * longer / first
        if longer <= now or not any(map(still_improving, before)) or used > room:
            break
        (after,) = again("length", [{**values, "epochs": longer}], LENGTH_SEEDS)
        gain = by_seed([t.value for t in before], [t.value for t in after])
        helped = gain.clear and gain.mean > 0
        template = "{longer} epochs instead of {now}: validation loss {gain:+.4g}, kept"
        if not helped:
            template = (
                "{longer} epochs instead of {now}: validation loss {gain:+.4g}, inside the noise, so the shorter "
                "training is kept"
            )
        sentence = Message(template, longer=longer, now=now, gain=-gain.mean)
        outcome.notes.append(sentence)
        tell("note", sentence=sentence)
        if not helped:
            break
        values, before = {**values, "epochs": longer}, after
    outcome.best = replace(best, values=values)


def _confirm(outcome: SearchOutcome, again: _Again, tell: Callable[..., None], room: int) -> None:
    best = outcome.best
    assert best is not None
    seeds = min(outcome.effort.confirm, room // 2)
    few = min(CANDIDATES, (room - 2 * seeds) // CHOOSING_SEEDS)
    if seeds < min(2, outcome.effort.confirm):
        outcome.notes.append(
            Message("there was no time for refits: the best loss is that of the selected trial, and optimistic")
        )
        tell("note", sentence=outcome.notes[-1])
        return
    length = {name: best.values[name] for name in ("epochs",) if name in best.values}
    candidates = [replace(t, values={**t.values, **length}) for t in best_first(outcome.candidates)[: max(1, few)]]
    if len(candidates) > 1:
        fits = again("refit", [candidate.values for candidate in candidates], CHOOSING_SEEDS)
        for candidate, trials in zip(candidates, fits, strict=True):
            outcome.refits[candidate.number] = [trial.value for trial in trials]
        means = {number: float(np.mean(values)) for number, values in outcome.refits.items()}
        chosen = min(means, key=lambda number: (means[number], number))
        outcome.best = best = next(candidate for candidate in candidates if candidate.number == chosen)
    default = {**outcome.space.default(), **length}
    settings = [default, best.values] if default != best.values else [best.values]
    measured = again("final", settings, seeds, keep=True)
    outcome.final, kept = measured[-1], again.training.states
    outcome.states = [kept[trial.number] for trial in outcome.final if trial.number in kept]
    if len(measured) > 1:
        outcome.final_default = measured[0]
        gain = by_seed(*([trial.value for trial in trials] for trials in measured))
        outcome.gain = gain if gain.pairs > 1 else None  # a single difference has no interval


def findings(outcome: SearchOutcome, best: Trial) -> list[Finding]:
    """What is to be said about a search and its best setting."""
    result = at_edges(outcome.space, best)
    improving = [trial for trial in outcome.final or [best] if still_improving(trial)]
    if improving and len(improving) * 2 > len(outcome.final or [best]):
        sentence = "the best setting is still improving at the end of its training"
        evidence = {"best step": improving[0].best_step, "steps": improving[0].steps}
        remedy = "train longer: more epochs, or `epochs` as a dimension, which is tuned last"
        result.append(Finding("still-improving", "warning", sentence, evidence, remedy))
    noise = [float(np.std(values, ddof=1)) for values in outcome.refits.values() if np.isfinite(values).all()]
    result += [f for f in (convergence(outcome.searched, float(np.median(noise)) if noise else 0.0),) if f]
    if outcome.refits and best.number in outcome.refits:
        result += [f for f in (same_within_noise(outcome.refits, best.number),) if f]
    if outcome.final and not outcome.final_default:
        sentence = "no setting that was tried is better than the default"
        result.append(Finding("default-is-best", "note", sentence, remedy="search a wider space, or with more trials"))
    if outcome.gain is not None and not outcome.gain.clear:
        sentence = Message("the gain over the default setting, {gain}, is inside the noise", gain=outcome.gain)
        remedy = "keep the default, or search a wider space"
        result.append(Finding("gain-is-noise", "warning", sentence, outcome.gain.to_json(), remedy))
    result += contradictions(outcome.tables)
    return result

"""Step 3: fit the training set. Range test, optimiser, width, depth, schedule (S4-08 to S4-21)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from luthier.population import Member, Schedule, Settings, confirm, range_test
from luthier.recipe.evidence import by_setting, summary
from luthier.recipe.work import Trained, Work
from luthier.records import Decision, Finding, Option
from luthier.seeds import derive

DEFAULT_RATES = {"sgd": 0.1, "adam": 3e-3}  # where the time for a range test is missing
RULE_WORDS = {"sgd": "SGD with momentum", "adam": "Adam"}


@dataclass(frozen=True)
class Setting:
    """A member's hyper-parameters together with where it was found."""

    method: str
    rule: str
    member: Member
    validation_loss: float
    train_loss: float


def find_rates(work: Work, method: str) -> dict[str, float]:
    """The learning-rate range test for each optimiser, confirmed by short runs."""
    rates: dict[str, float] = {}
    for rule in work.plan.rules:
        name = f"range-{rule}"
        if work.stopper(name, "range")(0):
            work.record_cut(name, 0)
            rates[rule] = DEFAULT_RATES[rule]
            continue
        found = work.memory.json(name, partial(_range_test, work, method, rule))
        rates[rule] = float(found["confirmed_rate"])
        work.ledger.decide(
            Decision(
                step=3,
                topic=f"learning rate for {RULE_WORDS[rule]}",
                chosen=f"{rates[rule]:.3g}",
                reason=found["reason"],
                options=tuple(Option(name, {"rate": rate}) for name, rate in found["rules"].items()),
                evidence={
                    "confirmed": found["confirmed"],
                    "band": found["band"],
                    "seeds": work.plan.range_seeds,
                },
            )
        )
    return rates


def _range_test(work: Work, method: str, rule: str) -> dict[str, Any]:
    _, training, _ = work.prepared(method)
    spec, steps = work.spec(method, (work.plan.widths[0],)), work.plan.range_steps
    settings = Settings(
        loss=work.loss,
        rule=rule,
        batch_size=work.plan.batch_size,
        steps=steps,
        evaluate_every=steps,
        batch_seed=work.seed,
    )
    seeds = [derive(work.seed, "range", k) for k in range(work.plan.range_seeds)]
    work.tell("range", rule=rule)
    tested = range_test(spec, training, settings, seeds=seeds, steps=steps)
    confirmed = confirm(tested.pick, spec, training, settings, seeds=seeds, steps=steps)
    measured = [entry for entry in confirmed if entry["loss"] is not None]
    best = min(measured, key=lambda entry: entry["loss"] or 0.0) if measured else confirmed[0]
    reason = f"a tenth of the rate at the lowest loss is {tested.pick:.3g}, the median of {len(seeds)} seeds"
    reason += (
        f"; short runs at half, one and two times it do best at {best['factor']:g} times"
        if measured
        else "; short runs diverged at all multiples, so the smallest is taken"
    )
    return {**tested.to_json(), "confirmed": confirmed, "confirmed_rate": best["rate"], "reason": reason}


def fit_training(work: Work, method: str, rates: dict[str, float]) -> Setting:
    """Populations over optimiser, width and depth, whose members differ in rate and schedule."""
    plan = work.plan
    for rule in plan.rules:
        for depth in plan.depths:
            for width in plan.widths:
                members = _members(work, method, (width,) * depth, rates[rule])
                name = f"train-{rule}-{width}x{depth}"
                work.train(name, "fit training", plan.fit_training, method, rule, members)
    populations = [trained for trained in work.trained if trained.stage == "fit training"]
    return _choose(work, populations) if populations else fallback(work, method, rates)


def _members(work: Work, method: str, hidden: tuple[int, ...], rate: float) -> list[Member]:
    spec, steps = work.spec(method, hidden), work.plan.fit_training.steps
    return [
        Member(
            spec=spec,
            seed=derive(work.seed, "member", k),
            learning_rate=rate * factor,
            schedule=schedule_named(name, steps),
            label=f"{name}, rate {rate * factor:.3g}, seed {k}",
        )
        for factor in work.plan.rate_factors
        for name in work.plan.schedules
        for k in range(work.plan.seeds)
    ]


def schedule_named(name: str, steps: int) -> Schedule:
    """The planned form of a schedule: three restarts in a training, each half as long again (S4-17)."""
    if name == "restarts":
        return Schedule("restarts", period=max(1, round(steps / 4.75)), multiplier=1.5)
    return Schedule(name)  # type: ignore[arg-type]


def fallback(work: Work, method: str, rates: dict[str, float]) -> Setting:
    """The setting to go on with when the time was up before anything was trained."""
    rule = "adam"
    member = _members(work, method, (work.plan.widths[0],), rates.get(rule, DEFAULT_RATES[rule]))[0]
    return Setting(method, rule, member, float("nan"), float("nan"))


def _choose(work: Work, populations: list[Trained]) -> Setting:
    """Among the settings that fit the training set, the one with the lowest validation loss."""
    best_by_population = {trained.name: trained.usable()[0] for trained in populations}
    lowest_training = min(float(np.nanmin(trained.train_loss)) for trained in populations)
    best = min(populations, key=lambda trained: trained.validation_loss[best_by_population[trained.name]])
    index = best_by_population[best.name]
    validation_loss = float(best.validation_loss[index])
    _gate(work, lowest_training, validation_loss)
    _explain(work, populations, best, index)
    return Setting(best.method, best.rule, best.members[index], validation_loss, float(best.train_loss[index]))


def _gate(work: Work, lowest_training: float, validation_loss: float) -> None:
    """The training set counts as fitted when some member beats, on it, the best loss on validation.

    Then the power to fit is there and the gap to validation is what is left to close; a network
    that cannot do better on rows it has seen than on new ones lacks capacity, time or signal.
    """
    fitted = lowest_training <= validation_loss
    evidence = {
        "lowest_training_loss": round(lowest_training, 5),
        "best_validation_loss": round(validation_loss, 5),
    }
    work.ledger.decide(
        Decision(
            step=3,
            topic="gate: is the training set fitted?",
            chosen="yes" if fitted else "no",
            reason="a network reaches a lower loss on the training rows than any does on the validation rows"
            if fitted
            else "no network does better on the rows it has seen than on new ones",
            evidence=evidence,
        )
    )
    if not fitted:
        work.ledger.find(
            Finding(
                code="underfitting",
                severity="warning",
                sentence="the training set was not fitted before the time for it was up",
                evidence=evidence,
                remedy="give it more time with --budget, or columns that say more about the target",
                source="S4-21",
            ),
            step=3,
        )


def _explain(work: Work, populations: list[Trained], best: Trained, index: int) -> None:
    winner = best.members[index]
    rows = [
        (trained, i, trained.members[i])
        for trained in populations
        for i in range(len(trained.members))
        if np.isfinite(trained.validation_loss[i])
    ]
    topics: dict[str, tuple[str, Callable[[Trained, Member], str]]] = {
        "optimiser": (RULE_WORDS[best.rule], lambda t, m: RULE_WORDS[t.rule]),
        "architecture": (shape_words(winner.spec.hidden), lambda t, m: shape_words(t.spec.hidden)),
        "schedule": (winner.schedule.kind, lambda t, m: m.schedule.kind),
        "learning rate": (f"{winner.learning_rate:.3g}", lambda t, m: f"{m.learning_rate:.3g} ({t.rule})"),
    }
    for topic, (chosen, key) in topics.items():
        groups = by_setting([t.validation_loss[i] for t, i, m in rows], [key(t, m) for t, i, m in rows])
        work.ledger.decide(
            Decision(
                step=3,
                topic=topic,
                chosen=chosen,
                reason="it belongs to the setting with the lowest validation loss among those that train",
                options=tuple(
                    Option(str(name), {"best": round(min(losses), 5), **summary(losses), "members": len(losses)})
                    for name, losses in groups.items()
                ),
                evidence={"measured": "validation loss; mean and spread over the members of each option"},
            )
        )


def shape_words(hidden: tuple[int, ...]) -> str:
    """Hidden layers in words.

    >>> shape_words((64, 64))
    '2 hidden layers of 64'
    """
    if not hidden:
        return "no hidden layer"
    return f"{len(hidden)} hidden layer{'s' if len(hidden) > 1 else ''} of {hidden[0]}"

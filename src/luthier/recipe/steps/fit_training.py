"""Step 3: fit the training set. Range test, optimiser, width, depth, schedule (S4-08 to S4-21)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from luthier.population import Member, Schedule, Settings, confirm, range_test
from luthier.recipe.evidence import by_setting, summary
from luthier.recipe.plan import Stage
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
    """Populations over optimiser, width and depth, whose members differ in rate and schedule.

    When none of them fits the training set, one more is tried that is wider, deeper and longer
    (S4-21): step 4 has nothing to work on before the training set is fitted.
    """
    plan = work.plan
    for rule in plan.rules:
        for depth in plan.depths:
            for width in plan.widths:
                _train(work, method, rule, (width,) * depth, rates[rule], plan.fit_training)
    populations = _populations(work)
    if not populations:
        return fallback(work, method, rates)
    if not _is_fitted(populations) and plan.fit_training.seconds is not None:
        best = min(populations, key=lambda trained: float(np.nanmin(trained.train_loss)))
        larger = (2 * max(plan.widths),) * (max(plan.depths) + 1)
        longer = plan.fit_training.model_copy(update={"steps": 2 * plan.fit_training.steps})
        _train(work, method, best.rule, larger, rates[best.rule], longer)
        populations = _populations(work)
    return _choose(work, populations)


def _train(work: Work, method: str, rule: str, hidden: tuple[int, ...], rate: float, stage: Stage) -> None:
    members = _members(work, method, hidden, rate, stage.steps)
    work.train(f"train-{rule}-{hidden[0]}x{len(hidden)}", "fit training", stage, method, rule, members)


def _populations(work: Work) -> list[Trained]:
    return [trained for trained in work.trained if trained.stage == "fit training"]


def _members(work: Work, method: str, hidden: tuple[int, ...], rate: float, steps: int) -> list[Member]:
    spec = work.spec(method, hidden)
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
    return Schedule(name)


def fallback(work: Work, method: str, rates: dict[str, float]) -> Setting:
    """The setting to go on with when the time was up before anything was trained."""
    rule, steps = "adam", work.plan.fit_training.steps
    member = _members(work, method, (work.plan.widths[0],), rates.get(rule, DEFAULT_RATES[rule]), steps)[0]
    return Setting(method, rule, member, float("nan"), float("nan"))


def _choose(work: Work, populations: list[Trained]) -> Setting:
    """Among the settings that fit the training set, the one with the lowest validation loss."""
    best = min(populations, key=lambda trained: trained.validation_loss[trained.usable()[0]])
    index = best.usable()[0]
    _gate(work, populations)
    _explain(work, populations, best, index)
    return Setting(
        best.method,
        best.rule,
        best.members[index],
        float(best.validation_loss[index]),
        float(best.train_loss[index]),
    )


def _lowest_losses(populations: list[Trained]) -> tuple[float, float]:
    """The lowest training loss, and the lowest validation loss, of all members."""
    training = min(float(np.nanmin(trained.train_loss)) for trained in populations)
    return training, min(float(np.nanmin(trained.validation_loss)) for trained in populations)


def _is_fitted(populations: list[Trained]) -> bool:
    """Whether some member beats, on the training rows, the best loss on the validation rows.

    Then the power to fit is there and the gap to validation is what is left to close; a network
    that cannot do better on rows it has seen than on new ones lacks capacity, time or signal.
    """
    training, validation = _lowest_losses(populations)
    return training <= validation


def _gate(work: Work, populations: list[Trained]) -> None:
    fitted = _is_fitted(populations)
    training, validation = _lowest_losses(populations)
    evidence = {"lowest_training_loss": round(training, 5), "best_validation_loss": round(validation, 5)}
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

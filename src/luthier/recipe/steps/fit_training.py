"""Step 3: fit the training set. Range test, optimiser, width, depth, schedule."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from luthier.engine import Member, Schedule, Settings, confirm, range_test
from luthier.nets import DenseSpec
from luthier.recipe.ladder import Fitted, Ladder, Setting
from luthier.recipe.options import RULE_WORDS, rule_options
from luthier.recipe.plan import WIDEST
from luthier.recipe.runner import Runner, TrainedPopulation
from luthier.recipe.steps import for_pictures, for_text
from luthier.recipe.steps.first_architecture import first_spec
from luthier.records import Decision, Finding, Option
from luthier.seeds import derive

DEFAULT_RATES = {"sgd": 0.1, "adam": 3e-3}  # where the time for a range test is missing


def find_rates(runner: Runner, method: str) -> dict[str, float]:
    """The learning-rate range test for each optimiser, confirmed by short runs."""
    rates: dict[str, float] = {}
    for rule in RULE_WORDS:
        name = f"range-{rule}"
        if not runner.memo.has(name) and runner.stopper(name, "range")(0):
            runner.record_cut(name, 0)
            rates[rule] = DEFAULT_RATES[rule]
            continue
        result = runner.memo.json(name, partial(_range_test, runner, method, rule))
        rates[rule] = float(result["confirmed_rate"])
        runner.ledger.decide(
            Decision(
                step=3,
                topic=f"learning rate for {RULE_WORDS[rule]}",
                chosen=f"{rates[rule]:.3g}",
                reason=result["reason"],
                options=tuple(Option(name, {"rate": rate}) for name, rate in result["rules"].items()),
                evidence={
                    "confirmed": result["confirmed"],
                    "band": result["band"],
                    "seeds": runner.plan.range_seeds,
                },
                rule="lowest of the short runs",
            )
        )
    return rates


def _range_test(runner: Runner, method: str, rule: str) -> dict[str, Any]:
    _, training, _ = runner.prepared(method)
    spec, steps = first_spec(runner, method), runner.plan.range_steps
    settings = Settings(
        loss=runner.loss,
        rule=rule,
        batch_size=runner.plan.batch_size,
        steps=steps,
        evaluate_every=steps,
        batch_seed=runner.seed,
        device=runner.device,
    )
    seeds = [derive(runner.seed, "range", k) for k in range(runner.plan.range_seeds)]
    runner.tell("range", rule=rule)
    tested = range_test(spec, training, settings, seeds=seeds, steps=steps)
    confirmed = confirm(tested.pick, spec, training, settings, seeds=seeds, steps=steps)
    measured = [entry for entry in confirmed if entry["loss"] is not None]
    best = min(measured, key=lambda entry: entry["loss"] or 0.0) if measured else confirmed[0]
    reason = (
        f"a tenth of the rate at the lowest loss of the range test is {tested.pick:.3g} (median of {len(seeds)} seeds)"
    )
    reason += (
        f"; in short runs at 0.5, 1 and 2 times that rate, the loss is lowest at {best['factor']:g} times"
        if measured
        else "; short runs diverged at 0.5, 1 and 2 times that rate, so the smallest is used"
    )
    return {**tested.to_json(), "confirmed": confirmed, "confirmed_rate": best["rate"], "reason": reason}


# What each rung tries, as the subject of a sentence.
WHY = {
    "rate": "another learning rate",
    "Adam": "Adam",
    "decay": "learning-rate decay",
    "restarts": "a schedule with warm restarts",
    "units": "a wider network",
    "batch size": "another batch size",
    "layers": "a deeper network",
}


_BY_MEDIUM: dict[str, tuple[Callable[..., Iterator[Setting]], dict[str, str]]] = {
    "pictures": (for_pictures.training_options, for_pictures.WHY_TRAINING),
    "text": (for_text.training_options, for_text.WHY_TRAINING),
}


def fit_training(runner: Runner, method: str, rates: dict[str, float]) -> Fitted:
    """Climb the ladder of step 3: each remedy stays only when it gains more than noise.

    What gained a little is tried again together with the remedies of step 4.
    """
    ladder = Ladder(runner, 3, "fit training", "train", runner.plan.fit_training)
    spec = first_spec(runner, method)
    start = Setting(method, "sgd", runner.plan.batch_size, Member(spec, 0, rates["sgd"]), "SGD")
    for rung in runner.plan.rungs(3):
        if rung.name == "together":
            ladder.together()
        elif rung.name in runner.plan.training_rungs:
            standing = start if ladder.standing is None else ladder.standing.setting
            options, why = _BY_MEDIUM.get(runner.medium, (_options, WHY))
            ladder.climb(rung.name, why[rung.name], list(options(rung.name, standing, rates, runner)))
    _gate(runner)
    if ladder.standing is None:
        return Fitted(fallback(runner, method, rates))
    near_misses = () if "together" in ladder.kept else ladder.near_misses
    # Networks of tables start anew in step 4, pictures' go on.
    return Fitted(
        ladder.standing.setting, near_misses, ladder.spread, ladder.standing if runner.medium == "pictures" else None
    )


def _options(name: str, now: Setting, rates: dict[str, float], runner: Runner) -> Iterator[Setting]:
    """What a rung tries, from the setting that stands now."""
    member = now.member
    hidden, rate = member.spec.hidden, member.learning_rate
    if name in ("rate", "Adam"):
        yield from rule_options(name, now, rates, (1.0, 0.3, 3.0))
    elif name in ("decay", "restarts"):
        kinds = ("cosine", "exponential") if name == "decay" else ("restarts",)
        for kind in kinds:
            for factor in (1.0, 2.0):
                changed = replace(member, schedule=Schedule(kind), learning_rate=rate * factor)
                yield replace(now, member=changed, label=f"{kind}, rate {rate * factor:.3g}")
    elif name == "units":
        for factor in (2, 4):
            widths = tuple(min(WIDEST, units * factor) for units in hidden)
            yield replace(now, member=replace(member, spec=_like(runner, now, widths)), label=shape_words(widths))
    elif name == "batch size":
        for size in (now.batch_size // 2, now.batch_size * 2):
            if 8 <= size <= len(runner.data.training):
                yield replace(now, batch_size=size, label=f"batches of {size}")
    else:
        for more in (1, 2):
            widths = hidden + hidden[-1:] * more
            yield replace(now, member=replace(member, spec=_like(runner, now, widths)), label=shape_words(widths))


def _like(runner: Runner, now: Setting, hidden: tuple[int, ...]) -> DenseSpec:
    """The same network with other hidden layers."""
    return replace(now.member.dense, hidden=hidden, residual=len(set(hidden)) == 1 and len(hidden) > 1)


def fallback(runner: Runner, method: str, rates: dict[str, float]) -> Setting:
    """The setting to go on with when the time was up before anything was trained."""
    member = Member(first_spec(runner, method), 0, rates.get("adam", DEFAULT_RATES["adam"]))
    return Setting(method, "adam", runner.plan.batch_size, replace(member, schedule=Schedule("cosine")), "Adam")


def _populations(runner: Runner) -> list[TrainedPopulation]:
    return [trained for trained in runner.trained if trained.stage == "fit training"]


def _lowest_losses(populations: list[TrainedPopulation]) -> tuple[float, float]:
    """The lowest training loss, and the lowest validation loss, of all members."""
    training = min(float(np.nanmin(trained.train_loss)) for trained in populations)
    return training, min(float(np.nanmin(trained.validation_loss)) for trained in populations)


def _is_fitted(populations: list[TrainedPopulation]) -> bool:
    """Whether some member beats, on the training rows, the best loss on the validation rows.

    Then the power to fit is there and the gap to validation is what is left to close; a network
    that cannot do better on rows it has seen than on new ones lacks capacity, time or signal.
    """
    training, validation = _lowest_losses(populations)
    return training <= validation


def _gate(runner: Runner) -> None:
    populations = _populations(runner)
    if not populations:
        return
    fitted = _is_fitted(populations)
    training, validation = _lowest_losses(populations)
    evidence = {"lowest_training_loss": round(training, 5), "best_validation_loss": round(validation, 5)}
    runner.ledger.decide(
        Decision(
            step=3,
            topic="gate: is the training set fitted?",
            chosen="yes" if fitted else "no",
            reason="the lowest training loss is below the lowest validation loss"
            if fitted
            else "the lowest training loss is above the lowest validation loss",
            evidence=evidence,
            rule="training below validation",
        )
    )
    if not fitted:
        runner.ledger.find(
            Finding(
                code="underfitting",
                severity="warning",
                sentence="the training set was not fitted within the time for step 3",
                evidence=evidence,
                remedy="give more time with --budget, or add columns that are related to the target",
                source="S4-21",
            ),
            step=3,
        )


def shape_words(hidden: tuple[int, ...]) -> str:
    """Hidden layers in words.

    >>> shape_words((64, 64))
    '2 hidden layers of 64'
    """
    if not hidden:
        return "no hidden layer"
    return f"{len(hidden)} hidden layer{'s' if len(hidden) > 1 else ''} of {hidden[0]}"

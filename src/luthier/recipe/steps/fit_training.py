"""Step 3: fit the training set. Range test, optimiser, width, depth, schedule."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from luthier.engine import Member, Schedule, Settings, confirm, range_test
from luthier.nets import DenseSpec, Spec
from luthier.recipe.decisions.decision import finite
from luthier.recipe.decisions.gates import FittedEvidence
from luthier.recipe.decisions.learning_rate import RULE_WORDS, RateEvidence, ShortRun
from luthier.recipe.ladder import Fitted, Ladder
from luthier.recipe.runner import Runner, TrainedPopulation
from luthier.recipe.setting import Setting
from luthier.recipe.steps import for_pictures, for_text
from luthier.recipe.steps.first_architecture import first_spec
from luthier.records import Finding
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
        runs = tuple(ShortRun(**one) for one in result["confirmed"])
        found = RateEvidence(rule, result["pick"], runner.plan.range_seeds, runs, result["rules"])
        rates[rule] = runner.ledger.decide(3, found)
    return rates


def rate_of(runner: Runner, setting: Setting, rule: str) -> float:
    """The rate of another rule for a setting's network, by a range test of its own."""
    one = setting.member.spec
    assert isinstance(one, DenseSpec)
    tested = partial(_range_test, runner, setting.method, rule, one, setting.batch_size)
    return float(runner.memo.json(f"range-{rule}-adopted", tested)["confirmed_rate"])


def _range_test(
    runner: Runner, method: str, rule: str, network: Spec | None = None, batch_size: int | None = None
) -> dict[str, Any]:
    problem = runner.problem
    _, training, _ = problem.prepared(method)
    spec, steps = network or first_spec(runner, method), runner.plan.range_steps
    settings = Settings(
        loss=problem.loss,
        rule=rule,
        batch_size=batch_size or runner.plan.batch_size,
        steps=steps,
        evaluate_every=steps,
        batch_seed=problem.seed,
        device=runner.device,
    )
    seeds = [derive(problem.seed, "range", k) for k in range(runner.plan.range_seeds)]
    runner.tell("range", rule=rule)
    tested = range_test(spec, training, settings, seeds=seeds, steps=steps)
    confirmed = confirm(tested.pick, spec, training, settings, seeds=seeds, steps=steps)
    measured = [entry for entry in confirmed if entry["loss"] is not None]
    best = min(measured, key=lambda entry: entry["loss"] or 0.0) if measured else confirmed[0]
    return {**tested.to_json(), "confirmed": confirmed, "confirmed_rate": best["rate"]}


_BY_MEDIUM: dict[str, Callable[..., Iterator[Setting]]] = {
    "pictures": for_pictures.training_options,
    "text": for_text.training_options,
}


def fit_training(runner: Runner, method: str, rates: dict[str, float]) -> Fitted:
    """Climb the ladder of step 3 of pictures or text: each remedy stays only when it gains more than noise."""
    problem = runner.problem
    ladder = Ladder(runner, 3, "fit training", "train", runner.plan.fit_training)
    spec = first_spec(runner, method)
    start = Setting(method, "sgd", runner.plan.batch_size, Member(spec, 0, rates["sgd"]), "SGD")
    for rung in runner.plan.rungs(3):
        if rung.name in runner.plan.training_rungs:
            standing = start if ladder.standing is None else ladder.standing.setting
            options = _BY_MEDIUM[problem.medium]
            ladder.climb(rung.name, list(options(rung.name, standing, rates, runner)))
    _gate(runner)
    if ladder.standing is None:
        return Fitted(fallback(runner, method, rates))
    # Networks of text start anew in step 4, pictures' go on.
    return Fitted(ladder.standing.setting, ladder.spread, ladder.standing if problem.medium == "pictures" else None)


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


def _gate(runner: Runner) -> None:
    populations = _populations(runner)
    if not populations:
        return
    training, validation = _lowest_losses(populations)
    evidence = FittedEvidence(finite(training), finite(validation))
    fitted = runner.ledger.decide(3, evidence)
    if not fitted:
        runner.ledger.find(
            Finding(
                code="underfitting",
                severity="warning",
                sentence="the training set was not fitted within the time for step 3",
                evidence=evidence.to_json(),
                remedy="give more time with --budget, or add columns that are related to the target",
                source="S4-21",
            ),
            step=3,
        )

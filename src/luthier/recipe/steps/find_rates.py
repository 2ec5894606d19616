"""Step 3, first: the learning-rate range test of each rule, confirmed by short runs."""

from __future__ import annotations

from functools import partial

from luthier.engine import ModuleSpec, Settings, confirm, range_test
from luthier.engine.range_test import FACTORS
from luthier.nets import Spec
from luthier.recipe.decisions.decision import decided
from luthier.recipe.decisions.learning_rate import RULE_WORDS, RateEvidence, ShortRun
from luthier.recipe.experiment.questions import USUAL_RATES
from luthier.recipe.modality import modality_of
from luthier.recipe.planning.setting import Setting
from luthier.recipe.running.runner import Runner
from luthier.records import JsonObject, Said
from luthier.seeds import derive

LONGER = 2  # times the share of range tests, that they may take


def find_rates(runner: Runner, method: str) -> Said[dict[str, float]]:
    """The learning-rate range test for each optimiser, confirmed by short runs."""
    rates: dict[str, float] = {}
    for rule in RULE_WORDS:
        name = f"range-{rule}"
        network = modality_of(runner.problem).bare_network(runner.problem, method, runner.plan.width)
        seeds = _seeds_of(runner, network, runner.plan.batch_size)
        if runner.memo.known(name) is None and (not seeds or runner.stopper(name, "range")(0)):
            yield runner.cut(name, 0)
            rates[rule] = USUAL_RATES[rule]
            continue
        result = runner.memo.json(name, partial(_range_test, runner, method, rule, seeds))
        runs = tuple(ShortRun(**one) for one in result["confirmed"])
        found = RateEvidence(rule, result["pick"], seeds, runs, result["rules"])
        rates[rule] = yield from decided(3, found)
    return rates


def rate_of(runner: Runner, setting: Setting, rule: str) -> float:
    """The rate of another rule for a setting's network, by a range test of its own where there is time for one."""
    one = setting.member.spec
    assert not isinstance(one, ModuleSpec)
    seeds = _seeds_of(runner, one, setting.batch_size)
    if not seeds:
        return USUAL_RATES[rule]
    tested = partial(_range_test, runner, setting.method, rule, seeds, one, setting.batch_size, setting.loss)
    return float(runner.memo.json(f"range-{rule}-adopted", tested)["confirmed_rate"])


def _seeds_of(runner: Runner, network: Spec, batch_size: int) -> int:
    """How many networks a test has: as planned, or fewer where these would take longer than the tests may."""
    plan, stage = runner.plan, runner.plan.fit_validation
    if plan.design is None or not plan.design.unit or stage.seconds is None:
        return plan.range_seeds
    allowed = LONGER * stage.seconds * plan.shares["range"] / plan.shares["fit validation"]  # by the plan: as repeated
    steps = plan.range_steps * (1 + len(FACTORS))  # of a network of each seed: its rate rises, then short runs confirm
    one = plan.design.unit * modality_of(runner.problem).work(network, batch_size) * steps * len(RULE_WORDS)
    return min(plan.range_seeds, int(allowed / one))


def _range_test(
    runner: Runner,
    method: str,
    rule: str,
    seeds: int,
    network: Spec | None = None,
    batch_size: int | None = None,
    loss: str = "",
) -> JsonObject:
    problem = runner.problem
    _, training, _ = problem.prepared(method)
    spec = network or modality_of(problem).bare_network(problem, method, runner.plan.width)
    steps = runner.plan.range_steps
    settings = Settings(
        loss=loss or problem.loss,
        rule=rule,
        batch_size=batch_size or runner.plan.batch_size,
        steps=steps,
        evaluate_every=steps,
        batch_seed=problem.seed,
        device=runner.device,
    )
    drawn = [derive(problem.seed, "range", k) for k in range(seeds)]
    runner.tell("range", rule=rule)
    tested = range_test(spec, training, settings, seeds=drawn)
    confirmed = confirm(tested.pick, spec, training, settings, seeds=drawn, steps=steps)
    measured = [entry for entry in confirmed if entry["loss"] is not None]
    best = min(measured, key=lambda entry: entry["loss"] or 0.0) if measured else confirmed[0]
    return {**tested.to_json(), "confirmed": confirmed, "confirmed_rate": best["rate"]}

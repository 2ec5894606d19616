"""Turn the budget into a plan: one short timing, then the clock is not asked again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch

from luthier.engine import Member, step_time
from luthier.engine.devices import CPU
from luthier.machine import threads
from luthier.recipe.budget import Budget
from luthier.recipe.decisions.starting_network import first_width
from luthier.recipe.factors import start_of
from luthier.recipe.media import MEDIA
from luthier.recipe.places import devices_for, fastest
from luthier.recipe.plan import (
    FINISH_LONGER,
    SAMPLED_SHARES,
    Cost,
    Design,
    Plan,
    Plans,
    TableSize,
    TrainingBudget,
    make_plans,
)
from luthier.recipe.plan_media import MediumSize, make_medium_plans
from luthier.recipe.rounds import Means, can_be_crossed, design_of, work
from luthier.recipe.runner import Runner
from luthier.recipe.steps.first_architecture import first_spec, input_count
from luthier.seeds import derive

THREADS = 1  # the second core belongs to the baselines' process; see docs/decisions/0002
STAGES = {"seeds": "final"}  # stages whose names need a word in a sentence
TIMED_MEMBERS, USUAL_MEMBERS = 8, 32
TIMING_SHARE = 0.1  # of the budget, reading the data included
THREADS_GAIN = {1: 1.0, 2: 1.4}  # by which blocks of a stack in threads are faster
WIDEST_INPUTS = "piecewise"  # the way of preprocessing with the most features: the plan must hold for it


def plan_budget(runner: Runner, *, timer: Callable[..., tuple[float, float]] = step_time) -> Plans:
    """The recorded plans of an earlier sitting or of `recipe.toml`, otherwise new ones from a timing."""
    problem = runner.problem
    if problem.medium != "table":
        torch.set_num_threads(_threads(runner))
        plans = runner.recipe.plan or _medium_plans(runner, timer)
        torch.set_num_threads(plans.narrow.threads)
        runner.ledger.add("plan", {"step": 0, "plan": plans.model_dump(mode="json"), "sentence": in_words(plans)})
        return plans
    torch.set_num_threads(THREADS)
    width = first_width(
        len(problem.data.training),
        input_count(problem.data.encoder, problem.data.training.numbers.shape[1]),
        problem.outputs,
    )
    rows, full_training_rows = len(problem.data.training), problem.data.full_training_rows
    more = 0 if full_training_rows is None else len(full_training_rows) - rows
    size = TableSize(rows, width, problem.data.training.numbers.shape[1], more)
    plans = runner.recipe.plan or _with_design(runner, _new_plans(runner, size, timer), timer)
    torch.set_num_threads(plans.narrow.threads)
    runner.ledger.add("plan", {"step": 0, "plan": plans.model_dump(mode="json"), "sentence": in_words(plans)})
    return plans


def in_words(plans: Plans) -> str:
    """The plans as a sentence."""
    narrow, wide = (_stages_in_words(plan) for plan in (plans.narrow, plans.wide))
    device = plans.narrow.device
    batches = f"plan: batches of {plans.narrow.batch_size}" + (f" on {device}" if device != str(CPU) else "")
    if plans.narrow.medium != "table":
        return f"{batches}; {narrow}"
    inputs = _stage_in_words(plans.narrow, "inputs")
    if (design := plans.narrow.design) is not None:
        return f"{batches}; {_design_in_words(design)}"
    either = narrow if narrow == wide else f"{narrow} (with encoded numbers: {wide})"
    return f"{batches}; {inputs}; {either}"


def _design_in_words(design: Design) -> str:
    """The designed experiments as a sentence."""
    judged = f"over {design.folds} folds" if design.folds > 1 else "judged by the validation part"
    return (
        f"steps 3 and 4 try {design.shapes} shapes of networks with {design.settings} settings each, {judged}; "
        f"a whole training takes {design.epochs:.3g} epochs"
    )


def _stages_in_words(plan: Plan) -> str:
    return "; ".join(_stage_in_words(plan, name) for name in plan.stages if name != "inputs")


def _stage_in_words(plan: Plan, name: str) -> str:
    shapes, stage = plan.shapes(name), plan.stages[name]
    time = "" if stage.seconds is None else f" ({stage.seconds:.0f} s)"
    most = max(networks for networks, _, _ in shapes)
    populations = f"{len(shapes)} populations of{' up to' * (most > 1)}" if len(shapes) > 1 else "1 population of"
    networks, steps = (
        f"{count} {unit}{'s' * (count != 1)}" for count, unit in ((most, "network"), (stage.steps, "step"))
    )
    return f"{STAGES.get(name, name)}: {populations} {networks}, {steps}{time}"


def _with_design(runner: Runner, plans: Plans, timer: Callable[..., tuple[float, float]]) -> Plans:
    """The plans with designed experiments: over folds where the open rows can be crossed and there is time for it."""
    problem, budget = runner.problem, runner.budget_clock.budget
    if problem.asked.warm_start:
        return plans
    share = 1 - (SAMPLED_SHARES["seeds"] if plans.narrow.sampled else 0.0)
    if budget.seconds is None:
        means = Means(None, round(share * (budget.steps or 0)))
    else:
        finish = FINISH_LONGER * plans.narrow.finish_seconds
        unit = _measured_unit(runner, torch.device(plans.narrow.device), timer)
        means = Means(share * max(0.1, runner.budget_clock.left() - finish), unit=unit, threads=threads())
    for known in (problem.cross_fitted(), problem) if can_be_crossed(problem) else (problem,):
        first = start_of(known).setting
        design = design_of(known, first.member.spec, first.batch_size, means)
        if design is not None:
            break
    return plans.designed(design)


def _measured_unit(runner: Runner, device: torch.device, timer: Callable[..., tuple[float, float]]) -> float:
    """Seconds that a unit of `work` takes in all threads."""
    problem, used = runner.problem, threads()
    first = start_of(problem).setting
    spec, (_, training, validation) = first.member.spec, problem.prepared(first.method)
    stack = [replace(first.member, seed=derive(problem.seed, "timing", k)) for k in range(USUAL_MEMBERS)]
    step, _ = timer(
        stack, training, validation, loss=problem.loss, rule=first.rule, batch_size=first.batch_size, device=device
    )
    return step / (work(spec, first.batch_size, USUAL_MEMBERS, 1) * THREADS_GAIN.get(used, 1.0))


def _new_plans(runner: Runner, size: TableSize, timer: Callable[..., tuple[float, float]]) -> Plans:
    budget: Budget = runner.budget_clock.budget
    devices = devices_for(runner)
    if budget.seconds is None:
        plans = make_plans(size, TrainingBudget(None, budget.steps, threads=THREADS), _no_cost, _no_cost)
        return plans.on(devices[0])
    finish = finish_seconds(budget.seconds)
    costs = {device: _measured_cost(runner, size, "standardise", timer, device) for device in devices}
    device = fastest({device: partial(cost, USUAL_MEMBERS, 2 * size.width, 2) for device, cost in costs.items()})
    narrow = costs[device]
    coded = bool(size.numbers) and WIDEST_INPUTS in size.methods(None)
    wide = _measured_cost(runner, size, WIDEST_INPUTS, timer, device) if coded else narrow
    left = max(0.1, runner.budget_clock.left() - finish)
    return make_plans(size, TrainingBudget(left, None, finish, THREADS), narrow, wide).on(device)


def _threads(runner: Runner) -> int:
    """Convolutions use all threads, baselines come before them; the rest leaves a core to the baselines beside it.

    Sums over several threads round differently: a budget of steps, which promises the same model everywhere, has one.
    """
    timed = runner.budget_clock.budget.seconds is not None
    return threads() if runner.problem.medium == "pictures" and timed else THREADS


def _medium_plans(runner: Runner, timer: Callable[..., tuple[float, float]]) -> Plans:
    problem = runner.problem
    budget, rows, used = runner.budget_clock.budget, len(problem.data.training), _threads(runner)
    assert problem.medium != "table"
    size, devices = MediumSize(problem.medium, rows), devices_for(runner)
    if budget.seconds is None:
        return make_medium_plans(size, TrainingBudget(None, budget.steps, threads=used)).on(devices[0])
    method = MEDIA[problem.medium].method
    _, training, validation = problem.prepared(method)
    member = Member(first_spec(runner, method, 0), derive(problem.seed, "timing"), learning_rate=1e-3)
    asked = {"loss": problem.loss, "rule": "adam", "batch_size": size.batch_size}
    taken = {device: timer([member], training, validation, device=device, **asked) for device in devices}
    device = min(taken, key=lambda device: taken[device][0])
    step, evaluation = taken[device]
    finish = finish_seconds(budget.seconds) + 4 * evaluation  # the test part, by several networks and their mean
    seconds = step + evaluation / max(size.epoch_steps, 20)
    left = max(0.1, runner.budget_clock.left() - finish)
    means = TrainingBudget(left, None, finish, used)
    return make_medium_plans(MediumSize(problem.medium, rows, seconds), means).on(device)


def _no_cost(members: int, width: int, depth: int) -> float:
    return 0.0


def finish_seconds(seconds: float | None) -> float:
    """What is kept back for the test set, the model file and the report."""
    return 0.0 if seconds is None else min(3.0 + 0.02 * seconds, 0.3 * seconds)


def _measured_cost(
    runner: Runner, size: TableSize, method: str, timer: Callable[..., tuple[float, float]], device: torch.device
) -> Cost:
    """Seconds a step, its share of an evaluation included, for any number of members of a shape.

    An accelerator takes as long for few members as for some dozens.
    """
    problem = runner.problem
    measured: dict[tuple[int, int], float] = {}
    timed, least = (TIMED_MEMBERS, 4) if device == CPU else (USUAL_MEMBERS, USUAL_MEMBERS)
    budget = runner.budget_clock.budget.seconds or 0.0

    def cost(members: int, width: int, depth: int) -> float:
        known = (width, depth) in measured
        if not known and measured and runner.budget_clock.spent() > TIMING_SHARE * budget:
            # A small budget must not go into timing: a larger shape costs at most as its products do.
            (w, d), seconds = max(measured.items())
            measured[width, depth] = seconds * max(1.0, width / w) ** 2 * max(1.0, (depth + 1) / (d + 1))
        elif not known:
            _, training, validation = problem.prepared(method)
            spec = problem.spec(method, (width,) * depth)
            stack = [Member(spec, derive(problem.seed, "timing", k), learning_rate=1e-3) for k in range(timed)]
            step, evaluation = timer(
                stack,
                training,
                validation,
                loss=problem.loss,
                rule="adam",
                batch_size=size.batch_size,
                device=device,
            )
            measured[width, depth] = step + evaluation / max(size.epoch_steps, 20)
        return measured[width, depth] * max(members, least) / timed

    return cost

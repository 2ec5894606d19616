"""Turn the budget into a plan: one short timing, then the clock is not asked again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial

import torch

from luthier.engine import Member, step_time
from luthier.engine.devices import CPU
from luthier.machine import threads
from luthier.messages import Message, joined
from luthier.recipe.decisions.starting_network import first_width
from luthier.recipe.factors import start_of
from luthier.recipe.media import MEDIA
from luthier.recipe.places import devices_for, fastest
from luthier.recipe.plan import FINAL_SEEDS, FINISH_LONGER, Design, Plan, TableSize, TrainingBudget, table_plan
from luthier.recipe.plan_media import MediumSize, make_medium_plan
from luthier.recipe.rounds import Means, can_be_crossed, design_of, work
from luthier.recipe.runner import Runner
from luthier.recipe.setting import Setting
from luthier.recipe.steps.first_architecture import first_spec, input_count
from luthier.seeds import derive

THREADS = 1  # the second core belongs to the baselines' process; see docs/decisions/0002
STAGES = {  # stages in words
    "seeds": "final",
    "fit training": "step 3",
    "fit validation": "step 4",
    "range": "range tests",
}
TIMED_MEMBERS, TIMED_BYTES = 32, 2**28  # networks that are timed, and what these may weigh
THREADS_GAIN = {1: 1.0, 2: 1.4}  # by which blocks of a stack in threads are faster
Timer = Callable[..., tuple[float, float]]


def plan_budget(runner: Runner, *, timer: Timer = step_time) -> Plan:
    """The recorded plan of an earlier sitting or of `recipe.toml`, otherwise a new one from a timing."""
    torch.set_num_threads(_threads(runner))
    plan = runner.recipe.plan
    if plan is None:
        plan = (_table_plan if runner.problem.medium == "table" else _medium_plan)(runner, timer)
    torch.set_num_threads(plan.threads)
    runner.ledger.add("plan", {"step": 0, "plan": plan.model_dump(mode="json"), "sentence": in_words(plan)})
    return plan


def in_words(plan: Plan) -> str:
    """The plan as a sentence."""
    batches = Message("plan: batches of {size}", size=plan.batch_size)
    if plan.device != str(CPU):
        batches = Message("plan: batches of {size} on {device}", size=plan.batch_size, device=plan.device)
    if plan.design is not None:
        return joined([batches, _design_in_words(plan.design)])
    return joined([batches, *(_stage_in_words(plan, name) for name in plan.stages if plan.populations(name))])


def _design_in_words(design: Design) -> str:
    """The designed experiments as a sentence."""
    judged = Message("judged by the validation part")
    if design.folds > 1:
        judged = Message("over {folds} folds", folds=design.folds)
    return Message(
        "steps 3 and 4 try {shapes} shapes of networks with {settings} settings each, {judged}; a "
        "whole training takes {epochs:.3g} epochs",
        shapes=design.shapes,
        settings=design.settings,
        judged=judged,
        epochs=design.epochs,
    )


def _stage_in_words(plan: Plan, name: str) -> str:
    populations, stage = plan.populations(name), plan.stages[name]
    most, steps = max(populations), counted(stage.steps, "step")
    template = "{stage}: {populations} of {networks}, {steps}"
    if len(populations) > 1 and most > 1:
        template = "{stage}: {populations} of up to {networks}, {steps}"
    time = "" if stage.seconds is None else Message(" ({seconds:.0f} s)", seconds=stage.seconds)
    values = {"populations": counted(len(populations), "population"), "networks": counted(most, "network")}
    return Message(template + "{time}", stage=Message(STAGES.get(name, name)), steps=steps, time=time, **values)


def counted(count: int, unit: str) -> Message:
    """A number of things, of which English has a plural."""
    return Message(f"{{count}} {unit}" + "s" * (count != 1), count=count)


@dataclass(frozen=True)
class _Timed:
    """A few steps of a table's first setting on a device, taken when they are asked for."""

    runner: Runner
    timer: Timer
    device: torch.device

    @cached_property
    def first(self) -> Setting:
        """The first setting."""
        return start_of(self.runner.problem).setting

    @property
    def members(self) -> int:
        """How many networks are timed: weights, gradients and what a rule remembers are light together."""
        return max(1, min(TIMED_MEMBERS, TIMED_BYTES // (16 * self.first.member.dense.parameter_count())))

    @cached_property
    def step(self) -> float:
        """Seconds of a step of all timed networks together."""
        problem, first = self.runner.problem, self.first
        _, training, validation = problem.prepared(first.method)
        stack = [replace(first.member, seed=derive(problem.seed, "timing", k)) for k in range(self.members)]
        asked = {"loss": problem.loss, "rule": first.rule, "batch_size": first.batch_size, "device": self.device}
        return self.timer(stack, training, validation, **asked)[0]

    @property
    def unit(self) -> float:
        """Seconds that a unit of `work` takes in all threads."""
        units = work(self.first.member.spec, self.first.batch_size, self.members, 1)
        return self.step / (units * THREADS_GAIN.get(threads(), 1.0))


def _table_plan(runner: Runner, timer: Timer) -> Plan:
    problem, budget = runner.problem, runner.budget_clock.budget
    numbers, rows = problem.data.training.numbers.shape[1], len(problem.data.training)
    width = first_width(rows, input_count(problem.data.encoder, numbers), problem.outputs)
    full = problem.data.full_training_rows
    size = TableSize(rows, width, numbers, 0 if full is None else len(full) - rows)
    devices = devices_for(runner)
    if budget.seconds is None:
        plan, unit = table_plan(size, TrainingBudget(None, budget.steps, threads=THREADS)).on(devices[0]), 0.0
    else:
        timed = {device: _Timed(runner, timer, device) for device in devices}
        device = fastest({device: partial(getattr, one, "step") for device, one in timed.items()})
        unit, finish = timed[device].unit, finish_seconds(budget.seconds)
        left = max(0.1, runner.budget_clock.left() - finish)
        step = timed[device].step * FINAL_SEEDS / timed[device].members
        plan = table_plan(size, TrainingBudget(left, None, finish, THREADS), step).on(device)
    return plan if problem.asked.warm_start else plan.designed(_design(runner, plan, unit))


def _design(runner: Runner, plan: Plan, unit: float) -> Design:
    """Over folds where the open rows can be crossed and there is time for it, or else judged by the validation part."""
    problem, budget = runner.problem, runner.budget_clock.budget
    share = 1 - plan.shares["seeds"]
    if budget.seconds is None:
        means = Means(None, round(share * (budget.steps or 0)))
    else:
        left = runner.budget_clock.left() - FINISH_LONGER * plan.finish_seconds
        means = Means(share * max(0.1, left), unit=unit / runner.workers, threads=threads())
    for known in (problem.cross_fitted(), problem) if can_be_crossed(problem) else (problem,):
        first = start_of(known).setting
        design = design_of(known, first.member.spec, first.batch_size, means)
        if design is not None:
            return design
    raise AssertionError("there is a design for every budget")


def _threads(runner: Runner) -> int:
    """Convolutions use all threads, baselines come before them; the rest leaves a core to the baselines beside it.

    Sums over several threads round differently: a budget of steps, which promises the same model everywhere, has one.
    """
    timed = runner.budget_clock.budget.seconds is not None
    return threads() if runner.problem.medium == "pictures" and timed else THREADS


def _medium_plan(runner: Runner, timer: Timer) -> Plan:
    problem = runner.problem
    budget, rows, used = runner.budget_clock.budget, len(problem.data.training), _threads(runner)
    assert problem.medium != "table"
    size, devices = MediumSize(problem.medium, rows), devices_for(runner)
    if budget.seconds is None:
        return make_medium_plan(size, TrainingBudget(None, budget.steps, threads=used)).on(devices[0])
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
    return make_medium_plan(MediumSize(problem.medium, rows, seconds), means).on(device)


def finish_seconds(seconds: float | None) -> float:
    """What is kept back for the test set, the model file and the report."""
    return 0.0 if seconds is None else min(3.0 + 0.02 * seconds, 0.3 * seconds)

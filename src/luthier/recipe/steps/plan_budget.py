"""Turn the budget into a plan: one short timing, then the clock is not asked again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial

import torch

from luthier.assess import dependence, importance
from luthier.assess.importance import REPEATS
from luthier.engine import step_time
from luthier.engine.members.devices import CPU
from luthier.machine import threads
from luthier.messages import Message, joined
from luthier.nets import DenseSpec, build
from luthier.recipe.experiment.rounds import Means, StepCosts, can_be_crossed, design_of
from luthier.recipe.judging.error_analysis import DEPENDENCES, MOST_COLUMNS
from luthier.recipe.modality import modality_of
from luthier.recipe.planning.plan import FINAL_SEEDS, FINISH_LONGER, Design, Plan, TrainingBudget, plan_without_design
from luthier.recipe.planning.setting import Setting
from luthier.recipe.running.backbones import known_network, seconds_of_pass
from luthier.recipe.running.places import devices_for, fastest
from luthier.recipe.running.runner import Runner
from luthier.records import Entry, Said
from luthier.saved.explanation import MOST_VALUES
from luthier.seeds import derive

THREADS = 1  # the second core belongs to the baselines' process; see docs/decisions/0002
TIMED_MEMBERS, TIMED_BYTES = 32, 2**28  # networks that are timed, and what these may weigh
FEW, MANY = 8, 256  # of which two stacks are timed where small ones are bound by their launches
EVALUATIONS = 4  # of the test part that the end takes: by several networks, and their mean
LOOKED_AT = 40  # networks that the end looks into
MOST_FOR_LOOKS = 0.05  # of a budget
THREADS_GAIN = {1: 1.0, 2: 1.4}  # by which blocks of a stack in threads are faster
Timer = Callable[..., tuple[float, float]]


def plan_budget(runner: Runner, *, timer: Timer = step_time) -> Said[Plan]:
    """The recorded plan of an earlier sitting or of `recipe.toml`, otherwise a new one from a timing."""
    torch.set_num_threads(_threads(runner))
    plan = runner.recipe.plan
    if plan is None:
        plan = _plan(runner, timer)
    torch.set_num_threads(plan.threads)
    yield Entry("plan", {"step": 0, "plan": plan.model_dump(mode="json"), "sentence": in_words(plan)})
    return plan


def in_words(plan: Plan) -> Message:
    """The plan as a sentence."""
    batches = Message("plan: batches of {size}", size=plan.batch_size)
    if plan.device != str(CPU):
        batches = Message("plan: batches of {size} on {device}", size=plan.batch_size, device=plan.device)
    return batches if plan.design is None else joined([batches, _design_in_words(plan.design)])


def _design_in_words(design: Design) -> Message:
    judged = Message("judged by the validation part")
    if design.folds > 1:
        judged = Message("over {folds} folds", folds=design.folds)
    template = (
        "steps 3 and 4 try {shapes} shapes of networks with {settings} settings each, {judged}; a whole training takes "
        "{epochs:.3g} epochs"
    )
    return Message(template, judged=judged, **design.model_dump())


@dataclass(frozen=True)
class _Timed:
    """A few steps of the first setting on a device, taken when they are asked for."""

    runner: Runner
    timer: Timer
    device: torch.device

    @cached_property
    def first(self) -> Setting:
        """The first setting."""
        return modality_of(self.runner.problem).first_setting(self.runner.problem)

    @property
    def members(self) -> int:
        """How many networks are timed: weights, gradients and what a rule remembers are light together. Those that
        train one after another take as long each."""
        spec, most = self.first.member.spec, TIMED_MEMBERS if self.device == CPU else MANY
        return max(1, min(most, TIMED_BYTES // (16 * spec.parameter_count()))) if isinstance(spec, DenseSpec) else 1

    def _time(self, members: int) -> tuple[float, float]:
        problem, first = self.runner.problem, self.first
        _, training, validation = problem.prepared(first.method)
        stack = [replace(first.member, seed=derive(problem.seed, "timing", k)) for k in range(members)]
        asked = {"loss": problem.loss, "rule": first.rule, "batch_size": first.batch_size, "device": self.device}
        return self.timer(stack, training, validation, **asked)

    @cached_property
    def taken(self) -> tuple[float, float]:
        """Seconds of a step of all timed networks together, and of an evaluation of the validation rows, which is that
        of a sentence transformer where one is fitted."""
        step, evaluation = self._time(self.members)
        problem = self.runner.problem
        if problem.transfers and problem.medium == "text":
            known = known_network(problem)
            rows = problem.prepared(known.method)[2].inputs.only
            evaluation = seconds_of_pass(build(known.spec, seed=0), rows, len(rows))
        return step, evaluation

    @property
    def step(self) -> float:
        """Seconds of a step of all timed networks together."""
        return self.taken[0]

    @property
    def of_one(self) -> float:
        """A network's part of a step of all that are timed."""
        return self.step / self.members

    @cached_property
    def launch(self) -> float:
        """Seconds of a step however few networks it is of, by two stacks; on the processor none."""
        if self.device == CPU or self.members <= FEW:
            return 0.0
        few = self._time(FEW)[0]
        return min(max(0.0, few - (self.step - few) / (self.members - FEW) * FEW), 0.99 * self.step)

    def steps_of(self, members: int) -> float:
        """Seconds of a step of so many networks."""
        return self.launch + (self.step - self.launch) * members / self.members

    @property
    def evaluation_steps(self) -> float:
        """How many steps take as long as an evaluation."""
        return min(1e6, self.taken[1] / max(self.step, 1e-9))

    @property
    def looks(self) -> float:
        """Seconds in which the end asks a few networks for the answers that each column changes."""
        used = sum(column.used for column in self.runner.problem.data.columns)
        if used > MOST_COLUMNS:
            return 0.0
        rows = REPEATS * importance.MOST_ROWS * used
        rows += min(used, DEPENDENCES) * MOST_VALUES * dependence.MOST_ROWS
        return self.of_prediction * LOOKED_AT * rows

    @property
    def of_prediction(self) -> float:
        """Seconds of a network's prediction of a row."""
        return self.taken[1] / (self.members * max(1, len(self.runner.problem.data.validation)))

    @property
    def costs(self) -> StepCosts:
        """What steps take in all threads: of a unit of work, of a step, of a network's row."""
        modality = modality_of(self.runner.problem)
        units = modality.work(self.first.member.spec, self.first.batch_size) * self.members
        alone = modality.need_all_cores or self.device != CPU
        gained = 1.0 if alone else THREADS_GAIN.get(threads(), 1.0)
        return StepCosts((self.step - self.launch) / (units * gained), self.launch, self.of_prediction / gained)


def _plan(runner: Runner, timer: Timer) -> Plan:
    problem, budget, used = runner.problem, runner.budget_clock.budget, _threads(runner)
    size, devices = modality_of(problem).size(problem, budget.seconds), devices_for(runner)
    if budget.seconds is None:
        plan = plan_without_design(size, TrainingBudget(None, budget.steps, threads=used)).on(devices[0])
        costs = StepCosts()
    else:
        timed = {device: _Timed(runner, timer, device) for device in devices}
        device = fastest({device: partial(getattr, one, "of_one") for device, one in timed.items()})
        costs, finish = timed[device].costs, finish_seconds(budget.seconds)
        if modality_of(problem).need_all_cores:
            finish += EVALUATIONS * timed[device].taken[1]
        else:
            finish += min(timed[device].looks, MOST_FOR_LOOKS * budget.seconds) / FINISH_LONGER  # a design doubles it
        left = max(0.1, runner.budget_clock.left() - finish)
        step, means = timed[device].steps_of(FINAL_SEEDS), TrainingBudget(left, None, finish, used)
        plan = plan_without_design(size, means, step).on(device)
        known = {
            "started": round(runner.budget_clock.spent(), 3),
            "evaluation_steps": round(timed[device].evaluation_steps, 3),
            "looks": round(MOST_FOR_LOOKS * budget.seconds / max(timed[device].of_prediction, 1e-9)),
        }
        plan = plan.model_copy(update=known)
    plan = plan.model_copy(update={"medium": problem.medium})
    return plan if problem.asked.warm_start or problem.transfers else plan.designed(_design(runner, plan, costs))


def _design(runner: Runner, plan: Plan, costs: StepCosts) -> Design:
    """Over folds where the open rows can be crossed and there is time for it, or else judged by the validation part."""
    problem, budget = runner.problem, runner.budget_clock.budget
    share = 1 - plan.shares["seeds"]
    if budget.seconds is None:
        means = Means(None, round(share * (budget.steps or 0)))
    else:
        left = runner.budget_clock.left() - FINISH_LONGER * plan.finish_seconds
        costs = costs._replace(unit=costs.unit / runner.workers, judging=costs.judging / runner.workers)
        means = Means(share * max(0.1, left), costs=costs, threads=threads())
    for known in (problem.cross_fitted(), problem) if can_be_crossed(problem) else (problem,):
        design = design_of(known, means)
        if design is not None:
            return design
    raise AssertionError("there is a design for every budget")


def _threads(runner: Runner) -> int:
    """Networks that need all cores have them, baselines come before them; the rest leaves a core to the baselines.

    Sums over several threads round differently: a budget of steps, which promises the same model everywhere, has one.
    """
    timed = runner.budget_clock.budget.seconds is not None
    return threads() if modality_of(runner.problem).need_all_cores and timed else THREADS


def finish_seconds(seconds: float | None) -> float:
    """What is kept back for the test set, the model file and the report."""
    return 0.0 if seconds is None else min(3.0 + 0.02 * seconds, 0.3 * seconds)

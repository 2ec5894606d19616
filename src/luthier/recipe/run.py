"""The walk: the six steps in order, from a source to a judged model.

There is one path, whether the run is new, resumed after a kill, or repeated from `recipe.toml`:
what was decided or computed before is recalled where it is needed (see docs/decisions/0002).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from luthier.assess import Register
from luthier.data.large import memory_in_words
from luthier.data.target_transform import TargetTransform
from luthier.machine import torch_settings
from luthier.messages import Message
from luthier.recipe.branching import take_over
from luthier.recipe.budget import BudgetClock
from luthier.recipe.config import Recipe, recipe_from, write_recipe
from luthier.recipe.fold_bags import Bag
from luthier.recipe.interrupted import Interrupted
from luthier.recipe.ledger import Ledger
from luthier.recipe.memo import Memo
from luthier.recipe.modality import modality_of
from luthier.recipe.places import settle
from luthier.recipe.plan import Plan
from luthier.recipe.prepare import Prepared, prepare
from luthier.recipe.problem import Problem
from luthier.recipe.reading import LoadedData
from luthier.recipe.runner import Runner
from luthier.recipe.setting import Setting
from luthier.recipe.steps.designed import (
    Designed,
    Fitted,
    explore_training,
    explore_validation,
    first_method,
)
from luthier.recipe.steps.find_rates import find_rates
from luthier.recipe.steps.judge import Verdict, judge
from luthier.recipe.steps.loss import choose_loss
from luthier.recipe.steps.plan_budget import THREADS, plan_budget
from luthier.recipe.steps.run_baselines import Baselines, running_baselines
from luthier.recipe.steps.sanity_checks import check_before_training
from luthier.recipe.steps.transferring import use_backbone
from luthier.recipe.steps.warm_start import Earlier, earlier_run, warm_start
from luthier.recipe.unsealed import require_estimate
from luthier.request import RunRequest
from luthier.saved import RunFolder, machine_facts, timestamp
from luthier.storage import home_folder

if TYPE_CHECKING:
    from luthier.search.cluster import Cluster

Listen = Callable[[dict[str, Any]], None]
Tell = Callable[..., None]


@dataclass
class Run:
    """A run about to be walked. `facts` go into its run.json beside those of every run."""

    asked: RunRequest
    read: LoadedData
    folder: RunFolder
    recipe: Recipe
    budget_clock: BudgetClock
    resumed: bool
    listen: Listen
    tell: Tell
    interrupted: Interrupted
    until: int = 5
    facts: dict[str, Any] = field(default_factory=dict)
    elsewhere: str = ""  # the device on which it is to go on, where that was said
    registered: bool = False  # whether it is kept which rows it reads and learns from
    cluster: Cluster | None = None  # where pieces of populations train at once
    contents: dict[str, str] = field(default_factory=dict, init=False)  # of a new run's pictures, while cells are there

    def __post_init__(self) -> None:
        read = {} if self.resumed else {"contents": self.read.source, "new_test_contents": self.read.test}
        self.contents = {name: one.contents for name, one in read.items() if one is not None and one.contents}
        self.read = self.read.without_cells()

    @cached_property
    def earlier(self) -> Earlier | None:
        """The run that a warm start goes on from."""
        return earlier_run(self.asked) if self.asked.warm_start else None

    def start(self) -> Runner:
        """Open ledger and memory, write what was asked, prepare the data."""
        self.folder.path.mkdir(parents=True, exist_ok=True)
        opened = Ledger.resume if self.resumed else Ledger
        ledger = opened(self.folder.ledger, listen=self.listen)
        memo = Memo(self.folder.checkpoint, self.budget_clock.spent)
        self.budget_clock.before = memo.spent_before() if self.resumed else 0.0
        if not self.resumed:
            self.folder.write_facts(self._facts())
        register = Register.opened(home_folder()) if self.registered else Register.none()
        data = prepare(self.read, self.asked, self.folder, ledger, register.secret)
        kept = {} if self.earlier is None else {self.earlier.setting.method: self.earlier.model.preprocess}
        runner = Runner(
            problem=Problem(data, self._target(data), self.asked, kept),
            folder=self.folder,
            ledger=ledger,
            memo=memo,
            recipe=self.recipe,
            budget_clock=self.budget_clock,
            interrupted=self.interrupted,
            tell=self.tell,
            elsewhere=self.elsewhere,
            register=register,
            cluster=self.cluster,
        )
        if self.registered and (why := str(memo.json("register", lambda: register.keep(runner.problem.data.record)))):
            sentence = Message("earlier and later runs on these rows are not counted: {why}", why=why)
            ledger.add("note", {"step": 0, "sentence": sentence})
        self.read = self.read.without_rows()
        if self.asked.memory:
            ledger.add("note", {"step": 0, "sentence": memory_in_words(self.asked.memory)})
        return runner

    def _target(self, data: Prepared) -> TargetTransform:
        """How the networks see a regression's target: as those that a warm start goes on from."""
        if data.task.is_classes:
            return TargetTransform()
        if self.earlier is not None:
            return replace(self.earlier.model.transform, smear=1.0)
        return TargetTransform.fit(
            data.training.targets, data.training.weights, log=data.task.log_scale, kind=data.task.traits
        )

    @property
    def goes_on(self) -> bool:
        """Whether it goes on from what files hold: its own folder, an earlier run's, or a recipe with a plan."""
        return self.resumed or self.recipe.plan is not None or bool(self.asked.previous or self.asked.warm_start)

    def _facts(self) -> dict[str, Any]:
        source, task = self.read.source, self.read.task
        return {
            "name": self.folder.path.name,
            "created": timestamp(),
            "source": {
                "name": source.name,
                "origin": source.origin,
                **self.read.fingerprints,
                **self.contents,
                "rows": self.read.frame.height,
                "columns": len(self.read.columns),
            },
            "target": task.target,
            "task": {
                "kind": task.kind,
                "classes": list(task.classes),
                "log_scale": task.log_scale,
                "positive": task.positive_name,
            },
            "asked": self.asked.model_dump(mode="json"),
            "budget": {"seconds": self.budget_clock.budget.seconds, "steps": self.budget_clock.budget.steps},
            "seed": self.asked.seed,
            **machine_facts(THREADS),
            "registered": self.registered,
            "repeats": self.recipe.plan is not None,
            "status": "running",
            **self.facts,
        }

    @torch_settings()
    def plan(self) -> Plan:
        """Only the plan, written nowhere but in the ledger."""
        runner = self.start()
        plan = plan_budget(runner)
        require_estimate(runner.problem, plan)
        return plan

    @torch_settings()
    def run(self) -> Verdict | None:
        """The steps up to `until` (the sixth needs new data: `luthier check`); None when it ends before the fifth."""
        runner = self.start()
        write_recipe(self.folder.recipe, self.recipe)
        with running_baselines(runner) as baselines:
            if modality_of(runner.problem).need_all_cores:
                baselines.finish_first()
            plan = plan_budget(runner)
            require_estimate(runner.problem, plan)
            self.recipe = self.recipe.model_copy(update={"plan": plan})
            write_recipe(self.folder.recipe, self.recipe)
            if plan.design is not None and plan.design.folds > 1:
                runner = replace(runner, problem=runner.problem.cross_fitted())
            runner = replace(runner, device=settle(runner, plan.device)).following(plan)
            self.folder.update_facts(machine=machine_facts(plan.threads, str(runner.device))["machine"])
            self.tell("begin", steps=runner.plan.total_steps, run=str(self.folder.path))
            verdict = self._steps(runner, baselines)
        write_recipe(self.folder.recipe, recipe_from(self.asked, runner.ledger.records))  # now with cuts and rounds
        return verdict

    def _steps(self, runner: Runner, baselines: Baselines) -> Verdict | None:
        if self.earlier is not None:
            return self._warm(runner, baselines, self.earlier)
        if self.asked.backbone:
            return self._with_backbone(runner, baselines)
        begin_at = take_over(runner, self.asked)
        if begin_at <= 1:
            choose_loss(runner)
        if self.until == 1:
            return None
        method = _recalled(runner, "method", begin_at <= 2, lambda: first_method(runner))
        if begin_at <= 2:
            modality_of(runner.problem).choose_network(runner)
            check_before_training(runner, method)
        if self.until == 2:
            return None
        bags: Sequence[Bag] = ()
        if begin_at <= 3:
            fitted, bags = explore_training(runner, method, find_rates(runner, method))
        else:
            fitted = Fitted.from_json(runner.memo.recalled("fitted"))
        runner.memo.json("fitted", fitted.to_json)
        baselines.collect()
        if self.until == 3:
            return None
        if begin_at <= 4:
            closed = explore_validation(runner, fitted, bags)
        else:
            closed = Designed(Setting.from_json(runner.memo.recalled("closed")))
        runner.memo.json("closed", closed.setting.to_json)
        return None if self.until == 4 else judge(runner, closed.setting, baselines, bags=closed.bags)

    def _warm(self, runner: Runner, baselines: Baselines, earlier: Earlier) -> Verdict | None:
        choose_loss(runner)
        if self.until < 4:
            return None
        setting, started = warm_start(runner, earlier)
        runner.memo.json("closed", setting.to_json)
        baselines.collect()
        return None if self.until == 4 else judge(runner, setting, baselines, started=started, earlier=earlier)

    def _with_backbone(self, runner: Runner, baselines: Baselines) -> Verdict | None:
        choose_loss(runner)
        if self.until < 4:
            return None
        setting, started = use_backbone(runner)
        baselines.collect()
        return None if self.until == 4 else judge(runner, setting, baselines, started=started)


def _recalled(runner: Runner, name: str, anew: bool, compute: Callable[[], str]) -> str:
    """What a step came to: worked out, or taken over from the run before."""
    value = compute() if anew else str(runner.memo.recalled(name))
    return str(runner.memo.json(name, lambda: value))

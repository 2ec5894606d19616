"""The walk: the six steps in order, from a source to a judged model.

There is one path, whether the run is new, resumed after a kill, or repeated from `recipe.toml`:
what was decided or computed before is recalled where it is needed (see docs/decisions/0002).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, cast

from luthier.assess import Register
from luthier.data.large import memory_in_words
from luthier.data.target_transform import TargetTransform
from luthier.machine import torch_settings
from luthier.messages import Message
from luthier.recipe.decisions import evidence_of
from luthier.recipe.decisions.question_answers import AnswerEvidence
from luthier.recipe.modality import modality_of
from luthier.recipe.planning.branching import take_over
from luthier.recipe.planning.budget import BudgetClock
from luthier.recipe.planning.config import Recipe, recipe_from, write_recipe
from luthier.recipe.planning.ledger import Ledger, Record
from luthier.recipe.planning.plan import Plan
from luthier.recipe.preparing.prepare import Prepared, prepare
from luthier.recipe.preparing.problem import Problem
from luthier.recipe.rows.reading import LoadedData
from luthier.recipe.running.interrupted import Interrupted
from luthier.recipe.running.memo import Memo
from luthier.recipe.running.places import settle
from luthier.recipe.running.run_baselines import Baselines, running_baselines
from luthier.recipe.running.runner import Runner
from luthier.recipe.running.warm_run import Earlier, earlier_run
from luthier.recipe.six_steps import BACKBONE, ONE_OF_SEVERAL, SEVERAL_TARGETS, SIX_STEPS, WARM_START, RecipeStep
from luthier.recipe.steps.plan_budget import THREADS, plan_budget
from luthier.recipe.steps.shared_networks import SharedNetworks
from luthier.recipe.steps.so_far import SoFar, Verdict
from luthier.recipe.unsealed import require_estimate
from luthier.records import JsonObject, noted
from luthier.request import RunRequest
from luthier.saved import RunFolder, machine_facts, timestamp
from luthier.storage import home_folder

if TYPE_CHECKING:
    from luthier.search.cluster import Cluster

Listen = Callable[[Record], None]
Tell = Callable[..., None]


@dataclass
class Run:
    """A run about to be walked. `facts` go into its run.json beside those of every run."""

    asked: RunRequest
    read: LoadedData
    folder: RunFolder
    recipe: Recipe
    budget_clock: BudgetClock
    listen: Listen
    tell: Tell
    interrupted: Interrupted = field(default_factory=Interrupted)
    resumed: bool = False
    until: int = 5
    facts: JsonObject = field(default_factory=dict)
    elsewhere: str = ""  # the device on which it is to go on, where that was said
    registered: bool = False  # whether it is kept which rows it reads and learns from
    cluster: Cluster | None = None  # where pieces of populations train at once
    shared: SharedNetworks | None = None  # the networks of several targets, of which this run delivers one
    trained: SharedNetworks | None = field(default=None, init=False)  # those that this run has trained for them
    contents: dict[str, str] = field(default_factory=dict, init=False)  # of a new run's pictures, while cells are there

    def __post_init__(self) -> None:
        read = {} if self.resumed else {"contents": self.read.source, "new_test_contents": self.read.test}
        self.contents = {name: one.contents for name, one in read.items() if one is not None and one.contents}
        self.read = self.read.without_cells()

    @cached_property
    def earlier(self) -> Earlier | None:
        """The run that a warm start goes on from."""
        return earlier_run(self.asked) if self.asked.warm_start else None

    @property
    def steps(self) -> Sequence[RecipeStep]:
        """The list of steps that it takes."""
        if self.shared is not None:
            return ONE_OF_SEVERAL
        if self.read.heads:
            return SEVERAL_TARGETS
        if self.earlier is not None:
            return WARM_START
        return BACKBONE if self.asked.backbone and self.read.beside is None else SIX_STEPS

    def start(self) -> tuple[Ledger, Runner]:
        """Open ledger and memory, write what was asked, prepare the data."""
        kept = {} if self.earlier is None else {self.earlier.setting.method: self.earlier.model.preprocess}
        self.folder.path.mkdir(parents=True, exist_ok=True)
        opened = Ledger.resume if self.resumed else Ledger
        ledger = opened(self.folder.ledger, listen=self.listen)
        memo = Memo(self.folder.checkpoint, self.budget_clock.spent)
        self.budget_clock.before = memo.spent_before() if self.resumed else 0.0
        if not self.resumed:
            self.folder.write_facts(self._facts())
        register = Register.opened(home_folder()) if self.registered else Register.none()
        data = ledger.write(prepare(self.read, self.asked, self.folder, register.secret))
        runner = Runner(
            problem=Problem(data, self._target(data), self.asked, kept),
            folder=self.folder,
            memo=memo,
            recipe=self.recipe,
            budget_clock=self.budget_clock,
            interrupted=self.interrupted,
            tell=self.tell,
            elsewhere=self.elsewhere,
            register=register,
            cluster=self.cluster,
            begun={record["name"]: bool(record["begun"]) for record in ledger.recorded("round")},
        )
        if self.registered and (why := str(memo.json("register", lambda: register.keep(runner.problem.data.record)))):
            ledger.add(noted(0, Message("earlier and later runs on these rows are not counted: {why}", why=why)))
        self.read = self.read.without_rows()
        if self.asked.memory:
            ledger.add(noted(0, memory_in_words(self.asked.memory)))
        return ledger, runner

    def _target(self, data: Prepared) -> TargetTransform:
        """How the networks see a regression's target: as those that a warm start goes on from."""
        if data.task.is_classes or data.joint is not None:
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

    def _facts(self) -> JsonObject:
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
        ledger, runner = self.start()
        plan = ledger.write(plan_budget(runner))
        require_estimate(runner.problem, plan)
        return plan

    @torch_settings()
    def run(self) -> Verdict | None:
        """The steps up to `until` (the sixth needs new data: `luthier check`); None when it ends before the fifth."""
        ledger, runner = self.start()
        write_recipe(self.folder.recipe, self.recipe)
        with running_baselines(runner) as baselines:
            so_far = SoFar(baselines, self.earlier)
            if self.shared is not None:
                runner, so_far = ledger.write(self.shared.handed_to(runner, so_far))
            else:
                runner = self._planned(ledger, runner, baselines)
            begin_at = ledger.write(take_over(self.asked)) if self.steps is SIX_STEPS else 1
            for step in self.steps:
                if step.number > self.until:
                    break
                if step.number >= begin_at or step.each_time:
                    so_far = ledger.write(step.take(runner, so_far))
                elif step.kept:
                    so_far = so_far.recalled(step.kept, runner.memo.recalled(step.kept))
                if step.kept:
                    runner.memo.json(step.kept, partial(so_far.remembered, step.kept))
            if self.read.heads and self.until >= 4:
                known = [one for one in ledger.of("decision") if one.get("code") == AnswerEvidence.code]
                answers = [cast(AnswerEvidence, evidence_of(one)) for one in known]
                self.trained = SharedNetworks(runner, self.read, so_far.adopted, so_far.bags, answers)
        write_recipe(self.folder.recipe, recipe_from(self.asked, ledger.records))  # now with cuts and rounds
        return so_far.verdict

    def _planned(self, ledger: Ledger, runner: Runner, baselines: Baselines) -> Runner:
        """The runner with its plan, and the place where it trains."""
        if modality_of(runner.problem).need_all_cores:
            baselines.finish_first()
        plan = ledger.write(plan_budget(runner))
        require_estimate(runner.problem, plan)
        self.recipe = self.recipe.model_copy(update={"plan": plan})
        write_recipe(self.folder.recipe, self.recipe)
        if plan.design is not None and plan.design.folds > 1:
            runner = replace(runner, problem=runner.problem.cross_fitted())
        runner = replace(runner, device=settle(runner, plan.device), planned=plan)
        self.folder.update_facts(machine=machine_facts(plan.threads, str(runner.device))["machine"])
        self.tell("begin", steps=runner.plan.total_steps, run=str(self.folder.path))
        return runner

"""The walk: the six steps in order, from a source to a judged model.

There is one path, whether the run is new, resumed after a kill, or repeated from `recipe.toml`:
what was decided or computed before is recalled where it is needed (see docs/decisions/0002).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from luthier.errors import InputError
from luthier.recipe.budget import Spending
from luthier.recipe.config import Asked, Script, script_from, write_script
from luthier.recipe.ladder import Fitted, Setting
from luthier.recipe.ledger import Ledger
from luthier.recipe.memory import Memory
from luthier.recipe.plan import Plans
from luthier.recipe.prepare import prepare
from luthier.recipe.reading import Read
from luthier.recipe.steps import for_pictures, for_text
from luthier.recipe.steps.architecture import choose_architecture
from luthier.recipe.steps.baselines import Baselines, running_baselines
from luthier.recipe.steps.before_training import check_before_training
from luthier.recipe.steps.fit_training import find_rates, fit_training
from luthier.recipe.steps.fit_validation import fit_validation
from luthier.recipe.steps.inputs import choose_inputs
from luthier.recipe.steps.judge import Verdict, judge
from luthier.recipe.steps.loss import choose_loss
from luthier.recipe.steps.plan_budget import THREADS, plan_budget
from luthier.recipe.steps.transferring import use_backbone
from luthier.recipe.steps.warm_start import Earlier, earlier_run, warm_start
from luthier.recipe.taking_over import take_over
from luthier.recipe.work import Interrupted, Work
from luthier.saved import RunFolder, machine_facts, timestamp

Listen = Callable[[dict[str, Any]], None]
Tell = Callable[..., None]


@dataclass
class Walk:
    """A run about to be walked. `facts` go into its run.json beside those of every run."""

    asked: Asked
    read: Read
    folder: RunFolder
    script: Script
    spending: Spending
    resumed: bool
    listen: Listen
    tell: Tell
    interrupted: Interrupted
    until: int = 5
    facts: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def earlier(self) -> Earlier | None:
        """The run that a warm start goes on from."""
        return earlier_run(self.asked) if self.asked.warm_start else None

    def start(self) -> Work:
        """Open ledger and memory, write what was asked, prepare the data."""
        self.folder.path.mkdir(parents=True, exist_ok=True)
        opened = Ledger.resume if self.resumed else Ledger
        ledger = opened(self.folder.ledger, listen=self.listen)
        memory = Memory(self.folder.checkpoint, self.spending.spent)
        self.spending.before = memory.spent_before() if self.resumed else 0.0
        if not self.resumed:
            self.folder.write_facts(self._facts())
        work = Work(
            folder=self.folder,
            ledger=ledger,
            memory=memory,
            script=self.script,
            spending=self.spending,
            interrupted=self.interrupted,
            data=prepare(self.read, self.asked, self.folder, ledger),
            seed=self.asked.seed,
            tell=self.tell,
        )
        if self.earlier is not None:
            work.preprocess[self.earlier.setting.method] = self.earlier.model.preprocess
        if work.data.task.kind == "regression":
            targets = work.data.training.targets
            assert targets is not None
            work.target_mean, work.target_std = float(targets.mean()), float(targets.std(correction=0))
            if self.earlier is not None:
                work.target_mean, work.target_std = self.earlier.model.target_mean, self.earlier.model.target_std
            if work.target_std == 0:
                raise InputError(
                    f"every training row has the same `{work.data.task.target}`",
                    expected="a target that varies",
                    received=f"{targets[0].item():g} in all {len(targets)} training rows",
                )
        return work

    def _facts(self) -> dict[str, Any]:
        source, task = self.read.source, self.read.task
        return {
            "name": self.folder.path.name,
            "created": timestamp(),
            "source": {
                "name": source.name,
                "origin": source.origin,
                "fingerprint": source.fingerprint,
                "rows": self.read.frame.height,
                "columns": len(self.read.columns),
            },
            "target": task.target,
            "task": {"kind": task.kind, "classes": list(task.classes), "log_scale": task.log_scale},
            "asked": self.asked.model_dump(mode="json"),
            "budget": {"seconds": self.spending.budget.seconds, "steps": self.spending.budget.steps},
            "seed": self.asked.seed,
            **machine_facts(THREADS),
            "repeats": self.script.plan is not None,
            "status": "running",
            **self.facts,
        }

    def plan(self) -> Plans:
        """Only the plan, written nowhere but in the ledger."""
        return plan_budget(self.start())

    def run(self) -> Verdict | None:
        """The steps up to `until` (the sixth needs new data: `luthier check`); None when it ends before the fifth."""
        work = self.start()
        write_script(self.folder.recipe, self.script)
        with running_baselines(work) as baselines:
            if work.medium == "pictures":
                baselines.finish_first()
            plans = plan_budget(work)
            self.script = self.script.model_copy(update={"plan": plans})
            write_script(self.folder.recipe, self.script)
            work.planned = plans.narrow
            self.tell("begin", steps=work.planned.total_steps, run=str(self.folder.path))
            verdict = self._steps(work, plans, baselines)
        write_script(self.folder.recipe, script_from(self.asked, work.ledger.records))  # now with cuts and rounds
        return verdict

    def _steps(self, work: Work, plans: Plans, baselines: Baselines) -> Verdict | None:
        if self.earlier is not None:
            return self._warm(work, plans, baselines, self.earlier)
        if self.asked.backbone:
            return self._with_backbone(work, plans, baselines)
        begin_at = take_over(work, self.asked)
        if begin_at <= 1:
            choose_loss(work)
        if self.until == 1:
            return None
        method = _recalled(work, "method", begin_at <= 2, lambda: self._second(work))
        work.planned = plans.for_method(method)
        self.tell("begin", steps=work.planned.total_steps, run=str(self.folder.path))
        if begin_at <= 2:
            check_before_training(work, method)
        if self.until == 2:
            return None
        if begin_at <= 3:
            fitted = fit_training(work, method, find_rates(work, method))
        else:
            fitted = Fitted.from_json(work.memory.recalled("fitted"))
        work.memory.json("fitted", fitted.to_json)
        baselines.collect()
        if self.until == 3:
            return None
        closed = fit_validation(work, fitted) if begin_at <= 4 else Setting.from_json(work.memory.recalled("closed"))
        work.memory.json("closed", closed.to_json)
        return None if self.until == 4 else judge(work, closed, baselines)

    def _warm(self, work: Work, plans: Plans, baselines: Baselines, earlier: Earlier) -> Verdict | None:
        choose_loss(work)
        if self.until < 4:
            return None
        work.planned = plans.for_method(earlier.setting.method)
        setting, started = warm_start(work, earlier)
        work.memory.json("closed", setting.to_json)
        baselines.collect()
        return None if self.until == 4 else judge(work, setting, baselines, started=started, earlier=earlier)

    def _with_backbone(self, work: Work, plans: Plans, baselines: Baselines) -> Verdict | None:
        choose_loss(work)
        if self.until < 4:
            return None
        work.planned = plans.narrow
        setting, started = use_backbone(work)
        baselines.collect()
        return None if self.until == 4 else judge(work, setting, baselines, started=started)

    @staticmethod
    def _second(work: Work) -> str:
        if work.medium == "pictures":
            return for_pictures.choose_network(work)
        if work.medium == "text":
            return for_text.choose_network(work)
        choose_architecture(work, work.plan.width)
        return choose_inputs(work)


def _recalled(work: Work, name: str, anew: bool, compute: Callable[[], str]) -> str:
    """What a step came to: worked out, or taken over from the run before."""
    value = compute() if anew else str(work.memory.recalled(name))
    return str(work.memory.json(name, lambda: value))

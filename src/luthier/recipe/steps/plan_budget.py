"""Turn the budget into a plan: one short timing, then the clock is not asked again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from luthier.population import Member, step_time
from luthier.recipe.budget import Budget
from luthier.recipe.plan import Cost, Plan, Problem, make_plan
from luthier.recipe.steps.architecture import first_width, input_count
from luthier.recipe.work import Work
from luthier.seeds import derive

THREADS = 1  # the second core belongs to the baselines' process; see docs/decisions/0002
TIMED_MEMBERS = 8
WIDEST_INPUTS = "piecewise"  # the way of preprocessing with the most features: the plan must hold for it


def plan_budget(work: Work, *, timer: Callable[..., tuple[float, float]] = step_time) -> Plan:
    """The recorded plan of an earlier sitting or of `recipe.toml`, otherwise a new one from a timing."""
    torch.set_num_threads(THREADS)
    width = first_width(
        len(work.data.training),
        input_count(work.data.encoder, work.data.training.numbers.shape[1]),
        work.outputs,
    )
    plan = work.script.plan or _new_plan(work, Problem(rows=len(work.data.training), width=width), timer)
    torch.set_num_threads(plan.threads)
    work.ledger.add("plan", {"step": 0, "plan": plan.model_dump(mode="json"), "sentence": in_words(plan)})
    return plan


def in_words(plan: Plan) -> str:
    """The plan as a sentence."""
    stages = {
        "inputs": plan.inputs,
        "fit training": plan.fit_training,
        "fit validation": plan.fit_validation,
        "seeds": plan.final,
    }
    parts = [
        f"{name} {plan.populations(name)} × {plan.members(name)} networks, {stage.steps} steps"
        for name, stage in stages.items()
    ]
    return f"plan: batches of {plan.batch_size}; " + "; ".join(parts)


def _new_plan(work: Work, problem: Problem, timer: Callable[..., tuple[float, float]]) -> Plan:
    budget: Budget = work.spending.budget
    finish = finish_seconds(budget.seconds)
    cost = _measured_cost(work, problem, timer)
    if budget.seconds is None:
        return make_plan(problem, seconds=None, steps=budget.steps, cost=cost, finish_seconds=0.0, threads=THREADS)
    # A first timing of the first architecture keeps the whole timing inside a small budget.
    left = max(0.1, work.spending.left() - finish)
    return make_plan(problem, seconds=left, steps=None, cost=cost, finish_seconds=finish, threads=THREADS)


def finish_seconds(seconds: float | None) -> float:
    """What is kept back for the test set, the model file and the report."""
    return 0.0 if seconds is None else min(3.0 + 0.02 * seconds, 0.3 * seconds)


def _measured_cost(work: Work, problem: Problem, timer: Callable[..., tuple[float, float]]) -> Cost:
    """Seconds a step, its share of an evaluation included, for any number of members of a shape."""
    measured: dict[tuple[int, int], float] = {}
    method = WIDEST_INPUTS if work.data.training.numbers.shape[1] else "standardise"

    def cost(members: int, width: int, depth: int) -> float:
        if (width, depth) not in measured:
            _, training, validation = work.prepared(method)
            spec = work.spec(method, (width,) * depth)
            stack: list[Any] = [
                Member(spec=spec, seed=derive(work.seed, "timing", k), learning_rate=1e-3) for k in range(TIMED_MEMBERS)
            ]
            step, evaluation = timer(
                stack, training, validation, loss=work.loss, rule="adam", batch_size=problem.batch_size
            )
            measured[width, depth] = step + evaluation / max(problem.epoch_steps, 20)
        return measured[width, depth] * max(members, 4) / TIMED_MEMBERS

    return cost

"""Plans: within the budget by their own costs, richer with more time, the same after TOML."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luthier.errors import InputError
from luthier.recipe import Budget, Recipe, read_recipe, write_recipe
from luthier.recipe.plan import SHARES, Stage, TableSize, TrainingBudget, make_plans
from luthier.request import RunRequest


def cost(members: int, width: int, depth: int) -> float:
    return 1e-6 * members * width * depth


@given(st.integers(20, 200_000), st.integers(32, 128), st.floats(1, 7200))
def test_a_plan_fits_its_seconds(rows: int, width: int, seconds: float) -> None:
    plans = make_plans(TableSize(rows, width), TrainingBudget(seconds, None), cost, lambda m, w, d: 3 * cost(m, w, d))
    for plan, factor in ((plans.narrow, 1), (plans.wide, 3)):
        for name in ("fit training", "fit validation", "seeds"):
            stage = plan.stages[name]
            steps = sum(cost(*shape) for shape in plan.shapes(name)) * factor * stage.steps
            one = steps / stage.steps
            share = SHARES[name] + (SHARES["folds"] if name == "seeds" and plan.folds is None else 0)
            assert steps <= seconds * share + one  # never less than one step


def test_more_time_compares_more() -> None:
    sizes = []
    for seconds in (1, 30, 600, 7200):
        plan = make_plans(TableSize(5000, 64), TrainingBudget(float(seconds), None), cost, cost).narrow
        sizes.append(plan.networks)
    assert sizes == sorted(sizes)
    assert sizes[-1] > sizes[0]


def test_steps_are_shared_out() -> None:
    plan = make_plans(TableSize(1000, 64), TrainingBudget(None, 5000), cost, cost).narrow
    assert 0.6 * 5000 <= plan.total_steps <= 5000


def test_other_batches_get_as_many_epochs() -> None:
    assert Stage(steps=100).for_batches(64, 32).steps == 50
    assert Stage(steps=100).for_batches(16, 32).steps == 200


def test_a_script_survives_toml(tmp_path: Path) -> None:
    plans = make_plans(TableSize(1000, 64), TrainingBudget(60.0, None), cost, cost)
    recipe = Recipe(asked=RunRequest(source="x.csv", target="ü", columns={"a b": "text"}), plan=plans)
    write_recipe(tmp_path / "recipe.toml", recipe)
    assert read_recipe(tmp_path / "recipe.toml") == recipe


@pytest.mark.parametrize(("text", "seconds"), [("60s", 60), ("1.5m", 90), ("2h", 7200)])
def test_budgets(text: str, seconds: float) -> None:
    assert Budget.parse(text).seconds == seconds
    assert Budget.parse(str(Budget.parse(text))) == Budget.parse(text)


@pytest.mark.parametrize("text", ["", "0s", "0.5steps", "-1m", "5", "5 parsecs"])
def test_budgets_that_are_none(text: str) -> None:
    with pytest.raises(InputError):
        Budget.parse(text)

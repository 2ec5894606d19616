"""Plans: within the budget by their own costs, richer with more time, the same after TOML."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luthier.engine import Member
from luthier.errors import InputError
from luthier.nets import DenseSpec
from luthier.recipe import Budget, Recipe, read_recipe, write_recipe
from luthier.recipe.experiment.rounds import LEANER, LEVELS, RESERVED, WIDE, Level, Means, StepCosts
from luthier.recipe.modality import MODALITIES
from luthier.recipe.planning.config import recipe_from
from luthier.recipe.planning.ledger import Ledger, read_ledger
from luthier.recipe.planning.plan import (
    SEEDS_SHARE,
    WARM_WAYS,
    Design,
    PlanSize,
    Stage,
    TrainingBudget,
    plan_without_design,
)
from luthier.recipe.planning.setting import Setting
from luthier.records import Entry
from luthier.request import RunRequest


@given(st.integers(20, 200_000), st.floats(1, 7200), st.floats(1e-6, 1e-1), st.sampled_from([0, 10**6]))
def test_final_networks_fit_their_share_of_the_seconds(rows: int, seconds: float, step: float, more: int) -> None:
    plan = plan_without_design(PlanSize(rows, 64, more=more), TrainingBudget(seconds, None), step)
    for name, stage, populations in (("fit validation", plan.fit_validation, WARM_WAYS), ("seeds", plan.final, 1)):
        share = max(plan.shares[name], SEEDS_SHARE)
        assert (stage.steps - 1) * populations * step <= seconds * share  # never less than one step


TABLES = MODALITIES["table"]
FIRST = Setting("robust", "adam", 32, Member(DenseSpec(10, (64, 64), 1), 0, 0.01))


@given(st.floats(1e-12, 1e-6), st.sampled_from(LEVELS), st.sampled_from([1, 5]), st.floats(1, 7200))
def test_a_design_of_some_length_costs_what_there_is(unit: float, level: Level, folds: int, seconds: float) -> None:
    """Its bags, longer ones counted in, take the share of the time that is neither reserve nor range test."""
    length = Means(seconds, costs=StepCosts(unit)).length(TABLES, FIRST, level, folds)
    bags = 2 * level.settings * (level.shapes / 2 + level.second) + level.asked
    taken = TABLES.work(FIRST.member.spec, 32) * folds * bags * length * unit * TABLES.longer
    assert taken == pytest.approx(seconds * (1 - RESERVED) * (1 - 0.05))


def test_answers_of_rows_that_judge_are_part_of_the_cost() -> None:
    """Half of the time for 24 bags of which 8 are kept, on 1,000 rows."""
    level, costs = Level(2, 4, 1, 0), StepCosts(1e-9, judging=1.0)
    answered = TABLES.longer * 1000 * (2 * 4 * 2 + 2 * 2 * 4)
    seconds = 2 * answered / ((1 - RESERVED) * (1 - 0.05))
    alone = Means(seconds, costs=StepCosts(1e-9)).length(TABLES, FIRST, level, 1, 1000)
    assert Means(seconds, costs=costs).length(TABLES, FIRST, level, 1, 1000) == pytest.approx(alone / 2)


def test_a_richer_level_has_shorter_trainings() -> None:
    for means in (Means(60.0, costs=StepCosts(1e-9)), Means(None, 5000)):
        for levels in ((*LEVELS, *LEANER), (*WIDE, *LEANER)):
            lengths = [means.length(TABLES, FIRST, level, 5) for level in levels]
            assert lengths == sorted(lengths)


def test_where_a_step_of_many_networks_takes_hardly_longer_more_settings_are_tried() -> None:
    """Where steps are mostly launches, eight times the settings take less than three times as long."""
    computed, launched = Means(60.0, costs=StepCosts(1e-9)), Means(60.0, costs=StepCosts(1e-12, 1e-4))
    assert computed.levels is LEVELS
    assert launched.levels is WIDE
    richest = [
        means.length(TABLES, FIRST, level, 1) for means in (computed, launched) for level in (WIDE[0], LEVELS[0])
    ]
    assert richest[1] > 6 * richest[0]
    assert richest[3] < 3 * richest[2]


def test_other_batches_get_as_many_epochs() -> None:
    assert Stage(steps=100).for_batches(64, 32).steps == 50
    assert Stage(steps=100).for_batches(16, 32).steps == 200


@given(st.floats(0, 200), st.integers(1, 5000), st.sampled_from([None, 8]))
def test_evaluations_take_a_fifth_of_a_training_or_are_three(cost: float, steps: int, points: int | None) -> None:
    plan = plan_without_design(PlanSize(4000, 64), TrainingBudget(60.0, None), 1e-3)
    every = plan.model_copy(update={"evaluation_steps": cost}).evaluate_every(steps, points)
    assert cost / (every + cost) <= 0.2 + 1e-9 or every == max(1, steps // 3 if points is None else steps)
    assert every == plan.evaluate_every(steps, points) or every <= 4 * cost + 1  # cheap ones come as often as before


def test_a_script_survives_toml(tmp_path: Path) -> None:
    plan = plan_without_design(PlanSize(1000, 64), TrainingBudget(60.0, None), 1e-3)
    plan = plan.designed(Design(epochs=20, shapes=4, settings=8, second=2, folds=1))
    recipe = Recipe(asked=RunRequest(source="x.csv", target="ü", columns={"a b": "text"}), plan=plan)
    write_recipe(tmp_path / "recipe.toml", recipe)
    assert read_recipe(tmp_path / "recipe.toml") == recipe


def written_plan(path: Path, version: dict[str, int]) -> Entry:
    """A ledger's plan, with another version, or none."""
    plan = plan_without_design(PlanSize(1000, 64), TrainingBudget(60.0, None), 1e-3)
    entry = Entry("plan", {"step": 0, "plan": plan.model_dump(mode="json"), "sentence": "plan"})
    Ledger(path).add(entry)
    (record,) = read_ledger(path)
    assert record["plan"]["version"] == 1
    stored = {name: value for name, value in record["plan"].items() if name != "version"}
    path.write_text(json.dumps({**record, "plan": {**version, **stored}}) + "\n")
    return entry


def test_a_plan_without_a_version_is_read_and_followed(tmp_path: Path) -> None:
    entry = written_plan(tmp_path / "ledger.jsonl", {})
    assert "version" not in (tmp_path / "ledger.jsonl").read_text()
    Ledger.resume(tmp_path / "ledger.jsonl").add(entry)  # the same plan: the run continues
    recipe = recipe_from(RunRequest(source="x.csv", target="y"), read_ledger(tmp_path / "ledger.jsonl"))
    assert recipe.plan == plan_without_design(PlanSize(1000, 64), TrainingBudget(60.0, None), 1e-3)
    unversioned = recipe.to_toml().replace("version = 1\n", "")
    assert unversioned != recipe.to_toml()
    (tmp_path / "recipe.toml").write_text(unversioned)
    assert read_recipe(tmp_path / "recipe.toml") == recipe


def test_a_plan_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    written_plan(tmp_path / "ledger.jsonl", {"version": 2})
    with pytest.raises(InputError, match="version 1 or older: it was written by a newer version of Luthier"):
        read_ledger(tmp_path / "ledger.jsonl")


@pytest.mark.parametrize(("text", "seconds"), [("60s", 60), ("1.5m", 90), ("2h", 7200)])
def test_budgets(text: str, seconds: float) -> None:
    assert Budget.parse(text).seconds == seconds
    assert Budget.parse(str(Budget.parse(text))) == Budget.parse(text)


@pytest.mark.parametrize("text", ["", "0s", "0.5steps", "-1m", "5", "5 parsecs"])
def test_budgets_that_are_none(text: str) -> None:
    with pytest.raises(InputError):
        Budget.parse(text)

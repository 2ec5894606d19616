"""The sixteen questions: each changes one thing of the adopted setting, and every variant can be trained."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import numpy as np
import polars as pl
import pytest

import luthier
from luthier.recipe import questions as room
from luthier.recipe.checklist import ITEMS
from luthier.recipe.decisions.experiment import compared_with
from luthier.recipe.fold_bags import BagPlan, train_bags
from luthier.recipe.questions import Question
from luthier.recipe.runner import Runner
from luthier.recipe.setting import Setting
from luthier.recipe.steps import confirm
from luthier.runs.screen import SilentScreen

Asked = tuple[Runner, Setting, list[Question]]


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    """What a short run asks, and its runner."""
    folder, known = tmp_path_factory.mktemp("questions"), list[Asked]()
    rng = np.random.default_rng(1)
    x = rng.normal(size=(160, 2))
    y = np.where(x[:, 0] + 0.3 * rng.normal(size=160) > 0, "yes", "no")
    pl.DataFrame({"a": x[:, 0], "b": x[:, 1], "y": y}).write_csv(folder / "rows.csv")

    def kept(runner: Runner, now: Setting, rates: Any) -> Iterator[Question]:
        known.append((runner, now, list(room.questions(runner, now, rates))))
        return iter(known[-1][2])

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(confirm, "questions", kept)
        options = {"target": "y", "budget": "2200steps", "run": folder / "run", "until": 4}
        luthier.fit(folder / "rows.csv", screen=SilentScreen(), **options)
        yield known[0]


def test_there_are_sixteen_and_each_changes_something(asked: Asked) -> None:
    _, now, questions = asked
    assert len({one.name for one in questions}) == len(questions) == 16
    named = {rung for item in ITEMS for rung in item.rungs}
    assert {one.name for one in questions} - {"initialisation"} <= named
    for one in questions:
        changed = {f.name for f in fields(Setting) if getattr(one.other, f.name) != getattr(now, f.name)} - {"label"}
        assert changed, one.name
        assert compared_with(one.name, one.value, used=one.used)


def test_used_is_what_the_adopted_setting_has(asked: Asked) -> None:
    _, now, questions = asked
    by_name = {one.name: one for one in questions}
    assert by_name["Adam"].used is (now.rule == "adam")
    assert by_name["Adam"].other.rule == "sgd"
    assert by_name["decay"].used is (now.member.schedule.kind != "constant")
    assert by_name["L2"].used is bool(now.member.l2 or now.member.weight_decay)
    for name in ("dropout, last layer", "clipping", "batch norm", "augmentation", "architecture"):
        one = by_name[name]
        again = next(
            back for back in room.questions(asked[0], one.other, {"adam": 0.01, "sgd": 0.1}) if back.name == name
        )
        assert again.used is not one.used, name


def test_every_variant_trains_in_all_folds(asked: Asked) -> None:
    runner, now, questions = asked
    for number, setting in enumerate([now, *(one.other for one in questions)]):
        trial = BagPlan("questions", share=0.1, kept=0)
        (bag,) = train_bags(runner, f"try-{number}", [setting], trial)
        assert np.isfinite(bag.loss)
        assert bag.row_losses(runner.problem).mean() == pytest.approx(bag.loss, rel=1e-4)

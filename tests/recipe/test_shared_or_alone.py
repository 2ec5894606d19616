"""Whether several targets should share their networks is asked of each of them, and what is delivered follows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import polars as pl
import pytest
import torch

import luthier
from luthier.data import Task
from luthier.engine import Member
from luthier.nets import DenseSpec
from luthier.recipe import follows, read_ledger, wording_of
from luthier.recipe.experiment.fold_bags import _with_target
from luthier.recipe.experiment.questions import of_sharing
from luthier.recipe.planning.setting import Setting
from luthier.recipe.preparing.joint_targets import JointTargets
from luthier.recipe.running.runner import Runner
from luthier.recipe.steps.question_losses import ADOPTED, QuestionLosses
from luthier.records import Said
from luthier.rows import Inputs, Rows
from luthier.runs.screen import SilentScreen

NOW = Setting("standardise", "adam", 32, Member(DenseSpec(3, (4,), 2), 0, 0.01, l2=6.0, clip_norm=3.0), ADOPTED)
RNG = np.random.default_rng(0)


def test_networks_of_one_target_learn_nothing_of_the_others() -> None:
    y = torch.from_numpy(RNG.normal(size=(60, 2)))
    joint = JointTargets.fit((Task("regression", "a"), Task("regression", "b")), y, None)
    rows = _with_target(Rows(Inputs(numbers=torch.zeros(60, 3)), joint.standardised(y)), 1)
    Z = torch.from_numpy(RNG.normal(size=(1, 60, 2)))
    slope, whole = (joint.loss.residual(Z, targets) for targets in (rows.targets, joint.standardised(y)))
    assert not slope[..., 0].any()
    torch.testing.assert_close(slope[..., 1], whole[..., 1])


def test_a_target_alone_has_the_penalties_that_its_own_networks_would_have() -> None:
    """Its loss is half of the joint one of two targets: penalties and clipping are halved, too."""
    first, second = of_sharing(NOW, ["price", "sold"])
    assert (first.name, first.other.only, second.other.only) == ("sharing: price", 0, 1)
    assert (second.other.member.l2, second.other.member.clip_norm) == (3.0, 1.5)
    assert Setting.from_json(json.loads(json.dumps(second.other.to_json()))).only == 1


def bag(setting: Setting, name: str, rows: np.ndarray) -> Any:
    renamed = Setting(**{**vars(setting), "label": name})
    return SimpleNamespace(setting=renamed, loss=1.0, target_rows=lambda problem: rows)


def test_each_target_is_judged_by_its_own_loss_beside_the_adopted_setting() -> None:
    """One target gains a tenth from networks of its own, another loses one; what they do to others counts nothing."""
    problem = cast("Any", SimpleNamespace(joint=SimpleNamespace(tasks=("price", "sold"))))
    asked = list(of_sharing(NOW, ["price", "sold"]))
    losses = QuestionLosses(problem, asked, np.arange(500))
    for _ in range(2):
        rows = RNG.exponential(size=(500, 2))
        losses.take(bag(NOW, ADOPTED, rows))
        losses.take(bag(asked[0].other, asked[0].name, rows * [0.9, 7.0]))
        losses.take(bag(asked[1].other, asked[1].name, rows * [7.0, 1.1]))
    found = losses.answers()
    assert {name: one.kind for name, one in found.items()} == {"sharing: price": "hurts", "sharing: sold": "helps"}
    assert found["sharing: price"].size == pytest.approx(-0.1)
    assert losses.partitions("sharing: sold") == 2
    assert losses.still_open() == []


def _of_targets(runner: Runner, shapes: list[list[Setting]]) -> Said[list[list[Setting]]]:
    """The questions of each target alone, as if there were time for no others."""
    yield from ()
    return shapes[:3]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Iterator[luthier.MultiTargetResult]:
    """A run that is too short for questions, in which two partitions of them are asked all the same."""
    x = RNG.normal(size=(160, 2))
    frame = pl.DataFrame({"a": x[:, 0], "b": x[:, 1], "one": x[:, 0] + 0.1 * RNG.normal(size=160)})
    frame = frame.with_columns(two=pl.Series(np.abs(x[:, 1]) + 0.1 * RNG.normal(size=160)))
    run = tmp_path_factory.mktemp("runs") / "run"
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(luthier.recipe.steps.confirm, "_affordable", _of_targets)
        patched.setattr(luthier.recipe.steps.confirm, "MOST_PARTITIONS", 2)
        yield luthier.fit(frame, ["one", "two"], budget="300steps", run=run, screen=SilentScreen())


def sharing(path: Path) -> list[dict[str, Any]]:
    return [one for one in read_ledger(path / "ledger.jsonl") if str(one.get("of")).startswith("sharing: ")]


def test_each_target_has_an_answer_in_both_ledgers_and_reports(found: luthier.MultiTargetResult) -> None:
    asked = sharing(found.path / "networks")
    assert [one["of"] for one in asked] == ["sharing: one", "sharing: two"]
    for answer in asked:
        assert follows(answer)
        name = answer["of"].removeprefix("sharing: ")
        (again,) = sharing(found[name].path)
        assert (again["evidence"], again["choice"]) == (answer["evidence"], answer["choice"])
        assert answer["topic"] == f"shared networks: {name}"
        for language in ("en", "zh"):
            assert name in wording_of(answer, language).sentence()
        page = (found[name].path / "report.html").read_text()
        assert f"shared networks: {name}" in page
        assert f"networks that learn {name} alone" in page


def test_a_target_is_offered_its_own_networks_and_no_others(found: luthier.MultiTargetResult) -> None:
    for name, other in (("one", "two"), ("two", "one")):
        kept = json.dumps(json.loads((found[name].path / "scores.json").read_text())["trials"])
        assert f"sharing: {name}" in kept
        assert f"sharing: {other}" not in kept

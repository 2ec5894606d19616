"""The model card says what was measured, and nothing in it is markup from the data."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import polars as pl
import pytest
from tests.cli.program import luthier as command_line

import luthier
from luthier.errors import InputError
from luthier.kinds import KINDS
from luthier.report import model_card
from luthier.runs.screen import SilentScreen

AWKWARD = "a*b|c <script> [x](y)"
AWKWARD_IN_A_CELL = r"a\*b\|c \<script\> \[x\](y)"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> luthier.Result:
    rows = [{"x": float(k % 13), AWKWARD: "yes" if k % 13 > 6 else "no"} for k in range(200)]
    folder = tmp_path_factory.mktemp("card") / "run"
    result = luthier.fit(pl.DataFrame(rows), target=AWKWARD, budget="60steps", run=folder, screen=SilentScreen())
    assert result is not None
    return result


def test_it_holds_the_numbers(run: luthier.Result) -> None:
    card = model_card(run.path)
    headline = run.scores["headline"]
    assert f"| {headline['name']} | {headline['value']:.4g} |" in card
    assert all(row["name"] in card for row in run.scores["baselines"])
    assert "measured once by this run" in card
    assert "one of two classes (no, yes)" in card
    assert "200 rows" in card


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_kind_of_target_has_a_card(run: luthier.Result, tmp_path: Path, kind: str) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run.path, copy)
    facts = json.loads((copy / "run.json").read_text())
    facts["task"]["kind"] = kind
    (copy / "run.json").write_text(json.dumps(facts))
    said = {"regression": "a value", "binary": "one of two classes", "multiclass": "one of 2 classes"}
    said["labels"] = "any number of 2 labels"
    assert f"predicts `{AWKWARD_IN_A_CELL}`, {said[KINDS[kind].family]}" in model_card(copy)


def test_names_from_the_data_stay_text(run: luthier.Result) -> None:
    card = model_card(run.path)
    assert r"a\*b\|c \<script\> \[x\](y)" in card
    assert "<script>" not in card.replace(r"\<script\>", "")


def test_a_run_without_scores_has_no_card(tmp_path: Path) -> None:
    done = luthier.fit("iris", budget="60steps", run=tmp_path / "run", until=3, screen=SilentScreen())
    assert done is not None
    with pytest.raises(InputError, match="no scores yet"):
        model_card(done.path)


def test_from_the_command_line(run: luthier.Result, tmp_path: Path) -> None:
    done = command_line("export", run.path, "--card", tmp_path / "card.md")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "card.md").read_text() == model_card(run.path)
    message = command_line("--version").stdout
    assert message.startswith("luthier ")
    assert "torch 2." in message

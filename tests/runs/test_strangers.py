"""Run folders from somebody else: no code of theirs runs, nothing is connected to, no link is followed."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.cli.program import luthier as command_line

import luthier
from luthier.errors import InputError
from luthier.recipe import read_recipe
from luthier.report import build_report, ledger_lines, model_card, write_report
from luthier.runs import resume, resume_search
from luthier.runs.screen import SilentScreen

CODE = "from pathlib import Path\nPath(__file__).with_suffix('.ran').touch()\nmake = None\n"


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("strangers") / "run"
    luthier.fit("iris", budget="30steps", run=run, screen=SilentScreen())
    return run


@pytest.fixture
def run(honest: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(honest, tmp_path / "run"))


def rewrite(run: Path, name: str, change: Callable[[dict[str, Any]], Any]) -> None:
    value = json.loads((run / name).read_text())
    change(value)
    (run / name).write_text(json.dumps(value))


def cut_short(run: Path, **asked: str) -> None:
    """A run that is to be gone on with, and records another request."""

    def change(facts: dict[str, Any]) -> None:
        facts["status"] = "cut"
        facts["asked"] |= asked

    rewrite(run, "run.json", change)


@pytest.fixture
def hostile_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A module that a run names, importable from where the command is called."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hostile_module.py").write_text(CODE)
    yield tmp_path / "hostile_module.ran"
    sys.modules.pop("hostile_module", None)


def test_options_of_several_targets_name_no_code(run: Path, hostile_module: Path) -> None:
    def change(facts: dict[str, Any]) -> None:
        facts.update(kind="several", folders={"species": "one"}, budget="30steps", source="iris")
        facts["options"] = {"backbone": "hostile_module:make"}

    rewrite(run, "run.json", change)
    with pytest.raises(InputError, match="options"):
        luthier.MultiTargetResult(run).resume(screen=SilentScreen())
    with pytest.raises(InputError, match="backbone"):
        luthier.fit("iris", ["species", "petal width"], backbone="hostile_module:make")
    assert not hostile_module.exists()


def test_a_backbone_is_named_again(run: Path, hostile_module: Path) -> None:
    rewrite(
        run,
        "run.json",
        lambda facts: (facts.update(status="cut"), facts["asked"].update(backbone="hostile_module:make")),
    )
    with pytest.raises(InputError):
        resume(run, screen=SilentScreen())
    with pytest.raises(InputError, match="is not what the run records"):
        resume(run, backbone="other:make", screen=SilentScreen())
    assert not hostile_module.exists()


def test_a_search_goes_on_where_the_caller_says(tmp_path: Path) -> None:
    run = tmp_path / "search"
    luthier.tune_table("iris", trials=2, epochs=1, confirm=0, workers=1, run=run)
    rewrite(
        run, "run.json", lambda facts: facts["options"].update(on="ray://127.0.0.1:9", storage=f"sqlite:///{run}/x.db")
    )
    for named in ({}, {"on": "ray://127.0.0.1:10"}, {"on": "ray://127.0.0.1:9"}):
        with pytest.raises(InputError, match="records --"):
            resume_search(run, **named)  # type: ignore[arg-type]
    assert not (run / "x.db").exists()


@pytest.mark.parametrize("name", ["report.html", "ledger.jsonl", "model.luthier", "drift.json", "study.db", "history"])
def test_links_in_a_run_are_refused(run: Path, tmp_path: Path, name: str) -> None:
    precious = tmp_path / "precious"
    precious.write_text("precious")
    if (run / name).is_dir():
        shutil.rmtree(run / name)
    (run / name).unlink(missing_ok=True)
    (run / name).symlink_to(precious)
    with pytest.raises(InputError, match="is a link"):
        ledger_lines(run)
    assert precious.read_text() == "precious"


@pytest.mark.parametrize("name", ["run.json", "scores.json", "model.luthier", "history/x.parquet"])
def test_pipes_in_a_run_are_refused(run: Path, name: str) -> None:
    (run / name).unlink(missing_ok=True)
    os.mkfifo(run / name)
    with pytest.raises(InputError, match="is a pipe or a device"):
        build_report(run)


def test_a_damaged_file_is_said_in_a_sentence(run: Path) -> None:
    rewrite(run, "scores.json", lambda scores: scores["headline"].update(value="high"))
    with pytest.raises(InputError) as error:
        build_report(run)
    assert "scores.json' does not hold what it should: headline.value" in error.value.problem
    assert (error.value.expected, error.value.received) == (
        "a valid number, unable to parse string as a number",
        "'high'",
    )
    assert error.value.remedy


def test_names_from_data_are_text_in_report_and_card(run: Path) -> None:
    link = "<a href='javascript:alert(1)'>x</a>"

    def change(scores: dict[str, Any]) -> None:
        scores["confusion"]["labels"][0] = link
        scores["baselines"][0]["name"] = link

    rewrite(run, "scores.json", change)
    page = build_report(run)
    assert "&lt;a href=" in page
    assert "<a href='javascript" not in page
    assert "\\u003ca href" not in page  # of a figure
    assert re.search(r"(?<!\\)<a href", model_card(run)) is None


def test_data_that_a_folder_names_are_said_before_they_are_opened(run: Path, tmp_path: Path) -> None:
    rewrite(
        run,
        "run.json",
        lambda facts: (facts.update(status="cut"), facts["asked"].update(source=str(tmp_path / "no.csv"))),
    )
    done = command_line("resume", run)
    assert done.returncode == 2
    assert done.stderr.index(f"reading {tmp_path / 'no.csv'}, as '{run}' says") < done.stderr.index("luthier:")


def test_a_name_that_is_not_utf_8(run: Path) -> None:
    curves = next((run / "history").glob("train-*.parquet"))
    os.rename(curves, os.fsencode(run / "history" / "train-") + b"\xff\x1b[2J.parquet")
    write_report(run)
    assert "\x1b[2J" not in "\n".join(ledger_lines(run))


def test_a_plan_is_of_bounded_size(run: Path) -> None:
    recipe = (run / "recipe.toml").read_text()
    for name, value in (("range_seeds", 10**9), ("width", 10**12), ("finish_seconds", "inf")):
        (run / "recipe.toml").write_text(re.sub(rf"(?m)^{name} = .*$", f"{name} = {value}", recipe))
        with pytest.raises(InputError, match=name):
            read_recipe(run / "recipe.toml")
    (run / "recipe.toml").write_text("a = " + "[" * 50_000)
    with pytest.raises(InputError, match="nested too deeply"):
        read_recipe(run / "recipe.toml")


def test_replace_removes_nothing_behind_a_link(run: Path, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    shutil.move(run / "history", precious)
    (run / "history").symlink_to(precious)
    kept = sorted(precious.iterdir())
    with pytest.raises(InputError, match="is a link"):
        luthier.fit("iris", budget="30steps", run=run, replace=True, screen=SilentScreen())
    assert sorted(precious.iterdir()) == kept
    assert kept

"""A refused request loses nothing that is saved: the run that it was to replace stays, byte for byte, as do files of
one's own beside it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import luthier
from luthier.errors import InputError
from luthier.recipe import Run
from luthier.runs import calls
from luthier.saved.replacing import ASIDE


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("replacing")
    rows = [{"x": k * 7 % 23 / 3, "z": k, "y": "yes" if k * 7 % 23 > 11 else "no"} for k in range(120)]
    pl.DataFrame(rows).write_csv(folder / "t.csv")
    pl.DataFrame([{"note": f"good film number {k}", "y": k % 2} for k in range(120)]).write_csv(folder / "texts.csv")
    luthier.fit(folder / "t.csv", target="y", budget="20steps", run=folder / "run")
    return folder


@pytest.fixture
def place(trained: Path, tmp_path: Path) -> Path:
    """The folder of a whole run, with a file and an empty folder of one's own in it."""
    shutil.copytree(trained / "run", tmp_path / "run")
    (tmp_path / "run" / "mine.txt").write_text("mine")
    (tmp_path / "run" / "empty").mkdir()
    return tmp_path / "run"


def content_of(folder: Path) -> dict[str, bytes]:
    """All there is in a folder, but for the lock of the process that wrote last."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else b""
        for path in folder.rglob("*")
        if path.name != ".lock"
    }


REFUSED: dict[str, dict[str, Any]] = {
    "no column 'nosuch'": {"target": "nosuch"},
    "--metric rmse: not one of": {"metric": "rmse"},
    "--column q=number": {"columns": {"q": "number"}},
    "no such class": {"positive": "maybe"},
    "does not give vectors": {"text_model": "/nowhere"},
    "come from the earlier run": {"source": "texts.csv", "columns": {"note": "text"}, "warm_start": "run"},
    "--test none needs rows": {"test": "none", "time": "z"},  # found when the rows are there, after the folder
}


@pytest.mark.parametrize("message", REFUSED)
def test_a_refused_request_leaves_the_run_as_it_was(
    trained: Path, place: Path, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(trained)
    before, options = content_of(place), {"source": "t.csv", "target": "y", **REFUSED[message]}
    with pytest.raises(InputError, match=message):
        luthier.fit(options.pop("source"), **options, budget="20steps", run=place, replace=True)
    assert content_of(place) == before


def test_a_run_that_is_refused_before_anything_is_trained_puts_the_old_one_back(
    trained: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*given: object) -> None:
        raise InputError("the disk is full")

    before = content_of(place)
    for owner, name in ((Run, "run"), (calls, "write_report")):  # the second behind all of training
        with monkeypatch.context() as patched:
            patched.setattr(owner, name, refused)
            with pytest.raises(InputError, match="the disk is full"):
                luthier.fit(trained / "t.csv", target="y", budget="20steps", run=place, replace=True)
        if owner is Run:
            assert content_of(place) == before
    assert (place / ASIDE / "model.luthier").read_bytes() == before["model.luthier"]


@pytest.mark.parametrize("moved", [1, 3, 99])
def test_a_process_killed_while_it_sets_a_run_aside_loses_nothing(trained: Path, place: Path, moved: int) -> None:
    before = content_of(place)
    (place / ASIDE).mkdir()
    own = [file for file in place.iterdir() if file.is_file() and file.name not in ("mine.txt", ".lock")]
    files = sorted(own, key=lambda file: file.name != "run.json")  # the first that is moved
    for file in files[:moved]:
        file.rename(place / ASIDE / file.name)
    with pytest.raises(InputError, match="already holds a run"):
        luthier.fit(trained / "t.csv", target="y", budget="20steps", run=place)
    assert content_of(place) == before


def test_a_search_that_is_refused_puts_the_run_back(
    trained: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*given: object) -> None:
        raise InputError("a trial cannot be made")

    before = content_of(place)
    monkeypatch.setattr("luthier.runs.tuning_tables._tune_table", refused)
    with pytest.raises(InputError, match="a trial cannot"):
        luthier.tune_table(trained / "t.csv", target="y", trials=1, epochs=1, run=place, replace=True)
    assert content_of(place) == before


def test_a_finished_run_has_replaced_the_old_one(trained: Path, place: Path) -> None:
    before = content_of(place)
    (place / ASIDE).mkdir()
    (place / ASIDE / "scores.json").write_text("{}")  # of a process that was killed
    luthier.fit(trained / "t.csv", target="y", budget="20steps", seed=5, run=place, replace=True)
    after = content_of(place)
    assert after["mine.txt"] == b"mine"
    assert after["recipe.toml"] != before["recipe.toml"]
    assert ASIDE not in after


def test_several_targets_that_are_all_refused_put_the_run_back(
    trained: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = content_of(place)
    everything = {"y": InputError("no"), "z": InputError("no")}
    monkeypatch.setattr("luthier.runs.multi_target.one_by_one", lambda *given: everything)
    with pytest.raises(InputError, match="2 of 2 targets could not be fitted"):
        luthier.fit(trained / "t.csv", target=["y", "z"], budget="40steps", separate=True, run=place, replace=True)
    assert content_of(place) == before

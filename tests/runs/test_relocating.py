"""A data file that moved: the run is judged and continued where the same rows lie now, and nowhere else."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image
from typer.testing import CliRunner

import luthier
from luthier.cli import app
from luthier.data import read_source
from luthier.errors import InputError
from luthier.runs.screen import SilentScreen
from luthier.saved import open_run

HERE, MOVED = "iris.csv", "elsewhere.csv"


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run that ended after step 2, whose data lie under another name now."""
    folder = tmp_path_factory.mktemp("moved")
    read_source("iris").frame.write_csv(folder / HERE)
    options: dict[str, Any] = {"target": "species", "budget": "60steps", "until": 2, "screen": SilentScreen()}
    luthier.fit(folder / HERE, run=folder / "run", **options)
    (folder / HERE).rename(folder / MOVED)
    return folder


@pytest.fixture
def run(stopped: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(stopped / "run", tmp_path / "run"))


def said(*words: object) -> str:
    """What a command that must fail says."""
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert isinstance(done.exception, InputError), done.output
    return str(done.exception)


def test_the_error_names_the_option(run: Path) -> None:
    for command in (("resume", run), ("test", run)):
        assert "--source FILE" in said(*command)


def test_the_run_goes_on_where_the_rows_lie_now(run: Path, stopped: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["test", str(run), "--source", str(stopped / MOVED)])
    assert done.exit_code == 0, done.output
    assert luthier.Result(open_run(run)).scores["headline"]["n"] == 31  # a fifth; two equal flowers stay together
    again = luthier.test(run, again=True, screen=SilentScreen())  # noted once, it is known from then on
    assert again.scores["openings"] == 2
    repeated = luthier.rerun(run / "recipe.toml", until=1, run=tmp_path / "repeated", screen=SilentScreen())
    assert repeated is not None


def test_new_test_rows_that_moved(tmp_path: Path) -> None:
    """Each file of two is known by its own fingerprint."""
    rows = read_source("iris").frame.sample(fraction=1, shuffle=True, seed=0)
    for name, part in (("old.csv", rows[:110]), ("new.csv", rows[110:])):
        part.write_csv(tmp_path / name)
    options: dict[str, Any] = {"target": "species", "budget": "60steps", "until": 2, "screen": SilentScreen()}
    luthier.fit(tmp_path / "old.csv", run=tmp_path / "run", test=tmp_path / "new.csv", **options)
    for name in ("old", "new"):
        (tmp_path / f"{name}.csv").rename(tmp_path / f"{name}-moved.csv")
        assert f"not at '{tmp_path / name}.csv' any more" in said("test", tmp_path / "run")
        rows[:50].write_csv(tmp_path / "other.csv")
        assert "not the data of the run" in said("test", tmp_path / "run", "--source", tmp_path / "other.csv")
        luthier.relocate(tmp_path / "run", tmp_path / f"{name}-moved.csv")
    assert (
        luthier.test(tmp_path / "run", screen=SilentScreen()).scores["headline"]["n"] == 40
    )  # one flower is in both, and no open row


@pytest.mark.parametrize("command", [("resume",), ("test",), ("export", "--torch", "out"), ("tune",)])
def test_other_rows_are_refused(run: Path, stopped: Path, tmp_path: Path, command: tuple[str, ...]) -> None:
    pl.read_csv(stopped / MOVED)[:100].write_csv(tmp_path / "other.csv")
    assert "not the data of the run" in said(*command, run, "--source", tmp_path / "other.csv")


def test_a_run_that_keeps_its_data_takes_no_other(tmp_path: Path) -> None:
    frame = read_source("iris").frame
    options: dict[str, Any] = {"target": "species", "budget": "60steps", "until": 1, "screen": SilentScreen()}
    luthier.fit(frame, run=tmp_path / "run", **options)
    frame.write_csv(tmp_path / "iris.csv")
    with pytest.raises(InputError, match="does not read its data from a path"):
        luthier.relocate(tmp_path / "run", tmp_path / "iris.csv")


def test_a_folder_of_pictures_that_was_copied(tmp_path: Path) -> None:
    """Names and times of files are others now; the bytes are the same, or they are refused."""
    draw = np.random.default_rng(0)
    for k in range(60):
        place = tmp_path / "here" / ("dark", "light")[k % 2]
        place.mkdir(parents=True, exist_ok=True)
        pixels = draw.integers(0, 120, (8, 8), dtype=np.uint8) + np.uint8(100 * (k % 2))
        Image.fromarray(pixels).save(place / f"{k}.png")
    options: dict[str, Any] = {"budget": "5steps", "until": 1, "screen": SilentScreen()}
    luthier.fit(tmp_path / "here", run=tmp_path / "run", **options)
    for path in (tmp_path / "here").rglob("*.png"):
        new = tmp_path / "there" / path.relative_to(tmp_path / "here")
        new.parent.mkdir(parents=True, exist_ok=True)
        new.write_bytes(path.read_bytes())
    shutil.rmtree(tmp_path / "here")
    shutil.copytree(tmp_path / "there", tmp_path / "changed")
    (tmp_path / "changed" / "dark" / "0.png").write_bytes((tmp_path / "there" / "dark" / "2.png").read_bytes())
    with pytest.raises(InputError, match="not the data of the run"):
        luthier.relocate(tmp_path / "run", tmp_path / "changed")
    luthier.relocate(tmp_path / "run", tmp_path / "there")
    assert luthier.resume(tmp_path / "run", screen=SilentScreen()) is not None

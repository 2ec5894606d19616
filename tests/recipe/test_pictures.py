"""The recipe on pictures, as its user has it: arrays, a folder, the command line, and back."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from sklearn.datasets import load_digits
from typer.testing import CliRunner

import luthier
from luthier.cli import app
from luthier.errors import InputError
from luthier.recipe import checklist, follows
from luthier.runs.screen import SilentScreen

image = pytest.importorskip("PIL.Image")
pytest.importorskip("kornia")
BUDGET = "2400steps"


@pytest.fixture(scope="module", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> object:
    patch = pytest.MonkeyPatch()
    patch.setenv("LUTHIER_CACHE", str(tmp_path_factory.mktemp("cache")))
    yield None
    patch.undo()


@pytest.fixture(scope="module")
def arrays() -> tuple[np.ndarray, np.ndarray]:
    """Digits, one in forty with a wrong label: whatever is learnt, some of the test pictures are told wrong."""
    digits = load_digits()
    labels = digits.target[:900].copy()
    labels[::40] = (labels[::40] + 1) % 10
    return (digits.images[:900] / 16).astype(np.float32), labels


@pytest.fixture(scope="module")
def run(arrays: tuple[np.ndarray, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> luthier.Result:
    folder = tmp_path_factory.mktemp("runs") / "digits"
    result = luthier.fit(arrays, budget=BUDGET, run=folder, screen=SilentScreen())
    assert result is not None
    return result


@pytest.fixture(scope="module")
def folder(arrays: tuple[np.ndarray, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three digits as PNG files, one of them broken."""
    root = tmp_path_factory.mktemp("pictures")
    for k, (pixels, digit) in enumerate(zip(*arrays, strict=True)):
        if digit < 3:
            (root / f"class {digit}").mkdir(exist_ok=True)
            image.fromarray((pixels * 255).astype(np.uint8)).save(root / f"class {digit}" / f"{k}.png")
    next((root / "class 1").glob("*.png")).write_bytes(b"broken")
    return root


def test_pictures_are_learnt(run: luthier.Result) -> None:
    assert run.scores["headline"]["value"] > 0.93
    assert run.model.task.kind == "multiclass"
    assert run.model.encoder.to_json()["kind"] == "pictures"
    codes = [r["code"] for r in run.ledger if r["kind"] == "decision"]
    assert codes.count("experiment") == 2
    assert {"first-convnet", "initial-loss", "gradients", "answer", "bags"} <= set(codes)
    assert len(run.scores["baselines"]) == 5


def test_every_decision_follows_from_its_evidence(run: luthier.Result) -> None:
    for decision in (r for r in run.ledger if r["kind"] == "decision"):
        assert follows(decision), decision["topic"]


def test_the_checklist_is_that_of_pictures(run: luthier.Result) -> None:
    status = {one.item.what: one.status for one in checklist(run.ledger)}
    assert status["a proven architecture for pictures, such as ResNet"] == "done"
    assert status["one hidden layer, its width between the numbers of inputs and outputs"] == "not for this data"
    assert status["more training rows, or data augmentation"] == "done"


def test_the_same_numbers_again(run: luthier.Result, tmp_path: Path) -> None:
    again = luthier.rerun(run.path / "recipe.toml", run=tmp_path / "again", screen=SilentScreen())
    assert again is not None
    assert again.scores["headline"] == run.scores["headline"]


def test_a_run_of_arrays_is_gone_on_with(arrays: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    stopped = luthier.fit(arrays, budget="150steps", run=tmp_path / "run", until=2, screen=SilentScreen())
    assert stopped is not None
    assert (tmp_path / "run" / "pictures.npy").exists()
    judged = luthier.test(tmp_path / "run", screen=SilentScreen())
    assert judged.scores["headline"]["n"] > 100


def test_the_report_shows_pictures(run: luthier.Result) -> None:
    page = (run.path / "report.html").read_text()
    drawn = {name for name, sheet in run.scores["sheets"].items() if sheet}
    assert page.count("<img class=sheet") == len(drawn)
    assert "worst" in drawn
    assert len(page) < 6_000_000


def test_a_folder_from_the_command_line(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    message = CliRunner().invoke(app, ["fit", str(folder), "--budget", "400steps", "--run", "run"])
    assert message.exit_code == 0, message.output
    assert "1 of" in message.output
    assert "pictures cannot be read" in message.output
    refused = CliRunner().invoke(app, ["fit", str(folder), "--strict", "--run", "other"])
    assert isinstance(refused.exception, InputError)
    new = tmp_path / "new"
    new.mkdir()
    wanted = []
    for label in ("class 0", "class 2"):
        for path in sorted((folder / label).glob("*.png"))[:5]:
            (new / f"{label} {path.name}").write_bytes(path.read_bytes())
            wanted.append(label)
    message = CliRunner().invoke(app, ["predict", "run", str(new), "-o", "p.csv"])
    assert message.exit_code == 0, message.output
    table = pl.read_csv("p.csv")
    assert (table["prediction"] == pl.Series(wanted)).sum() >= 9
    refused = CliRunner().invoke(app, ["check", "run", str(folder), "--json"])
    assert "cannot be read" in str(refused.exception)  # and the broken picture is named
    message = CliRunner().invoke(app, ["check", "run", str(new), "--json"])
    assert message.exit_code == 0, message.output
    names = {row["column"] for row in json.loads(message.stdout)["columns"]}
    assert {"brightness", "contrast", "sharpness"} <= names
    message = CliRunner().invoke(app, ["doctor", str(folder)])
    assert message.exit_code == 0, message.output

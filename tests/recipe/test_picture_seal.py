"""Pictures that a run has seen are not sealed or fresh at another size, compressed, or packed anew."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from sklearn.datasets import load_digits

import luthier
from luthier.assess.row_record import RowRecord
from luthier.recipe import read_as_asked
from luthier.recipe.rows.known_rows import record_in
from luthier.request import RunRequest
from luthier.runs.screen import SilentScreen
from luthier.saved import RunFolder

image = pytest.importorskip("PIL.Image")
pytest.importorskip("kornia")
BUDGET, SIDE = "40steps", 24


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home and a cache of the test's own, with the register on."""
    monkeypatch.delenv("LUTHIER_NO_REGISTER")
    monkeypatch.setenv("LUTHIER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("LUTHIER_CACHE", str(tmp_path / "cache"))
    return tmp_path / "home"


def pictures(first: int, last: int) -> tuple[np.ndarray, np.ndarray]:
    """Zeros and ones of 24 pixels a side."""
    every = load_digits()
    rows = np.flatnonzero(every.target < 2)[first:last]
    shown = [image.fromarray((one / 16 * 255).astype(np.uint8)) for one in every.images[rows]]
    return np.stack([np.asarray(one.resize((SIDE, SIDE), image.Resampling.BICUBIC)) for one in shown]), every.target[
        rows
    ]


def written(folder: Path, rows: tuple[np.ndarray, np.ndarray], ending: str = "png", side: int = SIDE) -> Path:
    for number, (pixels, label) in enumerate(zip(*rows, strict=True)):
        (folder / str(label)).mkdir(parents=True, exist_ok=True)
        one = image.fromarray(pixels).resize((side, side), image.Resampling.BILINEAR)
        one.save(folder / str(label) / f"{number}{len(ending)}.{ending}", quality=90)
    return folder


def test_pictures_in_two_forms_lie_on_one_side(tmp_path: Path) -> None:
    folder = written(tmp_path / "both", pictures(0, 120))
    written(folder, tuple(some[:30] for some in pictures(0, 120)), "jpeg", side=20)  # type: ignore[arg-type]
    read = read_as_asked(str(folder), RunRequest(source=str(folder), target="label"))
    names = [Path(one) for one in read.frame["picture"]]
    group = {
        (one.parent.name, one.stem[:-1], one.suffix): k for one, k in zip(names, read.copies.together, strict=True)
    }
    assert all(group[label, stem, ".png"] == k for (label, stem, suffix), k in group.items() if suffix == ".jpeg")
    assert read.copies.repeated == read.copies.near == 60


def test_known_pictures_are_left_out_of_new_test_rows_and_counted_by_later_runs(tmp_path: Path) -> None:
    folder = written(tmp_path / "first", pictures(0, 200))
    luthier.fit(folder, budget=BUDGET, run=tmp_path / "a", screen=SilentScreen())
    new = written(tmp_path / "new", pictures(150, 300), "jpeg", side=32)
    branched = luthier.branch(tmp_path / "a", step=4, new_test=new, run=tmp_path / "b", screen=SilentScreen())
    split = next(line for line in branched.ledger if line.get("topic") == "split")
    assert "50 of its 150 rows are known to the run and left out" in split["reason"]
    kept = record_in(RunFolder(tmp_path / "b"))
    assert kept is not None
    again = RowRecord.from_bytes(kept.to_bytes())
    assert kept.rows.looks is not None
    assert np.array_equal(kept.rows.looks, again.rows.looks)

    packed, labels = pictures(0, 200)  # the same pictures, as an array, at another size
    result = luthier.fit((packed, labels), budget=BUDGET, size=16, seed=1, run=tmp_path / "c", screen=SilentScreen())
    history = result.scores["seal"]
    assert history["runs"] == 2
    assert history["read"] + history["opened"] >= 1


def test_sketches_cannot_be_read_without_the_secret_of_the_machine(tmp_path: Path) -> None:
    luthier.fit(pictures(0, 100), budget=BUDGET, run=tmp_path / "a", screen=SilentScreen())
    record = record_in(RunFolder(tmp_path / "a"))
    assert record is not None
    assert record.rows.looks is not None
    looks = record.rows.looks.astype(float)
    # Veiled numbers are evenly spread: the share of each sign is a half, within six standard deviations.
    assert abs((looks < 0).mean() - 0.5) < 6 * 0.5 / looks.size**0.5
    assert pl.read_parquet(RunFolder(tmp_path / "a").seal)["look"].n_unique() > 90

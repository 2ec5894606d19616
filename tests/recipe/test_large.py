"""A run on a table of which a sample decides: the final networks train on every row that they may."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import luthier
from luthier.data import read_source
from luthier.recipe import read_as_asked
from luthier.recipe.rows.learnable import learnable
from luthier.recipe.rows.parts import parts_of
from luthier.request import RunRequest

ROWS = 6000


def table() -> pl.DataFrame:
    rng = np.random.default_rng(1)
    X = rng.normal(size=(ROWS, 3)).round(4)
    label = np.where(X[:, 0] + X[:, 1] * X[:, 2] + rng.logistic(size=ROWS) * 0.3 > 0, "yes", "no")
    return pl.DataFrame(
        {"a": X[:, 0], "b": X[:, 1], "c": X[:, 2], "who": np.arange(ROWS) // 6, "when": np.arange(ROWS), "label": label}
    )


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LUTHIER_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "big.parquet"
    table().write_parquet(path)
    return path


def records(run: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (run / "ledger.jsonl").read_text().splitlines()]


def test_a_run_whose_last_networks_learn_from_all_rows(path: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    result = luthier.fit(
        path, target="label", budget="600steps", memory="200kB", run=run, columns={"who": "identifier"}
    )
    assert result is not None
    message = [str(record.get("sentence", "")) for record in records(run)]
    assert any("decisions use a sample" in one for one in message)
    assert len(list((tmp_path / "cache" / "tables").iterdir())) == 1
    assert result.scores["headline"]["value"] > 0.7
    again = luthier.rerun(run / "recipe.toml", run=tmp_path / "again")
    assert again is not None
    assert again.scores["headline"] == result.scores["headline"]


def held_and_learnt(path: Path, **asked: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    request = RunRequest(source=str(path), target="label", memory=150_000, **asked)
    read = read_as_asked(str(path), request)
    assert read.source.whole is not None
    parts = parts_of(read, request)
    held_out = pl.concat([parts.frames["validation"], parts.frames["test"]])
    return held_out, learnable(read.source.whole, read, request, held_out).rows.collect()


def test_no_group_is_on_both_sides(path: Path) -> None:
    held_out, learnt = held_and_learnt(path, group="who")
    assert learnt.height > 1000
    assert not set(held_out["who"]) & set(learnt["who"])


def test_nothing_is_learnt_from_what_came_later(path: Path) -> None:
    held_out, learnt = held_and_learnt(path, time="when")
    assert learnt.height > 1000
    assert learnt["when"].max() < held_out["when"].min()  # type: ignore[operator]


def test_copies_of_held_out_rows_are_not_learnt_from(path: Path) -> None:
    frame = table().drop("who", "when")
    pl.concat([frame, frame.sample(300, seed=0)]).write_parquet(path)
    held_out, learnt = held_and_learnt(path)
    names = ["a", "b", "c"]
    assert not set(held_out.select(names).rows()) & set(learnt.select(names).rows())


def kept_at(path: Path, frame: pl.DataFrame, name: str, cells: dict[int, object]) -> None:
    """The table with other cells in some rows, none of which the draw of the sample takes."""
    values = frame[name].to_list()
    for row, value in cells.items():
        values[row] = value
    frame.with_columns(pl.Series(name, values, strict=False)).write_parquet(path)


UNDRAWN = (0, 2, 3, 5, 7, 8)  # rows of the table below that the even draw leaves out


def test_these_rows_are_not_drawn(path: Path) -> None:
    drawn = read_source(path, memory=150_000).frame["when"].to_list()
    assert not set(drawn) & set(UNDRAWN)


@pytest.mark.parametrize("name", ["csv", "parquet"])
@pytest.mark.parametrize(
    ("target", "rare"),
    [
        (np.where(np.arange(ROWS) % 3, "a", "b"), ["z", "z", "w"]),
        (np.arange(ROWS) % 2 == 0, [True, True, True]),
        (np.array([f"class {k % 200}" for k in range(ROWS)]), ["z", "z", "w"]),
        (np.arange(ROWS) % 4, [9, 9, 9]),
        (np.arange(ROWS) % 4 + 1.0, [2.5, 2.5, 2.5]),
        (np.exp(np.arange(ROWS) % 997 / 100).round(6), [-1.0, 2.0, 3.0]),
        (np.exp(np.arange(ROWS) / 1000), [-1.0, 2.0, 3.0]),
        (np.arange(ROWS), [0.5, 1.5, 2.5]),
    ],
)
def test_a_target_is_what_it_is_in_memory(path: Path, name: str, target: np.ndarray, rare: list[object]) -> None:
    """Also by values that the draw of the sample has missed: classes, fractions, numbers that are not positive."""
    path = path.with_suffix(f".{name}")
    values = target.tolist()
    for row, value in zip(UNDRAWN, rare, strict=False):
        values[row] = value
    getattr(table().with_columns(label=pl.Series(values, strict=False)), f"write_{name}")(path)
    request = RunRequest(source=str(path), target="label", memory=150_000)
    sampled = read_as_asked(str(path), request)
    whole = read_as_asked(str(path), request.model_copy(update={"memory": 0}))
    assert sampled.source.whole is not None
    assert (sampled.task.kind, sampled.task.classes) == (whole.task.kind, whole.task.classes)
    assert sampled.task.log_scale == whole.task.log_scale
    assert sampled.frame.height < ROWS / 2

"""Checks on a schedule: the rows since the last one, how often unchanged rows alarm, and what is kept of each."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import luthier
from luthier.data import read_source
from luthier.errors import InputError
from luthier.report import write_report
from luthier.runs.newer_rows import newer
from luthier.runs.screen import SilentScreen
from luthier.saved import RunFolder, read_checks

START = dt.date(2026, 1, 1)


def table(rows: int, seed: int, *, moved: float = 0.0) -> pl.DataFrame:
    """Two columns that speak, one that does not, a day a row; `moved` shifts the first column."""
    g = np.random.default_rng(seed)
    x = g.normal(size=(rows, 3))
    y = 2 * x[:, 0] + x[:, 1] + g.normal(size=rows)
    days = [START + dt.timedelta(days=k) for k in range(rows)]
    return pl.DataFrame({"a": x[:, 0] + moved, "b": x[:, 1], "c": x[:, 2], "y": y, "day": days})


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("checks") / "run"
    luthier.fit(table(900, 0).drop("day"), target="y", budget="300steps", run=path, screen=SilentScreen())
    return path


def test_each_check_looks_at_the_rows_since_the_last(run: Path) -> None:
    growing = table(400, 1)
    first = luthier.check(run, growing[:200], time="day", since="last")
    assert (first["rows"], first["until"]) == (200, "2026-07-19 00:00:00")  # the first looks at all
    second = luthier.check(run, growing[:300], time="day", since="last")
    assert second["rows"] == 100
    assert "the last check, of 200 rows on" in second["lines"][-1]
    nothing = luthier.check(run, growing[:300], time="day", since="last")
    assert (nothing["rows"], nothing["level"]) == (0, "fine")
    assert nothing["verdict"] == "there are no rows since 2026-10-27 00:00:00"
    from_then = luthier.check(run, growing, time="day", since="2026-10-28")
    assert from_then["rows"] == 100  # the day named is one of them
    kept = read_checks(RunFolder(run))
    assert [one.rows for one in kept[-3:]] == [200, 100, 100]  # what found no rows is not among them
    assert kept[-1].score is not None
    assert kept[-1].score.value == pytest.approx(from_then["score"]["value"])


def test_the_report_draws_all_checks(run: Path) -> None:
    for seed in (1, 2):
        luthier.check(run, table(120, seed, moved=3.0 * (seed - 1)))
    page = write_report(run).read_text()
    assert "All checks" in page
    assert [one.level for one in read_checks(RunFolder(run))[-2:]] == ["fine", "act"]
    assert "<td class=whole>act</td>" in page


def test_unchanged_rows_alarm_as_rarely_as_was_asked_and_changed_ones_are_found(run: Path) -> None:
    """Forty draws of the same population at a rate of 0.2: at most 8 alarms and two binomial errors, 13."""
    levels = [luthier.check(run, table(150, 100 + k), false_alarms=0.2)["level"] for k in range(40)]
    assert sum(level != "fine" for level in levels) <= 13
    moved = [luthier.check(run, table(150, 200 + k, moved=0.8))["level"] for k in range(5)]
    assert moved.count("fine") == 0


def test_a_rarer_alarm_asks_for_more(run: Path) -> None:
    """The share of false alarms widens the interval of the change as the normal quantiles do: 2.807 to 1.960."""
    often, rarely = (luthier.check(run, table(200, 7), false_alarms=rate)["change"] for rate in (0.05, 0.005))
    assert (rarely["high"] - rarely["value"]) / (often["high"] - often["value"]) == pytest.approx(
        2.807 / 1.960, abs=1e-3
    )
    assert rarely["value"] == often["value"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"since": "last"}, "of when?"),
        ({"since": "last", "time": "when"}, "no column 'when'"),
        ({"since": "soon", "time": "day"}, "--since soon is not a date"),
        ({"since": "2026-01-01", "time": "a"}, "is not a number"),
        ({"false_alarms": 0.0}, "false alarms of 0"),
        ({"false_alarms": float("nan")}, "false alarms of nan"),
    ],
)
def test_what_cannot_be_asked(run: Path, options: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        luthier.check(run, table(50, 3), **options)


def test_a_damaged_list_of_checks_is_said(run: Path) -> None:
    kept = RunFolder(run).checks.read_text()
    try:
        RunFolder(run).checks.write_text(json.dumps({"at": 3}) + "\n")
        with pytest.raises(InputError, match="list of checks"):
            luthier.check(run, table(50, 3))
    finally:
        RunFolder(run).checks.write_text(kept)


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=30, unique=True), st.integers(0, 10**6))
def test_parts_of_a_growing_table_are_each_seen_once(minutes: list[int], split: int) -> None:
    """Whatever the spelling of the times: what the first check saw and what the second sees are all rows, once."""
    moments = [dt.datetime(2026, 1, 1) + dt.timedelta(minutes=m) for m in minutes]
    for cells in (
        moments,
        [f"{m:%d.%m.%Y %H:%M}" for m in moments],
        [f"{m:%Y-%m-%dT%H:%M:%SZ}" for m in moments],
        minutes,
    ):
        frame = pl.DataFrame({"t": cells, "m": minutes})
        first = (
            newer(read_source(frame.filter(pl.col("m") <= split)), "t", "last", "") if min(minutes) <= split else None
        )
        second, _ = newer(read_source(frame), "t", "last", first[1] if first else "")
        seen = [*(first[0].frame["m"].to_list() if first else []), *second.frame["m"].to_list()]
        assert sorted(seen) == sorted(minutes)


def test_the_column_that_orders_the_rows_is_not_compared(tmp_path: Path) -> None:
    """New rows lie beyond the training rows in time, always: that says nothing about the others."""
    all_days = table(700, 5)
    run = tmp_path / "run"
    luthier.fit(all_days[:400], target="y", time="day", budget="60steps", run=run, screen=SilentScreen())
    found = luthier.check(run, all_days[400:])
    assert not [row for row in found["columns"] if row["column"].startswith("day")]
    assert found["told_apart"]["high"] < 0.7  # with the day among the columns it is 1
    assert any("`day` says when a row came" in line for line in found["lines"])

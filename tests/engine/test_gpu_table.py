"""`make gpu`, whose program runs from end to end on the processor too."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import pytest
import torch
from benchmarks.gpu import figures
from benchmarks.gpu.__main__ import main
from benchmarks.gpu.cases import CASES, difference
from benchmarks.gpu.table import Row, SkippedError, Table
from tests import warm

CPU = torch.device("cpu")


def test_the_program_runs_from_end_to_end(tmp_path: Path) -> None:
    path = tmp_path / "gpu.json"
    with patch.object(figures, "subprocess", warm):
        assert main(["--tiny", "--device", "cpu", "--out", str(path)]) == 0
    table = json.loads(path.read_text())
    rows = {row["figure"]: row for row in table["figures"]}
    assert (table["device"], table["torch"], table["quick"]) == ("cpu", torch.__version__, True)
    assert [name for name, row in rows.items() if "failed" in row] == []
    assert rows["contract tests that fail"]["value"] == 0
    assert "passed" in rows["contract tests that fail"]["details"]["pytest"]
    assert rows["histories over 4 steps, rule sgd"]["target"] == 1e-4
    speeds = [row["value"] for row in rows.values() if row.get("unit") in ("steps/s", "times")]
    assert len(speeds) == 2 * (1 + 2 * 2)
    assert min(speeds) > 0


def test_a_figure_that_fails_keeps_no_other_from_being_measured(tmp_path: Path) -> None:
    def fails() -> Iterator[Row]:
        yield Row("first", 2.0, "s", 1.0, most=True)
        raise RuntimeError("out of memory")

    def missing() -> Iterator[Row]:
        raise SkippedError("polars is not there")
        yield

    def measured() -> Iterator[Row]:
        yield Row("last", 3.0, "times", 2.0)

    table = Table(tmp_path / "gpu.json", CPU, 100.0, quick=False)
    for name, measure in (("a", fails), ("b", missing), ("c", measured)):
        table.measure(name, 1.0, measure)
    table.measure("d", 1000.0, measured)
    rows = json.loads((tmp_path / "gpu.json").read_text())["figures"]
    assert [(row["figure"], row.get("reached")) for row in rows] == [
        *(("first", False), ("a", None), ("b", None), ("last", True), ("d", None))
    ]
    assert rows[1]["failed"] == "RuntimeError: out of memory"
    assert rows[2]["skipped"] == "polars is not there"
    assert "it needs about 1000 s" in rows[4]["skipped"]
    assert table.missed == ["first", "a"]


def test_a_device_that_is_not_there_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--device", "cuda:7"])
    assert "the device 'cuda:7' is not there" in capsys.readouterr().err


def test_histories_that_differ_are_seen() -> None:
    case = CASES["rule sgd"]
    one, same, other = (case.train(CPU, steps=5, dtype=t) for t in (torch.float64, torch.float64, torch.float32))
    assert difference(one, same) == 0
    assert 1e-9 < difference(one, other) < 1e-4
    with pytest.raises(ValueError, match="other steps"):
        difference(one, case.train(CPU, steps=6))

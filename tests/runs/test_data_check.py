"""The data's check finds what was planted, and the absence of a signal."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl

import luthier
from luthier.data import read_source


def test_the_doctor_finds_what_was_planted(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = 600
    x = rng.normal(size=(rows, 3))
    label = np.where(x[:, 0] + 0.3 * rng.normal(size=rows) > 0, "yes", "no")
    frame = pl.DataFrame(
        {"id": np.arange(rows), "a": x[:, 0], "b": x[:, 1], "same": np.ones(rows), "later": label == "yes", "y": label}
    )
    result = luthier.doctor(frame, target="y")
    kinds = {column["name"]: (column["kind"], column["used"]) for column in result.columns}
    assert kinds["id"] == ("identifier", False)
    assert kinds["same"] == ("constant", False)
    assert "leaking-column" in {finding.code for finding in result.findings}
    assert not result.healthy
    assert all(passed for _, passed, _ in result.checks)


def test_the_doctor_sees_no_signal_and_wrong_labels() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(800, 4))
    noise = luthier.doctor(
        pl.DataFrame({**{f"x{i}": x[:, i] for i in range(4)}, "y": rng.choice(["a", "b"], 800)}), target="y"
    )
    assert "no-signal" in {finding.code for finding in noise.findings}
    digits = read_source("digits").frame
    label = digits["digit"].to_numpy().copy()
    wrong = np.flatnonzero(rng.random(len(label)) < 0.12)
    label[wrong] = (label[wrong] + 1 + rng.integers(0, 8, len(wrong))) % 10
    counted = digits.with_columns(pl.Series("digit", label), w=pl.lit(1.0))
    rows = pl.concat([counted.head(100).with_columns(w=pl.lit(0.0)), counted])  # numbers are those of the whole table
    result = luthier.doctor(rows, target="digit", sample_weight="w")
    assert "100 rows are set aside" in str(result)
    assert "label-noise" in {finding.code for finding in result.findings}
    hits = set(result.suspects) & set((wrong + 100).tolist())
    assert len(hits) > 0.9 * len(result.suspects)
    assert "Rows whose label should be checked" in str(result)
    json.dumps(result.to_json(), allow_nan=False)

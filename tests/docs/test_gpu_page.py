"""The page on GPUs promises what was measured on one, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MEASURED, PAGE = ROOT / "benchmarks" / "results" / "gpu.json", ROOT / "docs" / "how-to" / "gpu.md"
UNMEASURED = "Not yet run on one"


def test_the_page_says_whether_anything_was_run_on_a_gpu() -> None:
    text = PAGE.read_text()
    if not MEASURED.exists():
        assert UNMEASURED in text
        return
    table = json.loads(MEASURED.read_text())
    assert UNMEASURED not in text
    assert table["device"] in text, "the page names the device that was measured"
    assert table["torch"].partition("+")[0] in text, "and PyTorch's version"


def test_the_pages_table_is_what_was_measured() -> None:
    """To the three digits that are printed, or to whole numbers."""
    if not MEASURED.exists():
        return
    known = {row["figure"]: row.get("value") for row in json.loads(MEASURED.read_text())["figures"]}
    works = ("784-30-10, batch 10, SGD", "3 x 256, batch 256, Adam")
    rows = [line.strip("| ").split(" | ") for line in PAGE.read_text().splitlines() if line.startswith("| ")][1:]
    assert len(rows) == 5
    for networks, *printed in rows:
        names = [f"{work}, M = {networks}, {what}" for work in works for what in ("replayed", "times the loop")]
        for name, number in zip(names, printed, strict=True):
            assert float(number.replace(",", "")) == pytest.approx(known[name], rel=0.01, abs=0.5), name

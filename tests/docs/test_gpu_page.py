"""The page on GPUs promises what was measured on one, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

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

"""`python -m benchmarks.diagnosis`: every fault planted and looked for, healthy trainings watched for false alarms.

Writes `benchmarks/results/diagnosis.json` and the tables of docs/diagnosis.md, in both languages. Thresholds were set
on `KNOWN` rows; `FRESH` rows were looked at once, when all was frozen.
"""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

from luthier.citations import cited_in_words
from luthier.diagnosis import CHECKS, ROWS
from luthier.labs.faults import FAULTS, planted
from luthier.labs.trainings import FRESH, KNOWN, UNSEEN, diagnosed, healthy, learns, names_of
from luthier.messages import speaking, spoken

PLANTS, HEALTHY = 10, 500
FIRST = 5000  # seeds from here on were used for nothing before
ROOT = Path(__file__).parent.parent
MEASURED = ROOT / "benchmarks" / "results" / "diagnosis.json"
PAGES = {"en": ROOT / "docs" / "diagnosis.md", "zh": ROOT / "docs" / "diagnosis.zh.md"}
TESTED = {"gradients-not-cleared": "`tests/diagnosis/test_diagnose.py`"}  # in a loop of one's own
EXPERIMENTS = (
    ("no-signal", "inputs that hold no information about the target", "S4-20"),
    ("label-noise", "labels that networks trained without them call wrong", "S1-98"),
)
_TABLE = re.compile(r"(?<=\|---\|\n)(?:\|.*\n)+")


def plant(job: tuple[str, int, tuple[str, ...]]) -> bool:
    """Whether the fault is found."""
    torch.set_num_threads(1)
    code, seed, names = job
    return code in {finding.code for finding in diagnosed(planted(code, seed, names)).findings}


def alarm(job: tuple[int, tuple[str, ...]]) -> list[str] | None:
    """Warnings and errors in a healthy training; None for one that did not learn, which is not healthy."""
    torch.set_num_threads(1)
    result = diagnosed(healthy(*job))
    return [f.code for f in result.findings if f.severity != "note"] if learns(result) else None


def main() -> None:
    """Run everything, keep what was measured, and write the tables of the pages."""
    measured: dict[str, Any] = {"planted": {}, "healthy": {}}
    sets = {"known rows": KNOWN, "second look": UNSEEN, "fresh rows": names_of(FRESH)}
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        for code in FAULTS:
            measured["planted"][code] = [
                sum(pool.map(plant, [(code, FIRST + k, sets[rows]) for k in range(PLANTS)]))
                for rows in ("known rows", "fresh rows")
            ]
        for rows, names in sets.items():
            results = list(pool.map(alarm, [(FIRST + k, names) for k in range(HEALTHY)], chunksize=5))
            kept = [result for result in results if result is not None]
            which = dict(Counter(code for result in kept for code in result).most_common())
            measured["healthy"][rows] = {
                "sets": names,
                "trainings": len(kept),
                "alarmed": sum(map(bool, kept)),
                "which": which,
            }
    MEASURED.write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")
    for language, page in PAGES.items():
        page.write_text(with_tables(page.read_text(encoding="utf-8"), measured, language), encoding="utf-8")
    sys.stdout.write(f"written to {MEASURED} and to the pages\n")


def with_tables(page: str, measured: dict[str, Any], language: str) -> str:
    """A page with the rows of its two tables anew, in its language."""
    with speaking(language):
        tables = iter(("\n".join(planted_rows(measured)), "\n".join(healthy_rows(measured))))
        return _TABLE.sub(lambda _: next(tables) + "\n", page)


def planted_rows(measured: dict[str, Any]) -> Iterator[str]:
    """The rules, each with how many of the planted faults it finds."""
    rules = [(check.code, check.claim, check.threshold, check.source) for check in (*CHECKS, *ROWS)]
    rules += [(code, claim, "an experiment", source) for code, claim, source in EXPERIMENTS]
    for code, claim, threshold, source in rules:
        found = measured["planted"].get(code)
        counts = [f"{count} / {PLANTS}" for count in found] if found else [TESTED[code], ""]
        cells = (code, spoken(claim), spoken(threshold), cited_in_words(spoken(source)), *counts)
        yield f"| {' | '.join(cells)} |"


def healthy_rows(measured: dict[str, Any]) -> Iterator[str]:
    """The sets of healthy trainings, each with its false alarms."""
    for rows, row in measured["healthy"].items():
        which = ", ".join(f"{code} {count}" for code, count in row["which"].items())
        cells = (spoken(rows), ", ".join(row["sets"]), str(row["trainings"]), str(row["alarmed"]), which)
        yield f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()

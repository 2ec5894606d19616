"""What the labs came to in full is kept, is whole, and a run that differs from it is said to."""

from __future__ import annotations

import math
import re
import tomllib
from datetime import date
from pathlib import Path

import pytest
from tests.coverage.coverage import LAB, rows

from luthier.labs.gallery import all_labs
from luthier.labs.lab import ANOTHER, DOCUMENT, HOLDS, ORIGINAL, REFUTED, Bench, Lab, LabOutcome, run_lab
from luthier.labs.recorded import RecordedFigure, RecordedLab, as_recorded, record, recorded

PRINTED = Path(__file__).with_name("printed.toml")


def test_every_row_that_labs_alone_meet_has_its_records_and_no_other_lab_has_one() -> None:
    assert set(recorded()) <= set(all_labs())
    alone = [row for row in rows().values() if not row.in_the_suite and not row.fact]
    needed = {one.removeprefix(LAB) for row in alone for one in row.met if one.startswith(LAB)}
    assert needed <= set(recorded()), "python -m luthier.labs.recorded NAME runs a lab in full and keeps it"


@pytest.mark.parametrize("kept", recorded().values(), ids=lambda kept: kept.lab)
def test_a_record_is_whole(kept: RecordedLab) -> None:
    assert date(2026, 1, 1) <= date.fromisoformat(kept.date)
    assert kept.machine.endswith("cores")
    assert set(kept.versions) == {"python", "torch", "numpy"}
    assert kept.seconds >= 0
    assert kept.figures
    assert len({one.what for one in kept.figures}) == len(kept.figures)
    assert {one.verdict for one in kept.figures} <= {HOLDS, ANOTHER, REFUTED}


@pytest.mark.parametrize("kept", recorded().values(), ids=lambda kept: kept.lab)
def test_every_number_has_a_tolerance_and_its_reason(kept: RecordedLab) -> None:
    for one in kept.figures:
        assert (one.value is None) == (one.tolerance is None) == (not one.because)
        if one.value is not None and one.tolerance is not None:
            assert math.isfinite(one.value)
            assert one.tolerance >= 0
            assert float(one.measured.split()[0].rstrip("%")) == pytest.approx(one.value, rel=1e-5, abs=1e-300)


def _outcome(accuracy: list[float], *, holds: bool = True, more: bool = False) -> LabOutcome:
    def run(bench: Bench) -> None:
        bench.number("accuracy", 95.0, accuracy, 0.2)
        bench.holds("so", holds, "so", why="" if holds else "a reason")
        if more:
            bench.number("another", 1.0, 1.0, 0.0)

    return run_lab(Lab("softmax", "X", "claim", ("S0-01",), run), quick=False)


def test_a_number_may_differ_by_its_tolerance() -> None:
    kept = as_recorded(_outcome([95.0, 95.1, 94.9]))
    assert kept.figures[0].tolerance == pytest.approx(2 * 4.303 * 0.1 / 3**0.5, rel=0.01)
    assert "3 seeds" in kept.figures[0].because
    assert kept.differences(_outcome([95.15])) == []
    (line,) = kept.differences(_outcome([94.4, 94.4]))
    assert line.startswith("accuracy: ")
    assert "94.4" in line
    assert "95 ± 0.25" in line


def test_a_claim_is_held_to_its_verdict() -> None:
    (line,) = as_recorded(_outcome([95.0])).differences(_outcome([95.0], holds=False))
    assert "refuted (so), recorded as reproduced" in line


def test_what_is_missing_on_either_side_is_said() -> None:
    fewer, more = _outcome([95.0]), _outcome([95.0], more=True)
    assert as_recorded(fewer).differences(more) == ["another: measured, and not recorded"]
    assert as_recorded(more).differences(fewer) == ["another: recorded, and no longer measured"]


def test_a_record_takes_the_place_of_the_earlier_one(tmp_path: Path) -> None:
    file = tmp_path / "recorded.jsonl"
    for accuracy in (95.0, 95.1):
        record([_outcome([accuracy])], file)
    (line,) = file.read_text().splitlines()
    assert "95.1" in line


def _numbers(text: str) -> set[float]:
    return {float(one.replace(",", "")) for one in re.findall(r"\d[\d,]*\.?\d*(?:e-?\d+)?", text)}


PRINTED_FIGURES = [
    (kept.lab, one)
    for kept in recorded().values()
    for one in kept.figures
    if one.expected.endswith((f"({DOCUMENT})", f"({ORIGINAL})"))
]


@pytest.mark.parametrize(("lab", "figure"), PRINTED_FIGURES, ids=lambda one: getattr(one, "what", one))
def test_a_number_said_to_be_printed_stands_in_a_quote_of_its_rows(lab: str, figure: RecordedFigure) -> None:
    """What a document, or the original program, prints is kept word by word, by row and by which of the two it was."""
    number, _, origin = figure.expected.rpartition(" (")
    quotes = tomllib.loads(PRINTED.read_text())
    quoted = [quotes[row].get(origin.removesuffix(")"), "") for row in all_labs()[lab].rows if row in quotes]
    assert _numbers(number) <= _numbers(" ".join(quoted)), f"{figure.expected}: not in {quoted}"


def test_every_quote_is_used() -> None:
    quotes = tomllib.loads(PRINTED.read_text())
    used = {
        (row, origin)
        for lab, figure in PRINTED_FIGURES
        for row in all_labs()[lab].rows
        for origin in quotes.get(row, ())
        if figure.expected.endswith(f"({origin})")
        and _numbers(figure.expected.rpartition(" (")[0]) & _numbers(quotes[row][origin])
    }
    to_come = {row for lab in all_labs().values() if lab.name not in recorded() for row in lab.rows}
    assert {(row, origin) for row, both in quotes.items() for origin in both if row not in to_come} <= used

"""What every lab came to when it was last run in full: kept beside the labs, and compared with each new run.

A number may differ from the recorded one by its tolerance. Rounding is another on another machine, and over a
training it grows until the network is another draw; so a mean over seeds may lie two half-widths of its interval
away, 1.4 of which are the luck of two draws, and no number has to lie nearer than the claim itself asks for. A claim
without a number is held to its verdict.

python -m luthier.labs.recorded [NAME ...]     runs labs in full, all of them or those named, and records them anew
"""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from luthier import storage
from luthier.labs.gallery import all_labs, lab_named
from luthier.labs.lab import Lab, LabOutcome, MeasuredFigure, mnist_is_there, run_lab
from luthier.machine import processor

FILE = Path(__file__).with_name("recorded.jsonl")
HALF_WIDTHS = 2


@dataclass(frozen=True)
class RecordedFigure:
    """One figure of a lab: what was expected and measured, the verdict, how far another run's number may lie, and why.

    A claim without a number has no value and no tolerance.
    """

    what: str
    expected: str
    measured: str
    verdict: str
    value: float | None = None
    tolerance: float | None = None
    because: str = ""

    def difference(self, other: MeasuredFigure) -> str:
        """How a new run's figure differs from this one; empty where it does not.

        >>> kept = RecordedFigure("accuracy", "95.4 %", "95.3 %", "reproduced", 95.3, 0.4, "as the claim's")
        >>> kept.difference(MeasuredFigure("accuracy", "95.4 %", "94.8 %", "reproduced", value=94.8))
        "accuracy: 94.8 %, recorded 95.3 % (may differ by 0.4: as the claim's)"
        """
        if self.verdict != other.verdict:
            return f"{self.what}: {other.verdict} ({other.measured}), recorded as {self.verdict} ({self.measured})"
        if self.value is None or self.tolerance is None or other.value is None:
            return ""
        if abs(other.value - self.value) <= self.tolerance:
            return ""
        allowed = f"may differ by {self.tolerance:.3g}: {self.because}"
        return f"{self.what}: {other.measured}, recorded {self.measured} ({allowed})"


@dataclass(frozen=True)
class RecordedLab:
    """A lab's last full run: when, where, with which versions, its seconds of a processor, and every figure."""

    lab: str
    date: str
    machine: str
    versions: Mapping[str, str]
    seconds: float
    figures: tuple[RecordedFigure, ...]

    def differences(self, outcome: LabOutcome) -> list[str]:
        """How a new full run differs, a line for each figure; nothing is said of digits other than MNIST's."""
        if outcome.lab.needs_mnist and not mnist_is_there():
            return []
        now = {one.what: one for one in outcome.bench.comparisons}
        kept = {one.what: one for one in self.figures}
        lines = [kept[what].difference(now[what]) for what in kept if what in now]
        lines += [f"{what}: recorded, and no longer measured" for what in kept if what not in now]
        lines += [f"{what}: measured, and not recorded" for what in now if what not in kept]
        return [line for line in lines if line]


@cache
def recorded() -> dict[str, RecordedLab]:
    """Every recorded lab by its name."""
    return {one.lab: one for one in map(_read, FILE.read_text(encoding="utf-8").splitlines())}


def _read(line: str) -> RecordedLab:
    entry: dict[str, Any] = json.loads(line)
    return RecordedLab(**entry | {"figures": tuple(RecordedFigure(**one) for one in entry["figures"])})


def as_recorded(outcome: LabOutcome) -> RecordedLab:
    """A full run as it is kept."""
    versions = {"python": platform.python_version(), "torch": str(torch.__version__), "numpy": np.__version__}
    figures = tuple(map(_figure, outcome.bench.comparisons))
    date = f"{datetime.now(UTC):%Y-%m-%d}"
    return RecordedLab(outcome.lab.name, date, processor(), versions, round(outcome.seconds, 1), figures)


def _figure(one: MeasuredFigure) -> RecordedFigure:
    kept = RecordedFigure(one.what, one.expected, one.measured, one.verdict)
    if one.value is None or one.within is None:
        return kept
    spread = HALF_WIDTHS * (one.high - one.low) / 2 if one.low is not None and one.high is not None else 0.0
    if spread > one.within:
        because = f"{HALF_WIDTHS} half-widths of the interval over {one.seeds} seeds"
        return replace(kept, value=one.value, tolerance=float(f"{spread:.3g}"), because=because)
    return replace(kept, value=one.value, tolerance=float(one.within), because="the claim's own tolerance")


def seconds_of(lab: Lab, *, quick: bool) -> float:
    """About how long a lab takes: quick as it says itself, in full as recorded and no less; 0 where that is unknown."""
    if quick:
        return lab.seconds
    return max(lab.seconds, recorded()[lab.name].seconds) if lab.name in recorded() else 0.0


def against_recorded(outcome: LabOutcome) -> list[str]:
    """Lines on how a full run differs from the recorded one; none of a quick run."""
    kept = None if outcome.bench.quick else recorded().get(outcome.lab.name)
    if kept is None:
        return []
    differences = [f"  differs from {kept.date}: {line}" for line in kept.differences(outcome)]
    return differences or [f"  as recorded on {kept.date}, on {kept.machine}"]


def record(outcomes: Sequence[LabOutcome], file: Path = FILE) -> None:
    """Keep these runs, in the order of the labs, in place of earlier ones and of labs that are there no more."""
    kept = {one.lab: one for one in map(_read, file.read_text(encoding="utf-8").splitlines())} if file.exists() else {}
    kept |= {outcome.lab.name: as_recorded(outcome) for outcome in outcomes}
    lines = (storage.json_text(asdict(kept[name])) for name in all_labs() if name in kept)
    storage.write_text(file, "".join(f"{line}\n" for line in lines))


def _main(names: Sequence[str]) -> Iterator[str]:
    if not mnist_is_there():
        yield "labs are recorded where MNIST is: set LUTHIER_DATA to a folder with mnist/"
        return
    torch.set_num_threads(1)  # as `make labs` runs them
    for lab in map(lab_named, names or all_labs()):
        began = _processor_seconds()
        outcome = run_lab(lab, quick=False)
        outcome = replace(outcome, seconds=_processor_seconds() - began)  # neighbours do not lengthen these
        differences = recorded()[lab.name].differences(outcome) if lab.name in recorded() else []
        yield f"{lab.name}: {outcome.seconds:.0f} s" + "".join(f"\n  {line}" for line in differences)
        record([outcome])


def _processor_seconds() -> float:
    """Of this process and of those that it has waited for."""
    return sum(os.times()[:4])


if __name__ == "__main__":
    for said in _main(sys.argv[1:]):
        print(said, flush=True)

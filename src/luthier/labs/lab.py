"""A lab: a claim of the documents, the run that tests it, and what was measured beside what is printed.

Nothing that a lab measures is written into it: the expected numbers stand beside, with where they come from, and the
verdict follows from both.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import asdict, dataclass, field, replace
from html import escape
from pathlib import Path

import numpy as np
import plotly.graph_objects as go

from luthier.citations import cited
from luthier.messages import Message, as_message, joined
from luthier.records import JsonObject
from luthier.statistics.paired import of_mean

HOLDS, FAILS = "reproduced", "not reproduced"
ANOTHER = "another number"
REFUTED = "refuted"
SKIPPED = "skipped: needs MNIST"
# Where an expected number comes from: the text itself, what its original program printed, or the formula of the claim.
DOCUMENT, ORIGINAL, FORMULA = "document", "original program", "by formula"
IN_THE_SUITE = 5.0  # seconds up to which the test suite runs a lab; longer ones run in `make labs`
SAID_EVERY = 5.0  # seconds between two lines of progress


@dataclass(frozen=True)
class MeasuredFigure:
    """One figure: what is expected and from where, what was measured (mean, and interval over seeds), the verdict.

    `why` explains another number than the expected one, or a claim that does not hold. `value` is the mean as a number
    and `within` how far from the expected one it may lie; a claim without a number has neither.
    """

    what: str
    printed: str
    measured: str
    verdict: str
    low: float | None = None
    high: float | None = None
    seeds: int = 1
    why: str = ""
    origin: str = ""
    value: float | None = None
    within: float | None = None

    @property
    def expected(self) -> str:
        """The expected number with where it comes from.

        >>> MeasuredFigure("accuracy", "95.42 %", "95.3 %", HOLDS, origin=DOCUMENT).expected
        '95.42 % (document)'
        """
        if not (self.printed and self.origin):
            return self.printed
        return Message("{value} ({origin})", value=self.printed, origin=Message(self.origin))

    @property
    def good(self) -> bool:
        """Whether nothing speaks against it, or what does is explained."""
        return self.verdict != FAILS


@dataclass
class Bench:
    """What a lab's run works with: how long it may take, and where it puts what it finds."""

    quick: bool = True
    comparisons: list[MeasuredFigure] = field(default_factory=list)
    figures: list[tuple[str, go.Figure]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def seeds(self, full: int = 5, quick: int = 3) -> range:
        """Seeds to run."""
        return range(quick if self.quick else full)

    def number(
        self,
        what: str,
        expected: float,
        measured: float | Sequence[float] | np.ndarray,
        within: float,
        *,
        of: str = FORMULA,
        unit: str = "",
        why: str = "",
        between: tuple[float, float] | None = None,
        refuted: bool = False,
    ) -> None:
        """A number beside the expected one: reproduced where the mean (over seeds) is at most `within` away.

        `of` says where it comes from. With `why` a number that lies elsewhere, but within `between`, is another one,
        explained; with `refuted` the printed one is wrong.
        """
        assert (between is None) == (not why), "a miss that is explained is held to a range"
        values = np.atleast_1d(np.asarray(measured, dtype=float))
        mean = float(values.mean())
        half = of_mean(values).half_width() if len(values) > 1 else 0.0
        close = abs(mean - expected) <= within
        explained = not close and between is not None and between[0] <= mean <= between[1]
        verdict = HOLDS if close else FAILS if not explained else REFUTED if refuted else ANOTHER
        message = f"{mean:.6g}{unit}" + (f" ± {half:.2g}" if len(values) > 1 else "")
        low, high = (mean - half, mean + half) if len(values) > 1 else (None, None)
        self._add(
            MeasuredFigure(
                what,
                f"{expected:g}{unit}",
                message,
                verdict,
                low,
                high,
                len(values),
                why if explained else "",
                of,
                mean,
                within,
            )
        )

    def holds(
        self,
        what: str,
        holds: bool | np.bool_,
        measured: str,
        *,
        printed: str = "",
        why: str = "",
        of: str = DOCUMENT,
    ) -> None:
        """A claim without a number: whether it holds, and what was measured. With `why` it is refuted where not."""
        verdict = HOLDS if bool(holds) else REFUTED if why else FAILS
        origin = of if printed else ""
        self._add(MeasuredFigure(what, printed, measured, verdict, why="" if holds else why, origin=origin))

    def _add(self, figure: MeasuredFigure) -> None:
        assert figure.what not in (one.what for one in self.comparisons), f"two figures are named '{figure.what}'"
        self.comparisons.append(figure)

    def draw(self, title: str, figure: go.Figure) -> None:
        """A figure for the gallery; no two lines of its legend are named alike."""
        names = [line.name for line in figure.data if line.name and line.showlegend is not False]
        assert len(names) == len(set(names)), f"'{title}' has two lines of one name: {names}"
        self.figures.append((title, figure))

    def note(self, text: str) -> None:
        """Something that a reader should know."""
        self.notes.append(text)


@dataclass(frozen=True)
class Lab:
    """An experiment: its name, what it is about, the claim in a sentence, the rows it meets, and how it is run."""

    name: str
    title: str
    claim: str
    rows: tuple[str, ...] = field(repr=False)  # ids of the source documents' rows; `source` has their titles
    run: Callable[[Bench], None]
    seconds: float = 1.0  # about, when quick
    needs_mnist: bool = False  # other pictures stand in, on which its claims may not hold

    @property
    def minutes(self) -> str:
        """About how long it takes when quick.

        >>> Lab("x", "X", "a claim", ("S0-26",), lambda bench: None, seconds=90).minutes
        '1.5 min'
        """
        return in_time(self.seconds)

    @property
    def source(self) -> str:
        """Where the claim comes from, as titles.

        >>> Lab("x", "X", "a claim", ("S0-26", "S1-63"), lambda bench: None).source
        "Andrew Ng's lectures; Nielsen, chapter 3"
        """
        return cited(", ".join(self.rows))


@dataclass(frozen=True)
class LabOutcome:
    """What a run of a lab found."""

    lab: Lab
    bench: Bench
    seconds: float

    @property
    def good(self) -> bool:
        """Whether every comparison held, or is explained."""
        return all(one.good for one in self.bench.comparisons)

    def _repr_html_(self) -> str:
        """A notebook shows the table."""
        from luthier.report.html import table

        head = ("what", "expected", "measured", "verdict", "why")
        rows = [(one.what, one.expected or "–", one.measured, one.verdict, one.why) for one in self.bench.comparisons]
        return "".join((*table(head, rows), *(f"<p>{escape(note)}</p>" for note in self.bench.notes)))

    def to_json(self) -> JsonObject:
        """As plain JSON values, without figures."""
        return {
            "name": self.lab.name,
            "claim": self.lab.claim,
            "source": self.lab.source,
            "quick": self.bench.quick,
            "seconds": round(self.seconds, 2),
            "comparisons": [asdict(one) for one in self.bench.comparisons],
            "notes": self.bench.notes,
        }


def run_lab(
    lab: Lab,
    *,
    quick: bool = True,
    said: Callable[[str], None] = lambda line: None,
    about: float = 0.0,
    is_mnist: bool | None = None,
) -> LabOutcome:
    """Run a lab; `said` hears every few seconds how far it is, where it takes `about` so many of them.

    Without MNIST, claims about it that do not hold on other pictures are skipped, not refuted.
    """
    bench, began = Bench(quick), time.perf_counter()
    with _heard(said, bench, about):
        lab.run(bench)
    if lab.needs_mnist and not (mnist_is_there() if is_mnist is None else is_mnist):
        bench.comparisons = [one if one.good else replace(one, verdict=SKIPPED) for one in bench.comparisons]
    return LabOutcome(lab, bench, time.perf_counter() - began)


@contextmanager
def _heard(said: Callable[[str], None], bench: Bench, about: float) -> Iterator[None]:
    """Say how far a run is, while it lasts: a training is long, and says nothing itself."""
    over, began = threading.Event(), time.perf_counter()

    def saying() -> None:
        while not over.wait(SAID_EVERY):
            said(so_far(time.perf_counter() - began, about, bench.comparisons))

    thread = threading.Thread(target=copy_context().run, args=(saying,), daemon=True)  # in the language of now
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def so_far(seconds: float, about: float, comparisons: Sequence[MeasuredFigure]) -> str:
    """Seconds so far and left, and the last of the figures measured.

    >>> so_far(12.0, 40.0, [MeasuredFigure("accuracy", "95.42 %", "95.3 %", HOLDS)])
    '12 s, about 28 s left; 1 figure, the last: accuracy'
    >>> so_far(50.0, 40.0, [])
    '50 s, longer than the usual 40 s; no figure yet'
    """
    left = Message(", about {time} left", time=in_time(about - seconds)) if about > seconds else ""
    late = Message(", longer than the usual {time}", time=in_time(about)) if seconds >= about > 0 else ""
    count, last = len(comparisons), as_message(comparisons[-1].what) if comparisons else ""
    several = Message("{count} figures, the last: {what}", count=count, what=last)
    figures = several if count > 1 else Message("1 figure, the last: {what}", what=last)
    time = Message("{time}{left}{late}", time=in_time(seconds), left=left, late=late)
    return joined([time, figures if count else Message("no figure yet")]).spoken()


def mnist_is_there() -> bool:
    """Whether MNIST lies in the folder of data."""
    return any((Path(os.environ.get("LUTHIER_DATA", "data")) / "mnist").glob("train-images-*"))


def in_time(seconds: float) -> str:
    """Seconds, or minutes.

    >>> in_time(8.2), in_time(150)
    ('8 s', '2.5 min')
    """
    return f"{seconds:.0f} s" if seconds < 60 else f"{seconds / 60:.1f} min"

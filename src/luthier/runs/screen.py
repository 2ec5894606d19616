"""What a person (or a machine) sees while a run goes on.

The recipe speaks through two calls: `record` for what enters the ledger, in words, `event` for progress. A
screen only shows; it never changes a number.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from html import escape
from importlib import import_module
from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from luthier import storage
from luthier.console import console
from luthier.data.typed_columns.columns import USED
from luthier.messages import Message, spoken, tr
from luthier.recipe import Record
from luthier.records import Wording

LOG = logging.getLogger("luthier")
MANY_COLUMNS, FEW_ALIKE = 16, 3
STEPS = {
    0: Message("Before step 1: the data"),
    1: Message("Step 1: the loss"),
    2: Message("Step 2: inputs and a first architecture"),
    3: Message("Step 3: fit the training set"),
    4: Message("Step 4: fit the validation set"),
    5: Message("Step 5: evaluate once, on the sealed test set"),
}


class Screen(Protocol):
    """Where a run speaks."""

    def record(self, record: Record) -> None:
        """A line that entered the ledger, its sentences and the words of a decision in the language that is spoken."""

    def event(self, name: str, /, **facts: Any) -> None:
        """Progress: `begin`, `population`, `evaluation`, `range`, `done`."""

    def close(self) -> None:
        """The run ended, well or not."""


class SilentScreen:
    """Shows nothing."""

    def record(self, record: Record) -> None:
        """Nothing."""

    def event(self, name: str, /, **facts: Any) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


class SearchScreen(SilentScreen):
    """Where a search speaks; this one is silent."""

    def journal(self, record: Record) -> None:
        """A record that entered the journal."""


class JsonScreen(SilentScreen):
    """One JSON object a line on standard output: every ledger record, then the result."""

    def record(self, record: Record) -> None:
        """The record as it stands in the ledger; a decision with its words."""
        self._print(record)

    def event(self, name: str, /, **facts: Any) -> None:
        """Only the result and the plan that was asked for are for machines."""
        if name == "moved":
            self._print({"kind": "moved", **facts})
        if name in ("done", "planned"):
            self._print({"kind": "result" if name == "done" else "planned", **facts["result"]})

    @staticmethod
    def _print(value: Mapping[str, Any]) -> None:
        print(storage.json_text(value), flush=True)


class TextScreen:
    """Sentences for a person; with a terminal, a progress bar below them."""

    def __init__(self, console: Console, *, verbose: bool = False) -> None:
        self._console, self._verbose = console, verbose
        self._step = -1
        self._columns: list[Record] = []
        self._bar = _Bar(console) if console.is_terminal else None
        self._best = float("inf")

    def record(self, record: Record) -> None:
        """A decision, finding, note, cut or opening as a sentence."""
        if record["kind"] == "decision" and record["code"] == "column":
            self._columns.append(record)
            return
        self._flush_columns()
        sentence = _sentence(record)
        if sentence:
            self._heading(None if record["kind"] == "cut" else record.get("step"))
            self._say(f"  {sentence}")

    def event(self, name: str, /, **facts: Any) -> None:
        """Progress and, when asked for, the table of epochs."""
        if self._bar is not None:
            self._bar.event(name, facts)
        if name == "population" and self._verbose:
            self._best = float("inf")
            self._say(tr("    {name}: {members} networks, {steps} steps each", **facts))
            self._say(tr("      step    epoch   training  validation      rate networks"))
        elif name == "evaluation" and self._verbose:
            self._say(self._row(facts["evaluation"]))
        elif name == "moved":
            self._say(f"  {spoken(facts['sentence'])}")
        elif name in ("done", "planned"):
            self._flush_columns()
            self.close()
            for line in facts["lines"]:
                self._say(line)

    def close(self) -> None:
        """Take the progress bar away."""
        if self._bar is not None:
            self._bar.stop()

    def _row(self, evaluation: Any) -> str:
        loss = evaluation.best_validation_loss
        mark = "*" if loss < self._best else " "
        self._best = min(self._best, loss)
        return (
            f"    {evaluation.step:>6} {evaluation.epoch:>8.1f} {evaluation.train_loss:>10.4f} "
            f"{evaluation.validation_loss:>10.4f}{mark} {evaluation.learning_rate:>9.2g} {evaluation.members:>8}"
        )

    def _heading(self, step: int | None) -> None:
        if step is not None and step > self._step:
            self._step = step
            self._say("")
            self._console.print(
                spoken(STEPS.get(step, Message("Step {step}", step=step))), style="bold", highlight=False
            )

    def _flush_columns(self) -> None:
        if not self._columns:
            return
        self._heading(0)
        columns, self._columns = self._columns, []
        many = len(columns) > MANY_COLUMNS
        dropped: dict[tuple[str, str], list[Record]] = {}  # by kind and reason
        for record in columns:
            if not many:
                self._say(f"  {_sentence(record)}")
            elif record["choice"] not in USED:
                dropped.setdefault((record["chosen"], record["reason"]), []).append(record)
        for (chosen, reason), alike in dropped.items():
            if len(alike) <= FEW_ALIKE:
                for record in alike:
                    self._say(f"  {_sentence(record)}")
            else:
                first, last = (f"`{alike[place]['of']}`" for place in (0, -1))
                values = {"count": len(alike), "first": first, "last": last, "chosen": chosen, "reason": reason}
                self._say(tr("  {count} columns from {first} to {last}: {chosen}; {reason}", **values))
        if many:
            kept = Counter(record["choice"] for record in columns if record["choice"] in USED)
            kinds = ", ".join(f"{count} {tr(kind)}" for kind, count in kept.most_common())
            template = "  columns: {kinds}; the report gives the reasons; override with --column NAME=TYPE"
            self._say(tr(template, kinds=kinds))

    def _say(self, text: str) -> None:
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)


class LogScreen(SilentScreen):
    """Sentences go to the logger "luthier"; in a notebook a bar shows how far the run is."""

    def __init__(self) -> None:
        self._bar = NotebookBar() if Console().is_jupyter else None

    def record(self, record: Record) -> None:
        """A decision, finding, note, cut or opening as a sentence."""
        if sentence := _sentence(record):
            LOG.info("%s", sentence)

    def event(self, name: str, /, **facts: Any) -> None:
        """Progress; at the end the summary."""
        if self._bar is not None:
            self._bar.event(name, facts)
        for line in facts["lines"] if name in ("done", "planned") else ():
            LOG.info("%s", line)

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()


class _Steps:
    """How far a run is: planned steps done, all that are planned, and what is going on."""

    def __init__(self) -> None:
        self.doing, self.done = tr("reading the data"), 0
        self.total: int | None = None
        self._finished, self._current = 0, 0

    def event(self, name: str, facts: dict[str, Any]) -> bool:
        """Whether something has changed."""
        match name:
            case "begin":
                self.doing, self.total = tr("training"), facts["steps"]
            case "range":
                self.doing = tr("range test")
            case "population":
                self._finished, self._current = self._finished + self._current, facts["steps"]
                self.doing, self.done = tr(facts["stage"]), self._finished
            case "evaluation":
                self.done = self._finished + facts["evaluation"].step
            case _:
                return False
        return True


class NotebookBar:
    """A progress bar below a notebook's cell."""

    def __init__(self) -> None:
        self._steps = _Steps()
        self._shown: Any = None  # IPython's handle
        self._ipython: Any = import_module("IPython.display")

    def event(self, name: str, facts: dict[str, Any]) -> None:
        """Draw it where something has changed."""
        steps = self._steps
        if not steps.event(name, facts):
            return
        bar = f"<progress value='{steps.done}' max='{steps.total or 1}'></progress> {escape(steps.doing)}"
        if self._shown is None:
            self._shown = self._ipython.display(self._ipython.HTML(bar), display_id=True)
        else:
            self._shown.update(self._ipython.HTML(bar))

    def stop(self) -> None:
        """Take it away."""
        if self._shown is not None:
            self._shown.update(self._ipython.HTML(""))


class _Bar:
    """The progress bar: planned steps done, and the time that the rest will take."""

    def __init__(self, console: Console) -> None:
        self._steps = _Steps()
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeElapsedColumn(),
            TextColumn(tr("left")),
            TimeRemainingColumn(),
            console=console,
            transient=True,
        )
        self._task = self._progress.add_task(self._steps.doing, total=None)
        self._progress.start()

    def event(self, name: str, facts: dict[str, Any]) -> None:
        steps = self._steps
        if steps.event(name, facts):
            self._progress.update(self._task, total=steps.total, description=steps.doing, completed=steps.done)

    def stop(self) -> None:
        self._progress.stop()


def choose_screen(*, json: bool = False, verbose: bool = False) -> Screen:
    """The screen for standard output: JSON when asked for, otherwise text, with a bar in a terminal."""
    return JsonScreen() if json else TextScreen(console(), verbose=verbose)


def quiet_screen(verbose: int) -> Screen:
    """The screen of a call from Python: the logger alone, or as the command line speaks where `verbose` asks for it."""
    return choose_screen(verbose=verbose > 1) if verbose else LogScreen()


def print_check(result: Mapping[str, Any], *, json: bool) -> None:
    """The outcome of `luthier check`."""
    if json:
        print(storage.json_text(result))
        return
    for line in result["lines"]:
        print(line)


def _sentence(record: Record) -> str:
    kind = record["kind"]
    if kind == "decision":
        words = {name: record[name] for name in ("topic", "chosen", "reason", "override")}
        return Wording(**words).sentence()
    if kind == "finding":
        remedy = tr(" Try: {remedy}.", remedy=record["remedy"]) if record["remedy"] else ""
        sentence = tr("{severity}: {sentence}.", severity=tr(record["severity"]), sentence=record["sentence"])
        return sentence + remedy
    if kind == "cut":
        values = {"work": record["work"], "step": record["step"], "reason": spoken(record["reason"])}
        return tr("stopped early: {work} at step {step}; {reason}", **values)
    if kind == "opening":
        return tr("the sealed test set is opened {purpose}", purpose=spoken(record["purpose"]))
    return str(record.get("sentence", ""))

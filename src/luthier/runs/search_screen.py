"""What a person (or a machine) sees while a search goes on."""

from __future__ import annotations

from typing import Any

from rich.console import Console

from luthier.console import console
from luthier.messages import Message, as_message, spoken, tr
from luthier.recipe import Record
from luthier.report.terminal import setting_in_words
from luthier.runs.screen import JsonScreen, SearchScreen, TextScreen
from luthier.search import AFTERWARDS, Trial, VarianceShare
from luthier.search.spaces.space import Values


class JsonSearch(JsonScreen, SearchScreen):
    """One JSON object a line: ledger and journal records, then the result."""

    def journal(self, record: Record) -> None:
        """A journal record."""
        self.record(record)


class TextSearch(SearchScreen):
    """Sentences for a person: stages, each better trial beside the best so far, sensitivities, findings."""

    def __init__(self, console: Console, *, verbose: bool = False) -> None:
        self._console, self._verbose = console, verbose
        self._text = TextScreen(console)
        self._best: Trial | None = None
        self._default: Values = {}

    def record(self, record: Record) -> None:
        """A ledger record: what was inferred about the data."""
        self._text.record(record)

    def event(self, name: str, /, **facts: Any) -> None:
        """Progress."""
        match name:
            case "stage":
                self._text.close()
                self._say("")
                self._console.print(spoken(facts["title"]), style="bold", highlight=False, soft_wrap=True)
            case "note":
                self._say("  " + spoken(facts["sentence"]))
            case "trained":
                self._trained(facts["trials"])
            case "sensitivity":
                self._sensitivity(facts["table"])
            case "done":
                for line in facts["lines"]:
                    self._say(line)
            case "finding" if facts["finding"].severity == "note":
                self._say(tr("  note: {sentence}", sentence=as_message(facts["finding"].sentence)))

    def close(self) -> None:
        """Take the progress bar away."""
        self._text.close()

    def _trained(self, trials: list[Trial]) -> None:
        if not self._default:
            self._default = next((trial.values for trial in trials if trial.number == 0), {})
        better = None
        for trial in trials:
            improved = trial.known and trial.status == "complete" and trial.stage not in AFTERWARDS
            if improved and (self._best is None or trial.value < self._best.value):
                self._best = better = trial
            if self._verbose:
                template = "  Trial {number} finished with value {value:.4g} ({status}). {so_far}"
                self._say(tr(template, **_numbers(trial), status=Message(trial.status), so_far=self._so_far()))
        if better is not None and not self._verbose:
            changed = {name: value for name, value in better.values.items() if self._default.get(name) != value}
            setting = setting_in_words(changed) or Message("the default setting")
            template = "  Trial {number} finished with value {value:.4g}: {setting}. {so_far}"
            self._say(tr(template, **_numbers(better), setting=setting, so_far=self._so_far()))

    def _so_far(self) -> Message:
        if self._best is None:
            return Message("No best so far.")
        return Message("Best is trial {number} with value {value:.4g}.", **_numbers(self._best))

    def _sensitivity(self, table: list[VarianceShare]) -> None:
        if table:
            parts = (f"{s.name} {s.share:.0%} [{s.low:.0%}, {s.high:.0%}]" for s in table)
            self._say(tr("  share of the variance: {shares}", shares="; ".join(parts)))

    def _say(self, text: str) -> None:
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)


def _numbers(trial: Trial) -> dict[str, float]:
    return {"number": trial.number, "value": trial.value}


def choose_search_screen(*, json: bool = False, verbose: bool = False) -> SearchScreen:
    """The screen for standard output."""
    return JsonSearch() if json else TextSearch(console(), verbose=verbose)


def quiet_search_screen(verbose: int) -> SearchScreen:
    """The screen of a call from Python: silent, or as the command line speaks where `verbose` asks for it."""
    return choose_search_screen(verbose=verbose > 1) if verbose else SearchScreen()

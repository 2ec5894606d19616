"""`luthier show`: a run's ledger and scores in the terminal."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from luthier.errors import InputError, language_named
from luthier.messages import language, speaking


def register(app: typer.Typer) -> None:
    """Add the subcommand."""
    app.command("show", epilog="Example: luthier show runs/houses")(show)


def show(
    run: Annotated[
        Path | None, typer.Argument(help="Folder of a run; with --explain it may be left out.", show_default=False)
    ] = None,
    lang: Annotated[str, typer.Option(help="en or zh. Default: the language spoken.")] = "",
    explain: Annotated[
        bool, typer.Option("--explain", help="Print the recipe as a checklist, with the status of each item.")
    ] = False,
) -> None:
    """Print every decision of a run with its reason, and the scores; of a search, what it found."""
    from luthier.report import ledger_lines, read_search, search_lines
    from luthier.saved import SEARCH, open_run, runs_in

    with speaking(language_named(lang or language())):
        if run is None:
            if not explain:
                raise InputError("nothing to show", expected="the folder of a run", remedy="luthier show runs/houses")
            _print_checklist(None)
            return
        for one in runs_in(run).values():
            if explain:
                _print_checklist(one)
                continue
            searched = open_run(one).kind == SEARCH
            for line in search_lines(read_search(one)) if searched else ledger_lines(one):
                typer.echo(line)


def _print_checklist(run: Path | None) -> None:
    """The recipe as a checklist, with what a run did about each item."""
    from luthier.recipe import checklist, in_lines
    from luthier.report import read_contents

    ticked = checklist()
    if run is not None:
        contents = read_contents(run)
        ticked = checklist(contents.records, scores=contents.scores, drift=contents.drift)
    for line in in_lines(ticked):
        typer.echo(line)

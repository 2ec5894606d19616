"""`luthier show`: a run's ledger and scores in the terminal."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the subcommand."""
    app.command("show", epilog="Example: luthier show runs/houses")(show)


def show(
    run: Annotated[Path, typer.Argument(help="Folder of a run.")],
    lang: Annotated[str, typer.Option(help="Language of the checklist: en or zh.")] = "en",
    explain: Annotated[
        bool, typer.Option("--explain", help="Print the recipe as a checklist, with the status of each item.")
    ] = False,
) -> None:
    """Print every decision of a run with its reason, and the scores; of a search, what it found."""
    from luthier.cli.fit import print_checklist
    from luthier.report import ledger_lines, read_search, search_lines
    from luthier.saved import SEARCH, open_run, runs_in

    for one in runs_in(run).values():
        if explain:
            print_checklist(one, lang)
            continue
        searched = open_run(one).kind == SEARCH
        for line in search_lines(read_search(one)) if searched else ledger_lines(one):
            typer.echo(line)

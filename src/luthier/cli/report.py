"""`luthier report`: write a run's report again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the subcommand."""
    app.command("report", epilog="Example: luthier report runs/houses --open")(report)


def report(
    run: Annotated[Path, typer.Argument(help="Folder of a run.")],
    lang: Annotated[str, typer.Option(help="en or zh, in a file of its own. Default: the language spoken.")] = "",
    open_report: Annotated[bool, typer.Option("--open", help="Open the report in the browser.")] = False,
) -> None:
    """Write the report of a run or a search, one HTML file that opens offline."""
    from luthier.report import write_overview, write_report, write_search_report
    from luthier.saved import SEARCH, SEVERAL, open_run, runs_in

    folder = open_run(run)
    if folder.kind == SEVERAL:
        for one in runs_in(run).values():
            write_report(one, lang)
    write = {SEARCH: write_search_report, SEVERAL: write_overview}.get(folder.kind)
    path = write(folder.path) if write is not None else write_report(folder.path, lang)
    typer.echo(str(path))
    if open_report:
        typer.launch(str(path))

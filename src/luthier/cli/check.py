"""`luthier check`: step 6, a model against data from the real world."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from luthier.cli.given import Moved
from luthier.errors import InputError
from luthier.messages import Message

_EPILOG = """\b
Examples:
  luthier check runs/houses this-month.csv
  luthier check runs/houses this-month.csv --fail-on act
  luthier check runs/houses sales.csv --time sold --since last --fail-on act
"""
LEVELS = ("fine", "watch", "act")


def register(app: typer.Typer) -> None:
    """Add the subcommand."""
    app.command("check", epilog=_EPILOG)(check)


def check(
    run: Annotated[Path, typer.Argument(help="Folder of a finished run.")],
    source: Annotated[str, typer.Argument(help="New rows: a CSV or Parquet file, or '-' for standard input.")],
    moved: Moved = None,
    fail_on: Annotated[
        str | None,
        typer.Option(
            help="End with exit code 1, for schedulers, where the verdict is this or worse: watch or act.",
            show_default=False,
        ),
    ] = None,
    since: Annotated[
        str,
        typer.Option(
            help="Look only at rows from this moment on (2026-10-01), or with 'last' at those since the last check.",
            show_default=False,
        ),
    ] = "",
    time: Annotated[
        str,
        typer.Option(help="The column that says when a row came; the run's --time by default.", show_default=False),
    ] = "",
    false_alarms: Annotated[
        float, typer.Option(help="Share of checks of rows like the training rows that may say otherwise.")
    ] = 0.05,
    json: Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")] = False,
) -> None:
    """Compare new rows with the training rows (drift), and score the model where the target is among the columns."""
    from luthier.runs import check_run, relocate
    from luthier.runs.screen import print_check
    from luthier.saved.run_folder import finished_in, runs_in, unfinished_in_words

    if moved is not None:
        relocate(run, moved)
    if fail_on is not None and fail_on not in LEVELS[1:]:
        raise InputError(Message("--fail-on {fail_on} is not a verdict", fail_on=fail_on), expected="watch or act")
    runs, worst = finished_in(run) or runs_in(run), 0
    if len(runs) < len(runs_in(run)):
        typer.echo(unfinished_in_words(run), err=True)
    for target, one in runs.items():
        if len(runs) > 1 and not json:
            typer.echo(f"\n{target}:")
        result = check_run(one, source, since=since, time=time, false_alarms=false_alarms)
        print_check(result, json=json)
        worst = max(worst, LEVELS.index(result["level"]))
    if fail_on is not None and worst >= LEVELS.index(fail_on):
        raise typer.Exit(1)

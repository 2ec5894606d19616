"""`luthier check`: step 6, a model against data from the real world."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from luthier.cli.given import Moved

_EPILOG = """\b
Example:
  luthier check runs/houses this-month.csv
"""


def register(app: typer.Typer) -> None:
    """Add the subcommand."""
    app.command("check", epilog=_EPILOG)(check)


def check(
    run: Annotated[Path, typer.Argument(help="Folder of a finished run.")],
    source: Annotated[str, typer.Argument(help="New rows: a CSV or Parquet file, or '-' for standard input.")],
    moved: Moved = None,
    json: Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")] = False,
) -> None:
    """Compare new rows with the training rows (drift), and score the model where the target is among the columns."""
    from luthier.runs import check_run, relocate
    from luthier.runs.screen import print_check
    from luthier.saved.run_folder import finished_in, runs_in, unfinished_in_words

    if moved is not None:
        relocate(run, moved)
    runs = finished_in(run) or runs_in(run)
    if len(runs) < len(runs_in(run)):
        typer.echo(unfinished_in_words(run), err=True)
    for target, one in runs.items():
        if len(runs) > 1 and not json:
            typer.echo(f"\n{target}:")
        print_check(check_run(one, source), json=json)

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
    from luthier.saved import runs_in

    if moved is not None:
        relocate(run, moved)
    runs = runs_in(run)
    for target, one in runs.items():
        if len(runs) > 1 and not json:
            typer.echo(f"\n{target}:")
        print_check(check_run(one, source), json=json)

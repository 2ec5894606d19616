"""`luthier refit`: the delivered settings of a run once more, on all rows."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from luthier.cli.given import Json, Moved

_EPILOG = """\b
Examples:
  luthier refit runs/houses
  luthier predict runs/houses/refitted.luthier new.csv
"""


def register(app: typer.Typer) -> None:
    """Add the subcommand."""
    app.command("refit", epilog=_EPILOG)(refit)


def refit(
    run: Annotated[Path, typer.Argument(help="Folder of a run that has been judged.")],
    moved: Moved = None,
    json: Json = False,
) -> None:
    """Train the delivered settings on all rows, the sealed ones too; model.luthier stays the judged model."""
    from luthier.runs import refit as refit_now
    from luthier.runs import relocate
    from luthier.runs.screen import choose_screen

    if moved is not None:
        relocate(run, moved)
    refit_now(run, screen=choose_screen(json=json))

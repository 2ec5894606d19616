"""`luthier compare`: finished runs side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

_EPILOG = """\b
Examples:
  luthier compare runs/houses runs/houses-2 runs/houses-3
"""


def register(app: typer.Typer) -> None:
    """Add the subcommand."""
    app.command("compare", epilog=_EPILOG)(compare)


def compare(
    runs: Annotated[
        list[Path],
        typer.Argument(help="Folders of finished runs with one target; the others are compared with the first."),
    ],
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Compare runs in pairs on the test rows they share, and show which decisions differ."""
    from luthier import storage
    from luthier.runs import compare as compare_runs

    result = compare_runs(runs)
    typer.echo(storage.json_text(result.to_json()) if json else "\n".join(result.lines()))

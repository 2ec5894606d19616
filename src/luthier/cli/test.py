"""`luthier test`: the sealed test set of a run, read once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from luthier.cli.given import Moved

_EPILOG = """\b
Examples:
  luthier test runs/houses
  luthier test runs/houses --again
  luthier test runs/houses --source /new/place/houses.csv
"""


def register(app: typer.Typer) -> None:
    """Add the subcommand."""
    app.command("test", epilog=_EPILOG)(read_test)


def read_test(
    run: Annotated[Path, typer.Argument(help="Folder of a run; if it stopped before step 5, it is tested now.")],
    again: Annotated[
        bool, typer.Option("--again", help="Read the test set a second time; the report says so from then on.")
    ] = False,
    moved: Moved = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")] = False,
) -> None:
    """Evaluate a run on its sealed test set, once; later calls print the stored result."""
    from luthier.runs import read_test as read_now
    from luthier.runs import relocate
    from luthier.runs.screen import choose_screen
    from luthier.saved.run_folder import runs_in, unfinished_in_words

    if moved is not None:
        relocate(run, moved)
    runs = runs_in(run)
    started = {target: one for target, one in runs.items() if (one / "run.json").exists()}
    if len(started) < len(runs):
        typer.echo(unfinished_in_words(run), err=True)
    for one in started.values():
        read_now(one, again=again, screen=choose_screen(json=json))

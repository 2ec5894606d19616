"""`luthier rerun`: the same run again, from its recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from luthier.cli.given import Json, Named, Open, Verbose, takes
from luthier.request import OutputSection

_EPILOG = """\b
Examples:
  luthier rerun runs/houses/recipe.toml
  luthier rerun recipe.toml --run runs/again --until 4
"""


def register(app: typer.Typer) -> None:
    """Add the subcommand."""
    app.command("rerun", epilog=_EPILOG)(rerun)


@takes(OutputSection)
def rerun(
    recipe: Annotated[Path, typer.Argument(help="The recipe.toml of a run, or what `luthier plan` printed.")],
    backbone: Named = "",
    *,
    given: dict[str, object],
    json: Json = False,
    verbose: Verbose = False,
    open_report: Open = False,
) -> None:
    """Repeat a run exactly, in a new run: the same plan, the same numbers."""
    from luthier.runs.calls import Call
    from luthier.runs.fitting import rerun_as_asked
    from luthier.runs.screen import choose_screen

    output = OutputSection.of(None, **given)
    call = Call.begun(output, choose_screen(json=json, verbose=verbose), keeps=True)
    result = rerun_as_asked(recipe, output, call, backbone=backbone)
    if open_report:
        typer.launch(str(result.report()))

"""`luthier plan`: how a budget would be spent."""

from __future__ import annotations

import typer

from luthier.cli.fit import ConfigFile, Source
from luthier.cli.given import Json, takes
from luthier.cli.renamed import KeepsOldOptions
from luthier.errors import InputError
from luthier.request import PlanConfig

_EPILOG = """\b
Examples:
  luthier plan houses.csv --target price --budget 10m
  luthier plan houses.csv --target price > recipe.toml, then luthier rerun recipe.toml
"""


def register(app: typer.Typer) -> None:
    """Add the subcommand."""
    app.command("plan", cls=KeepsOldOptions, epilog=_EPILOG)(plan)


@takes(PlanConfig)
def plan(source: Source = None, config: ConfigFile = None, *, given: dict[str, object], json: Json = False) -> None:
    """Print how `luthier fit` would spend the budget, as a recipe that `luthier rerun` follows; nothing is kept."""
    from luthier.request import ShownSection
    from luthier.runs.calls import Call
    from luthier.runs.fitting import plan_as_asked
    from luthier.runs.screen import choose_screen

    if source is None:
        raise InputError("nothing to plan", expected="SOURCE, such as a file", remedy="luthier plan digits")
    plan_as_asked(source, PlanConfig.of(config, **given), Call.begun(ShownSection(), choose_screen(json=json)))

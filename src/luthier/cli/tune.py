"""`luthier tune`: search hyper-parameters on a table, systematically."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from luthier.cli.fit import ConfigFile
from luthier.cli.given import Json, Moved, Open, Verbose, takes
from luthier.cli.renamed import KeepsOldOptions
from luthier.errors import InputError
from luthier.messages import Message, spoken, tr
from luthier.request import TuneConfig

_EPILOG = """\b
Examples:
  luthier tune digits --trials 64
  luthier tune houses.csv --target price --budget 10m --sampler tpe
  luthier tune patients.csv --target state --group patient
  luthier tune runs/houses --trials 100 --halving hyperband
  luthier tune houses.csv --target price --space space.toml
  luthier tune houses.csv --target price --storage postgresql+psycopg://me@host/studies
  luthier tune --list

A space in TOML: one entry per hyper-parameter; a list of options, a range, or one value to fix it.
  batch_size = 64
  rule = ["sgd", "adam"]
  learning_rate = { low = 1e-4, high = 1.0, scale = "log" }
"""


def register(app: typer.Typer) -> None:
    """Add the subcommand."""
    app.command("tune", cls=KeepsOldOptions, epilog=_EPILOG)(tune)


@takes(TuneConfig)
def tune(
    source: Annotated[
        str | None,
        typer.Argument(help="A table, as for `luthier fit`, or the folder of a finished run.", show_default=False),
    ] = None,
    config: ConfigFile = None,
    space: Annotated[Path | None, typer.Option(help="TOML file with the search space.", show_default=False)] = None,
    *,
    given: dict[str, object],
    moved: Moved = None,
    listed: Annotated[
        bool, typer.Option("--list", help="Print every hyper-parameter with its tier, range and reason, and stop.")
    ] = False,
    json: Json = False,
    verbose: Verbose = False,
    open_report: Open = False,
) -> None:
    """Search hyper-parameters in order of importance, many networks at once, and measure the best on fresh seeds."""
    if listed:
        _list(json=json)
        return
    if source is None:
        raise InputError("nothing to tune", expected="SOURCE, such as a file", remedy="luthier tune digits --trials 64")
    from luthier.runs import relocate
    from luthier.runs.search_screen import choose_search_screen
    from luthier.runs.tuning_tables import tune_table_as_asked

    asked = TuneConfig.of(config, **given)
    if moved is not None:
        relocate(source, moved)
    screen = choose_search_screen(json=json, verbose=verbose)
    result = tune_table_as_asked(source, space, asked, screen, keeps=True)
    if open_report and result.folder is not None:
        typer.launch(str(result.folder / "report.html"))


def _list(*, json: bool) -> None:
    """Every hyper-parameter of the registry, in the order in which they are worth tuning."""
    from luthier.citations import cited, cited_in_words
    from luthier.search import REGISTRY, TIERS
    from luthier.storage import json_text

    if json:
        for hyper in REGISTRY.values():
            rest = {"tier": hyper.tier, "reason": hyper.reason, "source": cited(hyper.source)}
            typer.echo(json_text({"name": hyper.name, **hyper.usual.to_json(), **rest}))
        return
    for tier, title in TIERS.items():
        typer.echo("\n" + tr("Tier {tier}: {title}", tier=tier, title=Message(title)))
        for hyper in (hyper for hyper in REGISTRY.values() if hyper.tier == tier):
            facts: Any = hyper.usual.to_json()
            where, scale = ", ".join(map(str, facts.get("options", ()))), tr("choice")
            if not where:
                where = tr("{low:g} to {high:g}", low=facts["low"], high=facts["high"])
                scale = facts["scale"] + (tr(", whole numbers") if facts["integer"] else "")
            template = "  {name}: {where} ({scale}), default {default}"
            typer.echo(tr(template, name=hyper.name, where=where, scale=scale, default=facts["default"]))
            typer.echo(f"      {spoken(hyper.reason)}" + (f" ({cited_in_words(hyper.source)})" if hyper.source else ""))

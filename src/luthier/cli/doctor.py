"""`luthier doctor`: what is wrong with a table, before anything is trained."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from luthier.cli.fit import ConfigFile
from luthier.cli.given import takes
from luthier.cli.renamed import KeepsOldOptions
from luthier.request import DataConfig

_EPILOG = """\b
Examples:
  luthier doctor houses.csv --target price
  luthier doctor digits --json
"""


def register(app: typer.Typer) -> None:
    """Add the subcommand."""
    app.command("doctor", cls=KeepsOldOptions, epilog=_EPILOG)(doctor)


@takes(DataConfig)
def doctor(
    source: Annotated[str, typer.Argument(help="A table, as for `luthier fit`.")],
    config: ConfigFile = None,
    *,
    given: dict[str, Any],
    seed: Annotated[int, typer.Option(help="Random seed of the whole run.")] = 0,
    json: Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")] = False,
) -> None:
    """Check columns, rows, labels and signal, and whether a small network can learn; the test set stays sealed."""
    from luthier.runs import doctor as doctor_now
    from luthier.storage import json_text

    result = doctor_now(source, config=config, seed=seed, **given)
    typer.echo(json_text(result.to_json()) if json else str(result))

"""`luthier doctor`: what is wrong with a table, before anything is trained."""

from __future__ import annotations

from typing import Annotated

import typer

from luthier.cli.fit import parse_columns
from luthier.cli.given import Group, Time, Weight
from luthier.cli.renamed import KeepsOldOptions

_EPILOG = """\b
Examples:
  luthier doctor houses.csv --target price
  luthier doctor digits --json
"""


def register(app: typer.Typer) -> None:
    """Add the subcommand."""
    app.command("doctor", cls=KeepsOldOptions, epilog=_EPILOG)(doctor)


def doctor(
    source: Annotated[str, typer.Argument(help="A table, as for `luthier fit`.")],
    target: Annotated[str | None, typer.Option(help="Column to predict.", show_default=False)] = None,
    column: Annotated[list[str] | None, typer.Option(help="NAME=TYPE, as for `luthier fit`.")] = None,
    task: Annotated[str | None, typer.Option(help="regression, binary or multiclass.")] = None,
    group: Group = None,
    time: Time = None,
    weight: Weight = None,
    seed: Annotated[int, typer.Option(help="Random seed of the whole run.")] = 0,
    json: Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")] = False,
) -> None:
    """Check columns, rows, labels and signal, and whether a small network can learn; the test set stays sealed."""
    from luthier.runs import doctor as doctor_now
    from luthier.storage import json_text

    result = doctor_now(
        source,
        target=target,
        columns=parse_columns(column or []),
        task=task,
        group=group,
        time=time,
        weight=weight,
        seed=seed,
    )
    typer.echo(json_text(result.to_json()) if json else str(result))

"""Options that several commands share; and which a person gave, so that none is passed over in silence."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated

import typer

from luthier.errors import InputError

Group = Annotated[
    str | None,
    typer.Option(help="Keep rows that share a value of this column in one part of the split.", show_default=False),
]
Time = Annotated[
    str | None,
    typer.Option(help="Split by time: validate and test on the latest rows by this column.", show_default=False),
]
Weight = Annotated[
    str | None,
    typer.Option(
        "--sample-weight", help="Column of sample weights; rows of weight 0 are set aside.", show_default=False
    ),
]
Moved = Annotated[
    str | None,
    typer.Option("--source", help="Where the run's data lie now, if they were moved.", show_default=False),
]
NoRegister = Annotated[
    bool,
    typer.Option(
        "--no-register",
        help="Do not keep which rows this run reads and learns from (in LUTHIER_HOME), nor count earlier runs.",
    ),
]
SHOWING = {"track", "json", "verbose", "open_report"}  # go with everything


def refuse_beside(context: typer.Context, chosen: str, taken: Collection[str], remedy: str) -> None:
    """InputError where options were given that would do nothing beside `chosen`; `taken` are the names that count.

    How something is shown counts always.
    """
    refused = []
    for parameter in context.command.params:
        name = parameter.name or ""
        source = context.get_parameter_source(name)
        if name not in SHOWING | set(taken) and source is not None and source.name == "COMMANDLINE":
            refused.append(parameter.opts[0] if parameter.opts[0].startswith("-") else name.upper())
    if refused:
        message = f"{', '.join(refused)} {'have' if len(refused) > 1 else 'has'} no effect with {chosen}"
        raise InputError(message, remedy=remedy)

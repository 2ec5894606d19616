"""Which options a person gave, so that none of them is passed over in silence."""

from __future__ import annotations

from collections.abc import Collection

import typer

from luthier.errors import InputError

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

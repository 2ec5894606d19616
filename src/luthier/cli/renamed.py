"""Options under the names they had before: they still work, with a line on standard error."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperCommand

RENAMED = {"--weight": "--sample-weight", "--weights": "--backbone-weights"}


class KeepsOldOptions(TyperCommand):
    """A command that takes an option's former name for its present one."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Rename what was given under a former name, then parse as usual."""
        return super().parse_args(ctx, [_renamed(arg) for arg in args])


def _renamed(arg: str) -> str:
    name, equals, value = arg.partition("=")
    if name not in RENAMED:
        return arg
    typer.echo(f"luthier: {name} is now {RENAMED[name]}", err=True)
    return RENAMED[name] + equals + value

"""The command line as a page of Markdown: `python -m luthier.cli.reference docs/reference/command-line.md`."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from luthier.cli import app


def page() -> str:
    """Every command with its arguments, options and examples.

    >>> page().splitlines()[0]
    '# Command line'
    """
    command: Any = typer.main.get_command(app)
    parts = ["# Command line", command.help]
    for name, sub in command.commands.items():
        inner = getattr(sub, "commands", None)
        parts += _section(f"luthier {name}", sub)
        for more, one in (inner or {}).items():
            parts += _section(f"luthier {name} {more}", one, "###")
    return "\n\n".join(parts) + "\n"


def _section(title: str, command: Any, level: str = "##") -> Iterator[str]:
    yield f"{level} {title}"
    yield command.help or ""
    rows = [row for parameter in command.params if (row := _row(parameter)) is not None]
    if rows:
        yield "\n".join(["| | |", "|---|---|", *rows])
    examples = (command.epilog or "").replace("\b", "").strip("\n")
    if examples:
        yield "```text\n" + re.sub(r"^(Examples?):\s*", "", examples).replace("\n  ", "\n").strip() + "\n```"


def _row(parameter: Any) -> str | None:
    if parameter.param_type_name == "argument":
        return f"| `{parameter.name.upper()}` | {_cell(parameter.help)} |"
    if parameter.name == "help":
        return None
    names = ", ".join(f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts))
    default = parameter.default
    message = "" if default in (None, False, "") or callable(default) else f" Default: {default}."
    return f"| {names} | {_cell(parameter.help)}{_cell(message)} |"


def _cell(text: str | None) -> str:
    return (text or "").replace("|", "\\|").replace("\n", " ")


if __name__ == "__main__":
    from luthier import storage

    storage.write_text(Path(sys.argv[1]), page())

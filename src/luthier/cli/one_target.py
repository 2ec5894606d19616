"""A second --target of a command that takes one: the parser would take the last, without a word."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from luthier.cli.renamed import KeepsOldCommands
from luthier.errors import InputError
from luthier.messages import Message


class TargetsCounted(KeepsOldCommands):
    """The program, whose commands get as many targets as they take."""

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """The command and its own arguments. InputError for a second --target of a command that takes one."""
        name, command, rest = super().resolve_command(ctx, args)
        takes_one = any("--target" in one.opts and not one.multiple for one in getattr(command, "params", ()))
        if takes_one and len(targets := list(dict.fromkeys(_values("--target", rest)))) > 1:
            raise InputError(
                Message("`{command}` takes one target", command=name or ""),
                expected=Message("one --target"),
                received=", ".join(targets),
                remedy=Message("a call for each; luthier fit takes several targets at once"),
            )
        return name, command, rest


def _values(option: str, args: list[str]) -> list[str]:
    """What is given to an option, as often as it is.

    >>> _values("--target", ["t.csv", "--target", "a", "--target=b", "--", "--target"])
    ['a', 'b']
    """
    words = args[: args.index("--")] if "--" in args else args
    after = [following for word, following in pairwise(words) if word == option]
    return after + [word.partition("=")[2] for word in words if word.startswith(f"{option}=")]

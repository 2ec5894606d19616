"""Options and commands as they were before: they still work, with a line on standard error."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from luthier.renamed import OPTIONS

OF_COMMANDS = ("weight", "weights", "new_test")
RENAMED = {f"--{old.replace('_', '-')}": f"--{OPTIONS[old].replace('_', '-')}" for old in OF_COMMANDS}


class KeepsOldOptions(TyperCommand):
    """A command that takes an option's former name for its present one."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Rename what was given under a former name, then parse as usual."""
        return super().parse_args(ctx, [_renamed(arg) for arg in args])


class KeepsOldCommands(TyperGroup):
    """The program, which takes `fit --resume RUN` for `resume RUN`, and other flags that are commands now."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Turn what was a flag into its command, then parse as usual."""
        return super().parse_args(ctx, _command_of(args))


def _renamed(arg: str) -> str:
    name, equals, value = arg.partition("=")
    if name not in RENAMED:
        return arg
    _say(name, RENAMED[name])
    return RENAMED[name] + equals + value


def _command_of(args: list[str]) -> list[str]:
    """The arguments as they are given today.

    >>> _command_of(["fit", "--resume", "runs/a", "--from=4", "--again"])
    ['branch', 'runs/a', '--step', '4', '--again']
    >>> _command_of(["fit", "wine", "--seed", "1"])
    ['fit', 'wine', '--seed', '1']
    """
    if args[:1] not in (["fit"], ["tune"]) or "--help" in args:
        return args
    command, rest = args[0], _split(args[1:])
    if command == "fit" and "--explain" in rest:
        rest.remove("--explain")
        return _today("fit --explain", ["show", *_without("--resume", rest)[1], "--explain"])
    if command == "fit" and "--plan" in rest:
        rest.remove("--plan")
        return _today("fit --plan", ["plan", *rest])
    others, run = _without("--resume", rest)
    if run and command == "fit" and "--from" in others:
        return _today("fit --resume RUN --from", ["branch", *run, *("--step" if w == "--from" else w for w in others)])
    if run:
        return _today(f"{command} --resume", ["resume", *run, *others])
    others, recipe = _without("--config", rest)
    if command == "fit" and recipe and (not others or others[0].startswith("-")):
        return _today("fit --config", ["rerun", *recipe, *others])
    return args


def _today(before: str, args: list[str]) -> list[str]:
    _say(before, args[0] if args[0] != "show" else "show --explain")
    return args


def _split(args: list[str]) -> list[str]:
    """`--resume=RUN` as two words; of other options no two are made."""
    words: list[str] = []
    for arg in args:
        name, equals, value = arg.partition("=")
        words += [name, value] if equals and name in ("--resume", "--config", "--from") else [arg]
    return words


def _without(option: str, args: list[str]) -> tuple[list[str], list[str]]:
    """The other words, and the option's value where it is given."""
    if option not in args:
        return args, []
    place = args.index(option)
    return args[:place] + args[place + 2 :], args[place + 1 : place + 2]


def _say(before: str, now: str) -> None:
    typer.echo(f"luthier: {before} is now {now}", err=True)

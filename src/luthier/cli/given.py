"""Options of commands, made from the fields of a request, and those that several commands share."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any, get_args, get_origin

import typer
from pydantic.fields import FieldInfo

from luthier.errors import ConfigError
from luthier.messages import Message
from luthier.request import Section, accepted, flag_of, option_of

Moved = Annotated[
    str | None,
    typer.Option("--source", help="Where the run's data lie now, if they were moved.", show_default=False),
]
Named = Annotated[
    str,
    typer.Option(
        "--backbone",
        help="The run's own network, module:callable, named again: a run's folder does not choose code.",
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Print a table of epochs; of a search every trial.")]
Open = Annotated[bool, typer.Option("--open", help="Open the report in the browser at the end.")]


def takes(request: type[Section]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A command that takes each field of a request as an option, where its parameter `given` stands.

    `given` gets what was said. A field for which the command has a parameter of its own is left to that.
    """

    def decorated(command: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(command, eval_str=True)
        made = {name: field for name, field in request.model_fields.items() if name not in signature.parameters}
        parameters = []
        for one in signature.parameters.values():
            parameters += [_parameter(*item, request) for item in made.items()] if one.name == "given" else [one]

        @wraps(command)
        def with_given(**values: Any) -> None:
            said = {name: values.pop(name) for name in made}
            given = {name: _value(made[name], value) for name, value in said.items() if value not in (None, [])}
            if given.get("test") == "-":
                from luthier.runs.own_rows import with_test_file

                given = with_test_file(given)
            command(**values, given=given)

        with_given.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        with_given.__annotations__ = {one.name: one.annotation for one in parameters}
        return with_given

    return decorated


def _parameter(name: str, field: FieldInfo, request: type[Section]) -> inspect.Parameter:
    """A field as Typer reads it: nothing said is None, since a default would hide whether it was said."""
    option = typer.Option(flag_of(name, field), help=help_of(field, request), show_default=False)
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    return inspect.Parameter(name, kind, default=None, annotation=Annotated[_type_of(field) | None, option])


def _type_of(field: FieldInfo) -> Any:
    """One word of the command line, a number or a switch; a mapping is a list of NAME=KIND."""
    if get_origin(field.annotation) in (dict, tuple):
        return list[str]
    kinds = set(get_args(accepted(field)) or [accepted(field)])
    return next((kind for kind in (str, bool, int, float) if kind in kinds), str)


def _value(field: FieldInfo, value: Any) -> Any:
    if get_origin(field.annotation) is dict:
        return parse_columns(value)
    return not value if option_of(field).off else value


def help_of(field: FieldInfo, request: type[Section]) -> str:
    """What an option means, with other options as the command line spells them, and its default."""
    words = option_of(field).off or (field.description or "").replace("\n", " ")
    for other, its in request.model_fields.items():
        words = words.replace(f"`{other}`", flag_of(other, its))
    default = field.get_default(call_default_factory=True)
    said = default and not isinstance(default, bool) and "Default:" not in words
    several = get_origin(field.annotation)
    form = "NAME=KIND, may be repeated. " if several is dict else "May be repeated. " if several is tuple else ""
    return form + words + (f" Default: {default}." if said else "")


def parse_columns(texts: list[str]) -> dict[str, str]:
    """`NAME=TYPE` options as a mapping; all malformed ones are reported at once.

    >>> parse_columns(["cut=text", "a=b=number"])
    {'cut': 'text', 'a=b': 'number'}
    """
    wrong = [text for text in texts if not text.rpartition("=")[0]]
    if wrong:
        raise ConfigError([Message("--column {text}: expected NAME=TYPE", text=text) for text in wrong])
    return {text.rpartition("=")[0]: text.rpartition("=")[2] for text in texts}

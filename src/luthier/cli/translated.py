"""The command line in another language than English: which one, help texts, and what is said of wrong usage."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

import typer
from rich.cells import cell_len

from luthier.messages import spoken, tr


def asked_language(arguments: Sequence[str]) -> str:
    """The language of `--lang` before the command, else of `LUTHIER_LANG`, else English.

    >>> asked_language(["--lang", "zh", "fit", "digits"]), asked_language(["--lang=zh", "fit"])
    ('zh', 'zh')
    """
    for place, argument in enumerate(arguments):
        if not argument.startswith("-"):
            break
        name, _, value = argument.partition("=")
        if name == "--lang":
            return value or next(iter(arguments[place + 1 : place + 2]), "")
    return os.environ.get("LUTHIER_LANG", "") or "en"


def in_language(command: Any) -> Any:
    """A command with its help texts in the language of now, and those of its sub-commands."""
    command.help = spoken(command.help or "")
    command.short_help = command.help.partition("\n\n")[0]
    command.epilog = _with_titles(command.epilog or "") or None
    for parameter in command.params:
        if getattr(parameter, "help", None):
            parameter.help = spoken(parameter.help)
    for one in getattr(command, "commands", {}).values():
        in_language(one)
    shown = command.get_help

    def in_columns(context: Any) -> str:
        context.formatter_class = _InColumns
        return _with_titles(shown(context))

    command.get_help = in_columns
    return command


def wrapped(text: str, columns: int) -> list[str]:
    """A text in lines of so many columns of a terminal: a Chinese character takes two, and a line may end behind any.

    Words of other scripts stay whole, and no line begins with a comma or a closing bracket.

    >>> wrapped("类型：number、text；默认 5m。", 12)
    ['类型：', 'number、', 'text；默认', '5m。']
    """
    lines = [""]
    for piece in _PIECES.findall(text):
        if cell_len((lines[-1] + piece).rstrip()) > columns and lines[-1].strip():
            lines[-1] = lines[-1].rstrip()
            lines.append("")
        lines[-1] += piece.lstrip() if not lines[-1] else piece
    return [line for line in lines if line.strip()]


def _marked(text: str, columns: int) -> str:
    """The text in lines, marked so that they are not wrapped again."""
    return "\n".join(("\b", *wrapped(text, columns)))


def run_in_words(command: Any, arguments: Sequence[str] | None) -> NoReturn:
    """Run a command as Typer does; what it says of wrong usage is put into the language of now."""
    try:
        code = in_language(command).main(args=arguments, standalone_mode=False)
    except _USAGE as error:
        typer.echo(_with_titles(error.ctx.get_usage()) if error.ctx else "", err=True)
        typer.echo(tr("Error: {problem}", problem=usage_in_words(error.format_message())), err=True)
        sys.exit(error.exit_code)
    except typer.Abort:
        typer.echo(tr("Aborted."), err=True)
        sys.exit(1)
    sys.exit(code if isinstance(code, int) else 0)


def usage_in_words(problem: str) -> str:
    """What Typer says of wrong usage, in the language of now; as it is where its form is not known.

    >>> from luthier.messages import speaking
    >>> with speaking("zh"):
    ...     usage_in_words("No such command 'fitt'. Did you mean 'fit'?")
    '没有命令“fitt”'
    """
    for pattern, template in _PROBLEMS:
        if found := re.fullmatch(pattern, problem, re.DOTALL):
            return tr(template, **{name: usage_in_words(value or "") for name, value in found.groupdict().items()})
    return problem


def _with_titles(text: str) -> str:
    for title in _TITLES:
        said = tr(title)
        behind = " ?" if said.endswith("：") else ""  # which is as wide as a colon and a blank
        text = re.sub(rf"^(\s*){title}{behind}", rf"\g<1>{said}", text, flags=re.M)
    for words in (_OWN_HELP, *_IN_USAGE):
        text = text.replace(words, tr(words))
    return text


_FORMATTER: Any = typer.Context.formatter_class


class _InColumns(_FORMATTER):  # type: ignore[misc]
    """Typer's help, its lines as wide as a terminal shows them: it counts characters by itself."""

    def write_dl(self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2) -> None:
        """Names with their texts."""
        shown = [(name, _with_titles(text)) for name, text in rows]
        taken = min(max((cell_len(name) for name, _ in shown), default=0), col_max) + col_spacing
        room = max(self.width - taken - 2, 10)
        super().write_dl([(name, _marked(text, room)) for name, text in shown], col_max, col_spacing)

    def write_text(self, text: str) -> None:
        """Paragraphs; one that is marked already stays as it is."""
        room, parts = self.width - self.current_indent, text.split("\n\n")
        super().write_text("\n\n".join(one if "\b" in one else _marked(one, room) for one in parts))


_USAGE: Any = typer.BadParameter.__mro__[1]  # every wrong usage, by a class that Typer does not export
_OWN_HELP = "Show this message and exit."
_IN_USAGE = ("[OPTIONS]", "COMMAND [ARGS]...", "[required]", "[default: ")
_TITLES = ("Usage:", "Arguments:", "Options:", "Commands:", "Examples:", "Example:")
_PIECES = re.compile(r"\s*[（“《]*(?:[\u2e80-\uffff]|[^\s\u2e80-\uffff（“《]+)[，。；：、）！？”》…]*")
_PROBLEMS = (  # Typer speaks English alone: its sentences are known by their form
    (r"No such option: (?P<name>\S+) \(Possible options: (?P<names>.*)\)", "there is no option {name}; near: {names}"),
    (r"No such option: (?P<name>\S+)( Did you mean (?P<names>.*)\?)?", "there is no option {name}"),
    (r"No such command '(?P<name>.*?)'\.?.*", "there is no command '{name}'"),
    (r"Missing (argument|option|parameter) '(?P<name>.*)'\.?", "{name} is missing"),
    (r"Missing command\.", "a command is missing"),
    (r"Invalid value for '(?P<name>.*?)': (?P<why>.*)", "{name} cannot be used: {why}"),
    (r"Got unexpected extra arguments?(\(s\))? \((?P<names>.*)\)", "more was given than is taken: {names}"),
    (r"Option '(?P<name>.*)' requires an argument\.", "{name} needs a value"),
    (r"'(?P<value>.*)' is not a valid (int|integer)( range)?\.", "'{value}' is not a whole number"),
    (r"'(?P<value>.*)' is not a valid float( range)?\.", "'{value}' is not a number"),
)

"""Files that are made from the commands and the options of a request: `python -m luthier.cli.reference`, in a checkout.

They are the command line's page, the page of `FitConfig` and the types that editors show.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import typer
from pydantic.fields import FieldInfo

from luthier.cli import app
from luthier.request import (
    SECTIONS,
    DataConfig,
    FitConfig,
    OutputSection,
    SearchConfig,
    Section,
    ShownSection,
    TuneConfig,
    accepted,
    flag_of,
)


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
        return f"| `{parameter.metavar or parameter.name.upper()}` | {_cell(parameter.help)} |"
    if parameter.name == "help":
        return None
    names = ", ".join(f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts))
    default = parameter.default
    message = "" if default in (None, False, "") or callable(default) else f" Default: {default}."
    return f"| {names} | {_cell(parameter.help)}{_cell(message)} |"


def _cell(text: str | None) -> str:
    return (text or "").replace("|", "\\|").replace("\n", " ")


REQUESTS: dict[str, type[Section]] = {
    "DataOptions": DataConfig,
    "FitOptions": FitConfig,
    "TuneOptions": TuneConfig,
    "SearchConfigOptions": SearchConfig,
    "OutputOptions": OutputSection,
    "ShownOptions": ShownSection,
}


def request_types() -> str:
    """The options as keyword arguments with types and docstrings.

    >>> "class FitOptions(TypedDict, total=False):" in request_types()
    True
    """
    parts = [
        '"""Options of calls as editors show them: made from `luthier.request` by `luthier.cli.reference`."""',
        "from __future__ import annotations",
        "from collections.abc import Mapping, Sequence\nfrom pathlib import Path\nfrom typing import Any",
        "from typing_extensions import TypedDict",
    ]
    for name, request in REQUESTS.items():
        lines = [f"class {name}(TypedDict, total=False):", f'    """Options of `{request.__name__}`."""\n']
        for option, field in request.model_fields.items():
            if option == "target" or (request is SearchConfig and option == "sampler"):
                continue  # a parameter of its own
            doc = "\n    ".join((field.description or "").splitlines())
            lines += [f"    {option}: {taken(field)} | None", f'    """{doc}"""']
        parts.append("\n".join(lines))
    return "\n\n".join(parts[:4]) + "\n\n\n" + "\n\n\n".join(parts[4:]) + "\n"


def taken(field: FieldInfo) -> str:
    """What an option takes, as an annotation.

    >>> taken(FitConfig.model_fields["memory"]), taken(FitConfig.model_fields["seed"])
    ('str | int', 'int')
    """
    kind = accepted(field)
    text = kind.__name__ if isinstance(kind, type) and not get_args(kind) else str(kind)
    return re.sub(r"[\w.]+\.(?=[A-Z])", "", text).removesuffix(" | None")


def options_page() -> str:
    """The options of a request, a table for each section."""
    parts = ["# Options of a request", OPTIONS_HEAD]
    for title, section in SECTIONS.items():
        rows = ["| option | type | default | on the command line | meaning |", "|---|---|---|---|---|"]
        for name, field in section.model_fields.items():
            default = "" if field.default_factory or field.default in (None, "") else f"`{field.default!r}`"
            meaning = _cell((field.description or "").replace("\n", " "))
            flag = f"`{flag_of(name, field)}`" if name != "verbose" else "`--verbose`: 2"
            rows.append(f"| `{name}` | {_cell(taken(field))} | {default} | {flag} | {meaning} |")
        parts += [f"## {title}", section.__doc__ or "", "\n".join(rows)]
    return "\n\n".join(parts) + "\n"


OPTIONS_HEAD = """`luthier.fit` takes those of data, task, budget, method and output: as keyword arguments, in a
`luthier.FitConfig`, or in a TOML file with a table for each section. `luthier.tune_table` takes those of search in
place of method. An option that is not there, or of another type, is a `ConfigError` (an `InputError`), which lists all
of them.

```toml
[data]
group = "patient"

[task]
target = "state"
costs = "1:5"

[budget]
budget = "10m"
memory = "2GiB"
```

```sh
luthier fit patients.csv --config request.toml --seed 1    # what is said beside the file counts
```"""
FILES: dict[str, Callable[[], str]] = {
    "docs/reference/command-line.md": page,
    "docs/reference/options.md": options_page,
    "src/luthier/request_types.py": request_types,
}


if __name__ == "__main__":
    from luthier import storage

    for path, made in FILES.items():
        storage.write_text(Path(path), made())

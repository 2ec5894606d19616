"""A lab's file as a notebook: its definitions cell by cell, so that each can be changed, then every lab run."""

from __future__ import annotations

import ast
import importlib
import inspect
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from luthier import storage
from luthier.labs.gallery import all_labs
from luthier.labs.lab import Lab
from luthier.optional import require
from luthier.records import JsonObject

TIMEOUT = 1200  # seconds for a cell


def file_of(lab: Lab) -> str:
    """The name of the module that a lab lives in."""
    module = inspect.getmodule(lab.run)
    assert module is not None
    return module.__name__.rpartition(".")[2]


def files() -> list[str]:
    """Modules with labs, in their order."""
    return list(dict.fromkeys(map(file_of, all_labs().values())))


def notebook(name: str) -> JsonObject:
    """A module's notebook (nbformat 4.5), not executed.

    >>> made = notebook("softmax")
    >>> made["nbformat"], made["cells"][0]["source"].splitlines()[0]
    (4, '# Softmax: its numbers, its derivatives, its inverse, its temperature.')
    """
    cells = [{"id": f"cell-{place}", **cell} for place, cell in enumerate(_cells(name))]
    metadata = {
        "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
        "language_info": {"name": "python"},
    }
    return {"nbformat": 4, "nbformat_minor": 5, "metadata": metadata, "cells": cells}


def executed(made: JsonObject) -> JsonObject:
    """The notebook with the outputs of all its cells. Needs nbclient, nbformat and an IPython kernel."""
    purpose = "to execute a notebook"
    nbformat, nbclient = (require(one, extra="notebook", purpose=purpose) for one in ("nbformat", "nbclient"))
    kept = os.environ.get("PLOTLY_RENDERER")
    os.environ["PLOTLY_RENDERER"] = "plotly_mimetype"  # figures as data; the library itself stays outside
    try:
        result = nbformat.from_dict(made)
        nbclient.NotebookClient(
            result,
            kernel_name="python3",
            timeout=TIMEOUT,
            record_timing=False,
            extra_arguments=["--IPKernelApp.log_level=40"],
        ).execute()
    finally:
        if kept is None:
            del os.environ["PLOTLY_RENDERER"]
        else:
            os.environ["PLOTLY_RENDERER"] = kept
    plain: JsonObject = nbformat.from_dict(result)
    return plain


def _cells(name: str) -> Iterator[JsonObject]:
    module = importlib.import_module(f"luthier.labs.{name}")
    source = Path(str(module.__file__)).read_text(encoding="utf-8")
    first, *nodes = ast.parse(source).body
    words, _, more = ast.literal_eval(first.value).strip().partition("\n\n")  # type: ignore[attr-defined]
    yield _markdown(f"# {' '.join(words.split())}\n\n{more}".strip())
    held: list[str] = []
    last = first.end_lineno or 1
    for node in nodes:
        alone = isinstance(node, ast.FunctionDef | ast.ClassDef)
        if alone and held:
            yield _code("\n".join(held))
            held = []
        held.append("\n".join(source.splitlines()[last : node.end_lineno]).strip())  # comments above it included
        last = node.end_lineno or last
        if alone:
            yield _code(held.pop())
    yield _code("\n".join(held))
    yield _code("from luthier.labs.lab import run_lab\n\nlabs = {lab.name: lab for lab in LABS}")
    for lab in module.LABS:
        yield _markdown(f"## {lab.title}\n\n{lab.claim} ({lab.source}).")
        yield _code(f'outcome = run_lab(labs["{lab.name}"], quick=True)\noutcome')
        yield _code("for title, figure in outcome.bench.figures:\n    figure.update_layout(title=title).show()")


def _markdown(text: str) -> JsonObject:
    return {"cell_type": "markdown", "metadata": {}, "source": text}


def _code(text: str) -> JsonObject:
    return {"cell_type": "code", "metadata": {}, "source": text, "outputs": [], "execution_count": None}


def write_notebooks(folder: Path, names: Sequence[str] = ()) -> None:
    """Every file's notebook, or those named, executed, into a folder."""
    for name in names or files():
        path = folder / f"{name}.ipynb"
        storage.write_text(path, storage.json_text(executed(notebook(name)), indent=1) + "\n")
        print(path, flush=True)


if __name__ == "__main__":
    write_notebooks(Path(sys.argv[1]), sys.argv[2:])

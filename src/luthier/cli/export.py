"""`luthier export`: a model for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

_EPILOG = """\b
Examples:
  luthier export runs/houses --onnx houses.onnx
  luthier export runs/houses --torch houses/
"""


def register(app: typer.Typer) -> None:
    """Add the subcommand."""
    app.command("export", epilog=_EPILOG)(export)


def export(
    run: Annotated[Path, typer.Argument(help="A run's folder.")],
    onnx: Annotated[Path | None, typer.Option(help="Write ONNX: raw columns in, predictions out.")] = None,
    torch: Annotated[
        Path | None, typer.Option(help="Write a folder with model.py and weights, for PyTorch alone.")
    ] = None,
) -> None:
    """Write a run's model as ONNX or plain PyTorch, checked against it on the validation rows."""
    from luthier.errors import InputError
    from luthier.runs.exporting import export_run

    if onnx is None and torch is None:
        raise InputError("nothing is asked for", remedy="add --onnx FILE or --torch FOLDER")
    for kind, path in (("onnx", onnx), ("torch", torch)):
        if path is not None:
            gap, rows = export_run(run, path, kind=kind)
            typer.echo(f"written to {path}; at most {gap:.1e} from the model on {rows:,} validation rows")

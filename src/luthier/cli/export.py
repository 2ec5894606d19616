"""`luthier export`: a model for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from luthier.cli.given import Moved
from luthier.messages import tr

_EPILOG = """\b
Examples:
  luthier export runs/houses --onnx houses.onnx
  luthier export runs/houses --onnx small.onnx --int8
  luthier export runs/houses --torch houses/
  luthier export runs/houses --card houses.md
"""


def register(app: typer.Typer) -> None:
    """Add the subcommand."""
    app.command("export", epilog=_EPILOG)(export)


def export(
    run: Annotated[Path, typer.Argument(help="Folder of a run.")],
    onnx: Annotated[Path | None, typer.Option(help="Write an ONNX file: raw columns in, predictions out.")] = None,
    torch: Annotated[
        Path | None, typer.Option(help="Write a folder with model.py and weights that need only PyTorch.")
    ] = None,
    int8: Annotated[
        bool, typer.Option("--int8", help="With --onnx: 8-bit weights; prints how much the score drops.")
    ] = False,
    moved: Moved = None,
    card: Annotated[Path | None, typer.Option(help="Write the model card in Markdown.")] = None,
) -> None:
    """Write a run's model as ONNX or plain PyTorch, compared with the original on the validation rows, or its card."""
    from luthier import storage
    from luthier.errors import InputError
    from luthier.report import model_card
    from luthier.runs import relocate
    from luthier.runs.export_run import export_run

    if int8 and onnx is None:
        raise InputError("--int8 needs --onnx", remedy="luthier export RUN --onnx FILE --int8")
    if onnx is None and torch is None and card is None:
        raise InputError("nothing to export", remedy="add --onnx FILE, --torch FOLDER or --card FILE")
    if moved is not None:
        relocate(run, moved)
    for kind, path in (("onnx", onnx), ("torch", torch)):
        if path is not None:
            result = export_run(run, path, kind=kind, int8=int8 and kind == "onnx")
            typer.echo(tr("written to {path}; {result}", path=path, result=result.in_words))
    if card is not None:
        storage.write_text(card, model_card(run))
        typer.echo(tr("written to {path}", path=card))

"""`luthier data`: what can be fitted, what a file holds, MNIST, and what the cache keeps."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from luthier.errors import InputError
from luthier.messages import Message, as_message, spoken, tr

_EPILOG = """\b
Examples:
  luthier data list
  luthier data info houses.csv
  luthier data mnist --to mnist/
  luthier data cache --clear
"""


def register(app: typer.Typer) -> None:
    """Add the subcommands."""
    group = typer.Typer(
        no_args_is_help=True,
        rich_markup_mode=None,
        help="List data sets, describe a file, fetch MNIST, manage the cache.",
    )
    group.command("list")(list_sets)
    group.command("info")(info)
    group.command("mnist")(mnist)
    group.command("cache")(cache)
    app.add_typer(group, name="data", epilog=_EPILOG)


def list_sets() -> None:
    """List the bundled data sets and the sources that can be read."""
    from luthier.data import BUNDLED, read_source

    typer.echo(tr("bundled with scikit-learn, by name:"))
    for name in BUNDLED:
        result = read_source(name)
        template = "  {name:<14} {rows:>5} rows, {columns:>3} columns -> {target}"
        known = {"rows": result.frame.height, "columns": result.frame.width - 1}
        typer.echo(tr(template, name=name, **known, target=result.target))
    typer.echo(tr("read from disk:"))
    for line in (
        tr("CSV and Parquet tables, '-' for CSV on standard input; a column may hold free text"),
        tr("a folder of pictures with one sub-folder per class, or a table with a column of their paths"),
        tr("IDX files such as MNIST's, plain or gzip, one pair or a folder of them"),
    ):
        typer.echo(f"  {line}")


def info(
    source: Annotated[str, typer.Argument(help="A table, a folder of pictures, an IDX file or a bundled set.")],
) -> None:
    """Describe a source: its rows, its columns with their types, and the shape of its pictures."""
    from luthier.data import infer_columns, read_source
    from luthier.data.pictures import common_shape

    result = read_source(source)
    frame = result.frame
    typer.echo(tr("{name}: {rows} rows, {columns} columns", name=result.name, rows=frame.height, columns=frame.width))
    for note in result.notes:
        typer.echo(f"  {spoken(note)}")
    if result.picture:
        channels, height, width = common_shape(frame[result.picture].fill_null("").to_list())
        template = "  `{name}`: pictures, colour, scaled to {height} x {width} pixels (change it with --size)"
        if channels == 1:
            template = "  `{name}`: pictures, grey, scaled to {height} x {width} pixels (change it with --size)"
        typer.echo(tr(template, name=result.picture, height=height, width=width))
    for column in infer_columns(frame, target="", overrides={}, decimal=result.decimal):
        if column.name == result.target:
            template = "  `{name}`: the target unless --target names another, {count} distinct values"
            typer.echo(tr(template, name=column.name, count=frame[column.name].n_unique()))
        elif column.name != result.picture:
            reason, kind = as_message(column.reason), Message(column.kind)
            kind = kind if column.used else Message("{kind}, dropped", kind=kind)
            typer.echo(tr("  `{name}`: {kind}, because {reason}", name=column.name, kind=kind, reason=reason))


def mnist(
    to: Annotated[Path | None, typer.Option("--to", help="Fetch what is missing into this folder.")] = None,
    source: Annotated[Path | None, typer.Option("--from", help="Check the four files in this folder.")] = None,
) -> None:
    """Fetch MNIST's four files from public mirrors, or check existing ones by their checksums."""
    from luthier.data.pictures.mnist import check_mnist, fetch_mnist

    if (to is None) == (source is None):
        raise InputError("nothing to do, or more than one thing", expected="one of --to DIR and --from DIR")
    if to is not None:
        written = fetch_mnist(to)
        template = "{count} files written to {folder}" if written else "{folder} already holds MNIST"
        typer.echo(tr(template, count=len(written), folder=to) if written else tr(template, folder=to))
    folder = to if to is not None else source
    assert folder is not None
    files = ", ".join(check_mnist(folder))
    typer.echo(tr("{folder}: {files}, all complete; next: luthier fit {folder}", folder=folder, files=files))


def cache(
    clear: Annotated[
        bool, typer.Option("--clear", help="Delete the cache. Do not do so while a run reads it.")
    ] = False,
) -> None:
    """Show the size of the cache of decoded, encoded and fetched data, or delete it."""
    import shutil

    from luthier import storage
    from luthier.messages import in_bytes

    for kind, what in storage.CACHED.items():
        result = storage.cached(kind)
        files = [path for one in result for path in (one.rglob("*") if one.is_dir() else [one]) if path.is_file()]
        size = sum(path.stat().st_size for path in files)
        where = storage.cache_folder(kind)
        typer.echo(tr("  {what}: {size} in {folder}", what=Message(what), size=in_bytes(size), folder=where))
        for path in result if clear else ():
            with storage.explained(path):
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink()
    if clear:
        typer.echo(tr("removed"))

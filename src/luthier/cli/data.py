"""`luthier data`: what can be fitted, what a file holds, MNIST, and what the cache keeps."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from luthier.errors import InputError

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

    typer.echo("bundled with scikit-learn, by name:")
    for name in BUNDLED:
        result = read_source(name)
        typer.echo(
            f"  {name:<14} {result.frame.height:>5} rows, {result.frame.width - 1:>3} columns -> {result.target}"
        )
    typer.echo("read from disk:")
    for line in (
        "CSV and Parquet tables, '-' for CSV on standard input; a column may hold free text",
        "a folder of pictures with one sub-folder per class, or a table with a column of their paths",
        "IDX files such as MNIST's, plain or gzip, one pair or a folder of them",
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
    typer.echo(f"{result.name}: {frame.height} rows, {frame.width} columns")
    for note in result.notes:
        typer.echo(f"  {note}")
    if result.picture:
        channels, height, width = common_shape(frame[result.picture].fill_null("").to_list())
        colour = "grey" if channels == 1 else "colour"
        typer.echo(
            f"  `{result.picture}`: pictures, {colour}, scaled to {height} x {width} pixels (change it with --size)"
        )
    for column in infer_columns(frame, target="", overrides={}, decimal=result.decimal):
        if column.name == result.target:
            typer.echo(
                f"  `{column.name}`: the target unless --target names another, "
                f"{frame[column.name].n_unique()} distinct values"
            )
        elif column.name != result.picture:
            typer.echo(f"  {column.sentence().partition('; override')[0]}")


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
        typer.echo(f"{len(written)} files written to {to}" if written else f"{to} already holds MNIST")
    folder = to if to is not None else source
    assert folder is not None
    typer.echo(f"{folder}: {', '.join(check_mnist(folder))}, all complete; next: luthier fit {folder}")


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
        typer.echo(f"  {what}: {in_bytes(size)} in {storage.cache_folder(kind)}")
        for path in result if clear else ():
            with storage.explained(path):
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink()
    if clear:
        typer.echo("removed")

"""`luthier predict`: a run's model on new rows, streaming."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from luthier.cli.streams import ends_with_its_reader
from luthier.messages import spoken, tr

_EPILOG = """\b
Examples:
  luthier predict runs/houses new.csv -o predicted.csv
  luthier predict runs/houses new.csv --answer q0.9
  cat new.csv | luthier predict runs/houses - > predicted.csv
"""


def register(app: typer.Typer) -> None:
    """Add the subcommand."""
    app.command("predict", epilog=_EPILOG)(predict)


def predict(
    run: Annotated[Path, typer.Argument(help="Folder of a run, or a model.luthier file.")],
    source: Annotated[str, typer.Argument(help="A CSV or Parquet file with the columns of training, or '-'.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="CSV file to write. Default: standard output."),
    ] = None,
    impute_missing_columns: Annotated[
        bool,
        typer.Option("--impute-missing-columns", help="Treat an absent column as missing in every row."),
    ] = False,
    sets: Annotated[bool, typer.Option("--sets", help="Add a 90 % prediction set (conformal).")] = False,
    abstain: Annotated[
        bool, typer.Option("--abstain", help="Make no prediction for rows unlike the training rows, and mark them.")
    ] = False,
    explain: Annotated[bool, typer.Option("--explain", help="Add what each column adds to each prediction.")] = False,
    answer: Annotated[
        str,
        typer.Option(
            "--answer",
            help="Another prediction of the same model: mean, median or a quantile such as q0.9; of classes, "
            "probability (of the positive class, or of the likeliest). Default: what the run's metric asked for.",
            show_default=False,
        ),
    ] = "",
    safe_cells: Annotated[
        bool | None,
        typer.Option(
            "--safe-cells/--no-safe-cells",
            help="Put an apostrophe before text that a spreadsheet takes for a formula, such as =1+1: in all columns, "
            "or in none. Default: in the columns that are added.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Append the prediction (and the classes' probabilities) to every row of a table."""
    from luthier.data import Unread
    from luthier.saved import AskedColumns, predict_file

    unread = Unread()
    asked = AskedColumns(impute_missing_columns, sets, abstain, explain, answer, safe_cells)

    def say(sentence: str) -> None:
        typer.echo(spoken(sentence), err=True)

    try:
        with ends_with_its_reader() as standard_output:
            to = output or standard_output
            rows = predict_file(run, source, to, asked, unread=unread, say=say)
    except BrokenPipeError:  # whoever read the rows has enough, as `| head` does
        raise typer.Exit from None
    for sentence in unread.sentences():
        typer.echo(spoken(sentence), err=True)
    if output is not None:
        typer.echo(tr("{rows} rows predicted, written to {output}", rows=rows, output=output), err=True)

"""`luthier fit`: from a table to a tested network, the evidence and a report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from luthier.cli.given import Json, Open, Verbose, takes
from luthier.cli.renamed import KeepsOldOptions
from luthier.errors import InputError
from luthier.request import FitConfig

_EPILOG = """\b
Examples:
  luthier fit digits
  luthier fit houses.csv --target price --budget 10m
  luthier fit houses.csv --target price --column zip=category --seed 1
  luthier fit houses.csv --target price --target rent
  luthier fit patients.csv --config request.toml
  luthier fit houses.csv --target price --until 4 && luthier test runs/houses
  luthier fit photos/ --budget 20m
  luthier fit houses.csv --target price --test houses-of-2025.csv
  luthier fit photos/train --test photos/test
"""
Source = Annotated[
    str | None,
    typer.Argument(
        help="A CSV or Parquet file, a folder of Parquet files, a URL of one (https://, s3://, gs://), '-' "
        "for CSV on standard input, a folder of pictures with one sub-folder per class, an IDX file, or a bundled "
        "set: digits, iris, wine, breast-cancer, diabetes.",
        show_default=False,
    ),
]
ConfigFile = Annotated[
    Path | None,
    typer.Option(help="A TOML file with these options; what is said beside it counts.", show_default=False),
]


def register(app: typer.Typer) -> None:
    """Add the subcommand."""
    app.command("fit", cls=KeepsOldOptions, epilog=_EPILOG)(fit)


@takes(FitConfig)
def fit(
    source: Source = None,
    target: Annotated[
        list[str] | None,
        typer.Option(help="Column to predict; repeat it for several targets at once.", show_default=False),
    ] = None,
    config: ConfigFile = None,
    *,
    given: dict[str, object],
    json: Json = False,
    verbose: Verbose = False,
    open_report: Open = False,
) -> None:
    """Run the six steps of the recipe on a table: a tested model, the evidence for every choice, and a report."""
    from luthier.runs.calls import Call
    from luthier.runs.fitting import new_run
    from luthier.runs.multi_target import fit_several_as_asked
    from luthier.runs.screen import choose_screen

    if source is None:
        raise InputError("nothing to fit", expected="SOURCE, such as a file", remedy="luthier fit digits")
    targets = target or []
    asked = FitConfig.of(config, **given, target=targets[0] if len(targets) == 1 else None)
    call = Call.begun(asked, choose_screen(json=json, verbose=verbose), keeps=True)
    if len(targets) > 1:
        report = fit_several_as_asked(source, targets, asked, call).report()
    else:
        report = call.finish(new_run(source, asked, call)).report()
    if open_report:
        typer.launch(str(report))

"""`luthier branch`: a new run from a step of an earlier one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from luthier.cli.given import Json, Moved, Named, Open, Verbose, takes
from luthier.request import OutputSection

_EPILOG = """\b
Examples:
  luthier branch runs/houses --step 4 --new-test new-houses.csv
  luthier branch runs/houses --step 1 --metric mae --new-test new-houses.csv
  luthier branch runs/houses --step 5 --again
"""


def register(app: typer.Typer) -> None:
    """Add the subcommand."""
    app.command("branch", epilog=_EPILOG)(branch)


@takes(OutputSection)
def branch(
    previous: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of the earlier run.")],
    step: Annotated[int, typer.Option(help="The first step that is walked anew, 1 to 5.", show_default=False)],
    new_test: Annotated[
        Path | None,
        typer.Option(
            "--new-test",
            "--test",
            help="Fresh rows to judge on, where the run has read its test set.",
            show_default=False,
        ),
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Read the same test rows once more; the report says so.")
    ] = False,
    metric: Annotated[str, typer.Option(help="From step 1: another metric.", show_default=False)] = "",
    costs: Annotated[
        str, typer.Option("--cost", help="From step 1: other costs, such as 1:5.", show_default=False)
    ] = "",
    positive: Annotated[str, typer.Option(help="From step 1: another positive class.", show_default=False)] = "",
    task: Annotated[str, typer.Option(help="From step 1: another task.", show_default=False)] = "",
    backbone: Named = "",
    moved: Moved = None,
    *,
    given: dict[str, object],
    json: Json = False,
    verbose: Verbose = False,
    open_report: Open = False,
) -> None:
    """Start a new run from a step of an earlier one; it keeps the settings, and the decisions before that step."""
    from luthier.runs import relocate
    from luthier.runs.calls import Call
    from luthier.runs.continuing import WayBack, branch_as_asked
    from luthier.runs.screen import choose_screen

    if moved is not None:
        relocate(previous, moved)
    output = OutputSection.of(None, **given)
    call = Call.begun(output, choose_screen(json=json, verbose=verbose), keeps=True)
    said = {"metric": metric, "costs": costs, "positive": positive, "task": task}
    loss = {name: value for name, value in said.items() if value}
    changed = WayBack(new_test, again, loss, backbone)
    result = branch_as_asked(previous, step, output, call, changed)
    if open_report:
        typer.launch(str(result.report()))

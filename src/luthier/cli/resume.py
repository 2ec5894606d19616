"""`luthier resume`: go on with a run, or a search, that was stopped."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from luthier.cli.given import Json, Moved, Named, Open, Verbose, takes
from luthier.errors import InputError
from luthier.messages import Message
from luthier.request import ShownSection

_EPILOG = """\b
Examples:
  luthier resume runs/houses
  luthier resume runs/houses --until 4
  luthier resume runs/houses --device cpu
  luthier resume runs/houses --source /new/place/houses.csv
  luthier resume runs/houses-tuned
"""
OF_SEARCHES, OF_FITS = ("--storage",), ("--until", "--backbone", "--device", "--workers")


def register(app: typer.Typer) -> None:
    """Add the subcommand."""
    app.command("resume", epilog=_EPILOG)(resume)


@takes(ShownSection)
def resume(
    run: Annotated[Path, typer.Argument(help="Folder of a run or a search; of several targets, the one above them.")],
    *,
    given: dict[str, Any],
    device: Annotated[
        str | None,
        typer.Option(
            help="Device to continue on. Default: the device of its plan, where it is there.", show_default=False
        ),
    ] = None,
    backbone: Named = "",
    storage: Annotated[
        str | None, typer.Option(help="The Optuna storage of a search, named again.", show_default=False)
    ] = None,
    moved: Moved = None,
    json: Json = False,
    verbose: Verbose = False,
    open_report: Open = False,
) -> None:
    """Continue by the recorded plan, to the same results as without the interruption; it keeps its settings."""
    from luthier.runs import relocate
    from luthier.saved import SEARCH, open_run

    kind = open_run(run).kind
    said = {"--until": given.get("until"), "--backbone": backbone, "--device": device, "--storage": storage}
    said["--workers"] = given.get("workers")
    without = [name for name in (OF_FITS if kind == SEARCH else OF_SEARCHES) if said[name]]
    if without:
        raise InputError(
            Message(
                "{options}: '{run}' is a search, which has none"
                if kind == SEARCH
                else "{options}: '{run}' is a fit, which has none",
                options=", ".join(without),
                run=run,
            )
        )
    if moved is not None:
        relocate(run, moved)
    if kind == SEARCH:
        report = _search(run, storage, json=json, verbose=verbose, **given)
    else:
        report = _fit(run, ShownSection.of(None, **given), device or "auto", backbone, json=json, verbose=verbose)
    if open_report and report is not None:
        typer.launch(str(report))


def _search(
    run: Path, storage: str | None, *, json: bool, verbose: bool, on: str = "local", track: str = ""
) -> Path | None:
    from luthier.runs.search_screen import choose_search_screen
    from luthier.runs.tuning_tables import resume_search

    screen = choose_search_screen(json=json, verbose=verbose)
    if track:
        from luthier.runs.tracking import TrackedSearch, tracker_for

        screen = TrackedSearch(screen, tracker_for(track))
    folder = resume_search(run, on=on, storage=storage, screen=screen).folder
    return None if folder is None else folder / "report.html"


def _fit(run: Path, shown: ShownSection, device: str, backbone: str, *, json: bool, verbose: bool) -> Path:
    from luthier.runs.calls import Call
    from luthier.runs.continuing import resume_as_asked
    from luthier.runs.multi_target import resume_several_as_asked
    from luthier.runs.screen import choose_screen
    from luthier.saved import SEVERAL, open_run

    call = Call.begun(shown, choose_screen(json=json, verbose=verbose), keeps=True)
    if open_run(run).kind != SEVERAL:
        return resume_as_asked(run, call, backbone=backbone, device=device).report()
    if backbone:
        raise InputError("--backbone works with one target only", remedy="fit that target alone, or name its run")
    return resume_several_as_asked(run, call, device=device).report()

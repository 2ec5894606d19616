"""`luthier tune`: search hyper-parameters on a table, systematically."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from luthier.cli.fit import parse_columns
from luthier.cli.given import Group, Moved, NoRegister, Time, Weight, refuse_beside
from luthier.cli.renamed import KeepsOldOptions
from luthier.errors import InputError

_EPILOG = """\b
Examples:
  luthier tune digits --trials 64
  luthier tune houses.csv --target price --budget 10m --sampler tpe
  luthier tune patients.csv --target state --group patient
  luthier tune runs/houses --trials 100 --halving hyperband
  luthier tune houses.csv --target price --space space.toml
  luthier tune houses.csv --target price --storage postgresql+psycopg://me@host/studies
  luthier tune --resume runs/houses-tuned
  luthier tune --list

A space in TOML: one entry per hyper-parameter; a list of options, a range, or one value to fix it.
  batch_size = 64
  rule = ["sgd", "adam"]
  learning_rate = { low = 1e-4, high = 1.0, scale = "log" }
"""


def register(app: typer.Typer) -> None:
    """Add the subcommand."""
    app.command("tune", cls=KeepsOldOptions, epilog=_EPILOG)(tune)


def tune(
    context: typer.Context,
    source: Annotated[
        str | None,
        typer.Argument(help="A table, as for `luthier fit`, or the folder of a finished run.", show_default=False),
    ] = None,
    target: Annotated[str | None, typer.Option(help="Column to predict.", show_default=False)] = None,
    trials: Annotated[
        int | None,
        typer.Option(help="Number of trials. Default: 64, or as many as the budget allows.", show_default=False),
    ] = None,
    budget: Annotated[str | None, typer.Option(help="60s, 10m or 2h.", show_default=False)] = None,
    sampler: Annotated[str, typer.Option(help="random, grid, sobol, coarse-to-fine, tpe or gp.")] = "random",
    halving: Annotated[
        str, typer.Option(help="successive or hyperband: stop poor trials early.", show_default=False)
    ] = "",
    space: Annotated[Path | None, typer.Option(help="TOML file with the search space.", show_default=False)] = None,
    flat: Annotated[
        bool, typer.Option("--flat", help="Search all hyper-parameters at once instead of tier by tier.")
    ] = False,
    epochs: Annotated[int | None, typer.Option(help="Epochs per trial. Default: by the number of rows.")] = None,
    confirm: Annotated[int, typer.Option(help="Fresh seeds for the reported figures; 0: do not refit.")] = 5,
    on: Annotated[str, typer.Option(help="local, ray, or the address of a Ray cluster.")] = "local",
    workers: Annotated[
        int | None, typer.Option(help="Worker processes. Default: one per core.", show_default=False)
    ] = None,
    device: Annotated[
        str,
        typer.Option(
            help="Where networks train: cpu, cuda, cuda:1 or mps. auto is the processor, whose cores share the trials."
        ),
    ] = "auto",
    memory: Annotated[
        str | None,
        typer.Option(
            help="Memory limit, such as 2GiB; networks that do not fit together train in turns. Default: half of the "
            "machine's memory.",
            show_default=False,
        ),
    ] = None,
    storage: Annotated[
        str | None, typer.Option(help="Also write the study, live, to this Optuna storage.", show_default=False)
    ] = None,
    study: Annotated[
        str | None, typer.Option(help="Name of the study in that storage. Default: the run's.", show_default=False)
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            help="Random seed; of a run's folder, of the search alone. Default: 0, or the run's.", show_default=False
        ),
    ] = None,
    column: Annotated[list[str] | None, typer.Option(help="NAME=TYPE, as for `luthier fit`.")] = None,
    task: Annotated[str | None, typer.Option(help="regression, binary or multiclass.")] = None,
    group: Group = None,
    time: Time = None,
    weight: Weight = None,
    run: Annotated[Path | None, typer.Option(help="Folder of the run.", show_default=False)] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Overwrite an existing run in that folder.")] = False,
    resume: Annotated[Path | None, typer.Option(help="Continue a search that was stopped.")] = None,
    moved: Moved = None,
    listed: Annotated[
        bool, typer.Option("--list", help="Print every hyper-parameter with its tier, range and reason, and stop.")
    ] = False,
    no_register: NoRegister = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Print every trial.")] = False,
    track: Annotated[
        str | None,
        typer.Option(help="Also log the search to tensorboard:FOLDER or mlflow:ADDRESS.", show_default=False),
    ] = None,
    open_report: Annotated[bool, typer.Option("--open", help="Open the report in the browser at the end.")] = False,
) -> None:
    """Search hyper-parameters in order of importance, many networks at once, and measure the best on fresh seeds."""
    if listed:
        _list(json=json)
        return
    if (source is None) == (resume is None):
        raise InputError(
            "nothing to tune, or more than one thing",
            expected="one of SOURCE or --resume",
            received="neither" if source is None else "both",
            remedy="luthier tune digits --trials 64",
        )
    from luthier.runs import relocate, resume_search, tune_table
    from luthier.runs.search_screen import choose_search_screen

    if resume is not None:
        refuse_beside(
            context,
            "--resume",
            {"resume", "on", "storage", "moved"},
            "a search keeps its settings: start a new one to change them",
        )
    if moved is not None:
        relocate(resume if resume is not None else str(source), moved)
    screen = choose_search_screen(json=json, verbose=verbose)
    if track is not None:
        from luthier.runs.tracking import TrackedSearch, tracker_for

        screen = TrackedSearch(screen, tracker_for(track))
    if resume is not None:
        result = resume_search(resume, on=on, storage=storage, screen=screen)
    else:
        result = tune_table(
            source,
            target=target,
            trials=trials,
            budget=budget,
            sampler=sampler,
            halving=halving,
            space=space,
            tiers=not flat,
            epochs=epochs,
            confirm=confirm,
            on=on,
            workers=workers,
            device=device,
            memory=memory,
            storage=storage,
            study=study,
            seed=seed,
            columns=parse_columns(column or []),
            task=task,
            group=group,
            time=time,
            weight=weight,
            run=run,
            replace_run=replace,
            register=not no_register,
            screen=screen,
        )
    if open_report and result.folder is not None:
        typer.launch(str(result.folder / "report.html"))


def _list(*, json: bool) -> None:
    """Every hyper-parameter of the registry, in the order in which they are worth tuning."""
    from luthier.citations import cited
    from luthier.search import REGISTRY, TIERS
    from luthier.storage import json_text

    if json:
        for hyper in REGISTRY.values():
            rest = {"tier": hyper.tier, "reason": hyper.reason, "source": cited(hyper.source)}
            typer.echo(json_text({"name": hyper.name, **hyper.usual.to_json(), **rest}))
        return
    for tier, title in TIERS.items():
        typer.echo(f"\nTier {tier}: {title}")
        for hyper in (hyper for hyper in REGISTRY.values() if hyper.tier == tier):
            facts: dict[str, Any] = hyper.usual.to_json()
            where, scale = ", ".join(map(str, facts.get("options", ()))), "choice"
            if not where:
                where = f"{facts['low']:g} to {facts['high']:g}"
                scale = facts["scale"] + (", whole" if facts["integer"] else "")
            typer.echo(f"  {hyper.name}: {where} ({scale}), default {facts['default']}")
            typer.echo(f"      {hyper.reason}" + (f" ({cited(hyper.source)})" if hyper.source else ""))

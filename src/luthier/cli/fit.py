"""`luthier fit`: from a table to a tested network, the evidence and a report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from luthier.cli.given import Group, Moved, NoRegister, Time, Weight, refuse_beside
from luthier.cli.renamed import KeepsOldOptions
from luthier.errors import ConfigError, InputError

_EPILOG = """\b
Examples:
  luthier fit digits
  luthier fit houses.csv --target price --budget 10m
  luthier fit houses.csv --target price --column zip=category --seed 1
  luthier fit --resume runs/houses
  luthier fit --config runs/houses/recipe.toml
  luthier fit houses.csv --target price --until 4, then luthier test runs/houses
  luthier fit --resume runs/houses --from 4 --new-test new-houses.csv
  luthier fit photos/ --budget 20m
  luthier fit photos/train --new-test photos/test
"""


BESIDE = {  # what may be said beside a run that is taken up or repeated
    "--resume": {"resume", "until", "moved", "backbone", "device"},
    "--resume and --from": {
        *("resume", "moved", "until", "begin_at", "new_test", "again", "run", "replace", "backbone", "no_register"),
    },
    "--config": {"config", "until", "run", "replace", "plan", "backbone", "no_register"},
}


def register(app: typer.Typer) -> None:
    """Add the subcommand."""
    app.command("fit", cls=KeepsOldOptions, epilog=_EPILOG)(fit)


def fit(
    context: typer.Context,
    source: Annotated[
        str | None,
        typer.Argument(
            help="A CSV or Parquet file, a folder of Parquet files, a URL of one (https://, s3://, gs://), '-' "
            "for CSV on standard input, a folder of pictures with one sub-folder per class, an IDX file, or a bundled "
            "set: digits, iris, wine, breast-cancer, diabetes.",
            show_default=False,
        ),
    ] = None,
    target: Annotated[
        list[str] | None,
        typer.Option(help="Column to predict; repeat it for several targets, one run each.", show_default=False),
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(
            help="60s, 10m, 2h or 5000steps. Default: 60s for bundled data, else 5m.",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Random seed of the whole run.")] = 0,
    column: Annotated[
        list[str] | None,
        typer.Option(
            help="NAME=KIND: number, boolean, category, date, text, identifier or constant; of dates their format too, "
            "such as when=date:%d/%m/%Y. May be repeated."
        ),
    ] = None,
    task: Annotated[
        str | None, typer.Option(help="regression, binary or multiclass; inferred from the target if not given.")
    ] = None,
    metric: Annotated[
        str | None,
        typer.Option(
            help="Metric that selects the model and is reported first: accuracy, balanced accuracy, f1, log loss, auc, "
            "rmse, mae, r2.",
            show_default=False,
        ),
    ] = None,
    cost: Annotated[
        str | None,
        typer.Option(
            help="Costs of a false positive and a false negative, such as 1:5; they set the threshold.",
            show_default=False,
        ),
    ] = None,
    positive: Annotated[
        str | None,
        typer.Option(
            help="Of two classes the positive one, which --cost, f1 and the threshold are about. Default: the one that "
            "means yes, else the rarer.",
            show_default=False,
        ),
    ] = None,
    group: Group = None,
    time: Time = None,
    weight: Weight = None,
    size: Annotated[int, typer.Option(help="Longer side of the scaled pictures, in pixels; 0: at most 64.")] = 0,
    strict: Annotated[
        bool, typer.Option("--strict", help="Fail on a picture that cannot be read, instead of leaving it out.")
    ] = False,
    memory: Annotated[
        str | None,
        typer.Option(
            help="Memory limit, such as 2GiB. Networks that do not fit together train in turns; of a larger table a "
            "sample is used for every decision, and the final networks train on all rows. The program itself takes "
            "about 750 MiB beside it. Default: half of the machine's memory, or of the container's.",
            show_default=False,
        ),
    ] = None,
    backbone: Annotated[
        str,
        typer.Option(
            help="For pictures, a pretrained network: resnet18, resnet34, resnet50, or module:callable.",
            show_default=False,
        ),
    ] = "",
    weights: Annotated[
        Path | None,
        typer.Option(
            "--backbone-weights",
            help="File of the backbone's pretrained weights: .safetensors, .pt or .pth.",
            show_default=False,
        ),
    ] = None,
    device: Annotated[
        str,
        typer.Option(
            help="Where networks train: cpu, cuda, cuda:1 or mps. auto takes an accelerator where a few timed steps "
            "are faster there. With --resume: where the run continues.",
        ),
    ] = "auto",
    distil: Annotated[bool, typer.Option("--distil", help="Distil the ensemble into one network.")] = False,
    warm_start: Annotated[
        Path | None,
        typer.Option(help="A finished run whose networks are trained further on these rows.", show_default=False),
    ] = None,
    run: Annotated[Path | None, typer.Option(help="Folder of the run. Default: runs/NAME.", show_default=False)] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Overwrite an existing run in that folder.")] = False,
    config: Annotated[Path | None, typer.Option(help="Repeat a run exactly, from its recipe.toml.")] = None,
    resume: Annotated[Path | None, typer.Option(help="Continue a run that was stopped.")] = None,
    moved: Moved = None,
    until: Annotated[int, typer.Option(help="Stop after this step, 1 to 5; step 5 reads the test set.")] = 5,
    begin_at: Annotated[
        int | None,
        typer.Option("--from", help="With --resume: start a new run from this step, 2 to 5.", show_default=False),
    ] = None,
    new_test: Annotated[
        Path | None,
        typer.Option(
            help="Rows to judge on, sealed in place of a part of SOURCE: a file, or a folder of pictures. With --from: "
            "fresh ones, where the run has read its test set.",
            show_default=False,
        ),
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="With --from: read the same test rows once more; the report says so.")
    ] = False,
    no_register: NoRegister = False,
    explain: Annotated[
        bool,
        typer.Option("--explain", help="Print the recipe as a checklist (with --resume: what that run did) and stop."),
    ] = False,
    plan: Annotated[bool, typer.Option("--plan", help="Print how the budget would be spent, and stop.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Print a table of epochs.")] = False,
    track: Annotated[
        str | None,
        typer.Option(help="Also log the run to tensorboard:FOLDER or mlflow:ADDRESS.", show_default=False),
    ] = None,
    open_report: Annotated[bool, typer.Option("--open", help="Open the report in the browser at the end.")] = False,
) -> None:
    """Run the six steps of the recipe on a table: a tested model, the evidence for every choice, and a report."""
    from luthier.runs import Result, branch, fit_several, relocate, resume_several
    from luthier.runs import fit as fit_now
    from luthier.runs import resume as resume_now
    from luthier.runs.screen import choose_screen
    from luthier.saved import runs_in

    if explain:
        print_checklist(resume)
        return
    if begin_at is None and again:
        raise InputError("--again goes with --from", remedy="luthier fit --resume RUN --from 4 --again")
    if resume is None and moved is not None:
        raise InputError("--source goes with --resume", remedy="luthier fit --resume RUN --source FILE")
    given = {"SOURCE": source, "--config": config, "--resume": resume}
    if sum(value is not None for value in given.values()) != 1:
        named = [name for name, value in given.items() if value is not None]
        raise InputError(
            "nothing to fit, or more than one thing",
            expected="one of SOURCE, --config or --resume",
            received=" and ".join(named) or "none of them",
            remedy="luthier fit digits",
        )
    if config is not None or resume is not None:
        chosen = "--config" if resume is None else "--resume" if begin_at is None else "--resume and --from"
        refuse_beside(context, chosen, BESIDE[chosen], "a run keeps its settings: start a new one to change them")
    if resume is not None and moved is not None:
        relocate(resume, moved)
    screen = choose_screen(json=json, verbose=verbose)
    if track is not None:
        from luthier.runs.tracking import Tracked, tracker_for

        screen = Tracked(screen, tracker_for(track))
    result: Result | None
    targets = target or []
    if len(targets) > 1 or (resume is not None and len(runs_in(resume)) > 1):
        alone = {
            "--from": begin_at,
            "--config": config,
            "--plan": plan,
            "--task": task,
            "--metric": metric,
            "--cost": cost,
            "--positive": positive,
            "--warm-start": warm_start,
            "--backbone": backbone,
        }
        refused = [name for name, value in alone.items() if value]
        if refused:
            message = f"{', '.join(refused)} {'work' if len(refused) > 1 else 'works'} with one target only"
            raise InputError(message, remedy="fit that target alone, or name its run")
        if resume is not None:
            several = resume_several(resume, device=device, screen=screen)
        else:
            several = fit_several(
                source,
                targets,
                budget=budget,
                seed=seed,
                columns=parse_columns(column or []),
                group=group,
                time=time,
                weight=weight,
                size=size,
                strict=strict,
                memory=memory,
                device=device,
                distil=distil,
                new_test=None if new_test is None else str(new_test),
                until=until,
                run=run,
                replace=replace,
                register=not no_register,
                screen=screen,
            )
        if open_report:
            typer.launch(str(several.report()))
        return
    if resume is not None and begin_at is not None:
        result = branch(
            resume,
            begin_at,
            new_test=new_test,
            again=again,
            until=until,
            backbone=backbone,
            run=run,
            replace=replace,
            register=not no_register,
            screen=screen,
        )
    elif resume is not None:
        result = resume_now(resume, until=until, backbone=backbone, device=device, screen=screen)
    elif begin_at is not None:
        raise InputError("--from needs a run to start from", remedy="luthier fit --resume RUN --from 4")
    else:
        result = fit_now(
            source if source is not None else config,
            target=targets[0] if targets else None,
            budget=budget,
            seed=seed,
            columns=parse_columns(column or []),
            task=task,
            metric=metric,
            costs=cost,
            positive=positive,
            group=group,
            time=time,
            weight=weight,
            size=size,
            strict=strict,
            memory=memory,
            device=device,
            backbone=backbone,
            weights=weights,
            distil=distil,
            warm_start=warm_start,
            new_test=new_test,
            run=run,
            replace=replace,
            repeat=config is not None,
            plan_only=plan,
            until=until,
            register=not no_register,
            screen=screen,
        )
    if open_report and result is not None:
        typer.launch(str(result.report()))


def print_checklist(run: Path | None, lang: str = "en") -> None:
    """The recipe as a checklist, with what a run did about each item."""
    from luthier.messages import speaking
    from luthier.recipe import checklist, in_lines
    from luthier.report import read_contents

    contents = None if run is None else read_contents(run)
    ticked = checklist() if contents is None else checklist(contents.records, drift=contents.drift)
    with speaking(lang):
        for line in in_lines(ticked):
            typer.echo(line)


def parse_columns(texts: list[str]) -> dict[str, str]:
    """`NAME=TYPE` options as a mapping; all malformed ones are reported at once.

    >>> parse_columns(["cut=text", "a=b=number"])
    {'cut': 'text', 'a=b': 'number'}
    """
    wrong = [text for text in texts if not text.rpartition("=")[0]]
    if wrong:
        raise ConfigError([f"--column {text}: expected NAME=TYPE" for text in wrong])
    return {text.rpartition("=")[0]: text.rpartition("=")[2] for text in texts}

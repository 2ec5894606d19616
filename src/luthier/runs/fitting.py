"""`luthier.fit`: the main job, from a source to a finished run."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from luthier import storage
from luthier.assess.register import is_registered
from luthier.data import BUNDLED
from luthier.engine.devices import AUTO, resolve
from luthier.errors import InputError
from luthier.machine import default_memory, parse_memory
from luthier.nets.backbone import allow
from luthier.recipe import (
    Budget,
    BudgetClock,
    Clock,
    FitConfig,
    Interrupted,
    Recipe,
    Run,
    WallClock,
    asked_of,
    check_way_back,
    config_of,
    copy_memory,
    default_name,
    kept_for,
    openings,
    plan_in_words,
    read_as_asked,
    read_ledger,
    read_recipe,
    read_unchanged,
    recipe_from,
    reread,
    source_of,
)
from luthier.report import summary_lines, write_report
from luthier.runs.relocating import keep_source, name_of, read_as_in
from luthier.runs.result import Result
from luthier.runs.screen import Screen, choose_screen
from luthier.runs.signals import ended_by_signals
from luthier.runs.study_files import write_study
from luthier.saved import RunFolder, create_run, open_fit
from luthier.untrusted import fitting_together


def fit(
    source: Any,
    *,
    target: str | int | None = None,
    budget: str | Budget | None = None,
    seed: int = 0,
    columns: Mapping[str, str] | None = None,
    task: str | None = None,
    metric: str | None = None,
    costs: str | None = None,
    positive: str | None = None,
    group: str | None = None,
    time: str | None = None,
    weight: str | None = None,
    beside: Sequence[str] = (),
    size: int = 0,
    strict: bool = False,
    memory: str | None = None,
    device: str = AUTO,
    backbone: str = "",
    weights: str | Path | None = None,
    distil: bool = False,
    warm_start: str | Path | None = None,
    new_test: str | Path | None = None,
    run: str | Path | None = None,
    replace: bool = False,
    repeat: bool = False,
    plan_only: bool = False,
    until: int = 5,
    register: bool | None = None,
    screen: Screen | None = None,
    clock: Clock | None = None,
) -> Result | None:
    """Run the six steps of the recipe on a table and return the finished run.

    `source` is a path (CSV, Parquet, a folder of Parquet files) or an address (`https://`,
    `s3://`, `gs://`), a bundled name (`digits`, `iris`, `wine`, `breast-cancer`,
    `diabetes`), a pandas, Polars or Arrow frame, or arrays `(X, y)`; for pictures a folder with one sub-folder per
    class, a table with a column of paths, IDX files, or arrays X [N, H, W] or [N, H, W, C]. They are scaled to at
    most `size` pixels a side (0: 64); with `strict` one that cannot be read is an error, else it is left out.
    Of a table that needs more than `memory` (such as `"2GiB"`; default: half of the machine's) a sample is used for
    every decision, and the final networks train on all rows from the disk. Networks that do not fit into memory
    together train in turns, with the same results. `device` is where networks train: "cpu", "cuda", "cuda:1" or
    "mps"; "auto" takes an accelerator where a few timed steps are faster there. A model opens on the processor.
    `backbone` is a pretrained network for pictures: `resnet18`, `resnet34`, `resnet50` with a file of
    `weights`, or `module:callable`; see `luthier.transfer`.
    `budget` is `"60s"`, `"10m"`, `"2h"` or `"5000steps"` (default 60 s for a bundled set, 5 min otherwise).
    `columns` overrides inferred types. `metric` selects the model and is reported first; `costs="1:5"` sets the
    chooses the threshold of two classes by what a false positive and a false negative cost; `positive` names the class
    of two that is meant (else the one that means yes, or the rarer). Rows with one value of
    `group` stay in one part of the split; with `time` the latest rows are the test set; `weight` is the column of
    sample weights, for training and scores. Columns named in `beside` are targets of other runs, and not used
    as inputs. `distil` distils the ensemble into one network. `warm_start` is a finished run of the same table: its
    networks are trained further on these rows, and forgetting is measured. `new_test` is a file or a folder of
    rows that are sealed as the test set; all of `source` is then for training and validation. With `repeat=True`,
    `source` is the `recipe.toml` of a run to repeat exactly. `plan_only=True` prints the plan and returns None.
    `until` stops the run after a step; the test set is read in step 5, which `luthier.test` can run later.
    With `register` (by default where `run` is given) this machine keeps which rows the run reads and learns from, as
    keyed fingerprints, so that later runs can count it; `LUTHIER_NO_REGISTER=1` turns that off for all runs.

    Raises InputError for anything in the request that cannot be used.
    """
    clock = clock or WallClock()
    since = clock.now()
    screen = screen if screen is not None else choose_screen()
    recipe, repeated = read_recipe(Path(source)) if repeat else None, None
    if recipe is not None:
        asked, repeated, limit = recipe.asked, RunFolder(Path(source).parent), Budget()
        _allow_backbone(asked, backbone)
        source = source_of(repeated, asked)
    else:
        if backbone:
            allow(backbone)
        limit = Budget.parse(budget) if budget is not None else default_budget(source)
        asked = request(
            source,
            limit,
            target=target,
            seed=seed,
            task=task,
            columns=columns,
            metric=metric,
            costs=costs,
            positive=positive,
            group=group,
            time=time,
            weight=weight,
            beside=beside,
            size=size,
            strict=strict,
            memory=memory,
            device=device,
            backbone=backbone,
            weights=weights,
            distil=distil,
            warm_start=warm_start,
            new_test=new_test,
        )
    read = read_as_asked(source, asked) if repeated is None else read_as_in(repeated, source, asked)
    if read.source.whole is not None and not asked.memory:
        asked = asked.model_copy(update={"memory": default_memory()})  # so that the run is the same on another machine
    if plan_only:
        run, replace = Path(tempfile.mkdtemp(prefix="luthier-plan-")), False
    folder = create_run(run, default_name(source, read.source), replace=replace)
    if not asked.source:
        keep_source(folder, read.source)
        asked = asked.model_copy(update={"source": "", "target": read.task.target})
        read = read_as_asked(str(folder.source), asked)  # so that a resumed run finds what this one had
    walk = Run(
        asked=asked,
        read=read,
        folder=folder,
        recipe=recipe.model_copy(update={"asked": asked}) if recipe else Recipe(asked=asked),
        budget_clock=BudgetClock(limit, clock, since=since),
        resumed=False,
        listen=screen.record,
        tell=screen.event,
        interrupted=Interrupted(),
        until=_known_step(until),
        registered=not plan_only and is_registered(register, run),
    )
    del read  # what a run has no use for any more is given back
    if plan_only:
        _plan_only(walk, screen)
        return None
    return _finish(walk, screen)


def request(
    source: Any,
    limit: Budget,
    *,
    beside: Sequence[str] = (),
    memory: str | None = None,
    device: str = AUTO,
    weights: str | Path | None = None,
    warm_start: str | Path | None = None,
    new_test: str | Path | None = None,
    positive: object = None,
    **options: Any,
) -> FitConfig:
    """What `fit` is asked for, as it is kept; `options` are those that are kept as they were given."""
    return config_of(
        source=name_of(source),
        budget=str(limit),
        beside=tuple(beside),
        memory=0 if memory is None else parse_memory(memory),
        device=device if device == AUTO else str(resolve(device)),
        weights="" if weights is None else str(Path(weights).resolve()),
        warm_start="" if warm_start is None else str(Path(warm_start).resolve()),
        new_test="" if new_test is None else name_of(new_test),
        positive="" if positive is None else str(positive),
        **{name: value for name, value in options.items() if value is not None},
    )


def resume(
    run: str | Path,
    *,
    until: int = 5,
    backbone: str = "",
    device: str = AUTO,
    screen: Screen | None = None,
    clock: Clock | None = None,
) -> Result:
    """Continue a run that was stopped, by its recorded plan; a finished run is returned unchanged.

    It continues on the device of its plan, or on the one that is named here: what is finished is kept either way.

    A backbone of one's own, `module:callable`, is named again: the run's folder does not choose code.
    """
    clock = clock or WallClock()
    since = clock.now()
    screen = screen if screen is not None else choose_screen()
    folder = open_fit(run, searched=f"luthier tune --resume {run}")
    facts = folder.facts()
    if facts["status"] == "done":
        screen.event(
            "done", result=_outcome(folder), lines=["This run is already finished.", *summary_lines(folder.path)]
        )
        return Result(folder)
    asked = asked_of(folder.to_continue("--resume"))
    _allow_backbone(asked, backbone)
    repeated = read_recipe(folder.recipe) if folder.recipe.exists() else None
    recipe = recipe_from(asked, read_ledger(folder.ledger))
    if repeated is not None and repeated.plan is not None and facts.get("repeats"):
        recipe, limit = repeated, Budget()
    else:
        limit = Budget(**facts["budget"])
    _, read = reread(folder, "fit --resume")
    walk = Run(
        asked=asked,
        read=read,
        folder=folder,
        recipe=recipe,
        budget_clock=BudgetClock(limit, clock, since=since),
        resumed=True,
        elsewhere="" if device == AUTO else str(resolve(device)),
        listen=screen.record,
        tell=screen.event,
        interrupted=Interrupted(),
        until=_known_step(until),
        facts={"opened_before": facts.get("opened_before", 0)},
        registered=is_registered(facts.get("registered", False), folder.path),
    )
    return _finish(walk, screen)


def branch(
    previous: str | Path,
    step: int,
    *,
    new_test: str | Path | None = None,
    again: bool = False,
    until: int = 5,
    backbone: str = "",
    run: str | Path | None = None,
    replace: bool = False,
    register: bool | None = None,
    screen: Screen | None = None,
    clock: Clock | None = None,
) -> Result:
    """Start from a step of an earlier run, in a new run that keeps the decisions before that step.

    If the earlier run has read its test set, further changes need a new one:
    `new_test` is a file with new rows (the old test rows then join the validation set). `again` reads the
    same rows once more, which the report says. Raises InputError without one of the two.
    """
    clock = clock or WallClock()
    since = clock.now()
    screen = screen if screen is not None else choose_screen()
    before = open_fit(previous).to_continue("--from")
    if new_test is not None and again:
        raise InputError("--new-test and --again exclude each other", remedy="leave out --again: new rows are unread")
    command = "fit --from" if new_test is None else "fit --new-test"
    kept = kept_for(command, asked_of(before))
    check_way_back(before, step, new_test=str(new_test or ""), again=again)
    _allow_backbone(kept, backbone)
    if new_test is not None and name_of(new_test) == asked_of(before).new_test and openings(before):
        raise InputError(f"'{new_test}' is not a new test set: the run has read it", remedy="leave it out for --again")
    asked = kept.model_copy(
        update={
            "previous": str(before.path.resolve()),
            "begin_at": step,
            **({} if new_test is None else {"new_test": name_of(new_test)}),  # else the rows that are sealed stay so
        }
    )
    read = read_unchanged(before, asked)
    folder = create_run(run, f"{before.path.name}-from-{step}", replace=replace)
    copy_memory(before, folder)
    recipe = recipe_from(asked, read_ledger(before.ledger)).model_copy(update={"cuts": ()})
    walk = Run(
        asked=asked,
        read=read,
        folder=folder,
        recipe=recipe.model_copy(update={"plan": None}),
        budget_clock=BudgetClock(Budget.parse(asked.budget), clock, since=since),
        resumed=False,
        listen=screen.record,
        tell=screen.event,
        interrupted=Interrupted(),
        until=_known_step(until),
        facts={"opened_before": 0 if new_test is not None else openings(before)},
        registered=is_registered(register, run),
    )
    return _finish(walk, screen)


def _allow_backbone(asked: FitConfig, named: str) -> None:
    """Let the backbone of a file be built where the caller names it too. InputError where the two differ."""
    if named and named != asked.backbone:
        raise InputError(f"--backbone {named} is not what the run records: {asked.backbone or 'none'}", expected=named)
    if named:
        allow(named)


def _known_step(until: int) -> int:
    if not 1 <= until <= 5:
        raise InputError(f"--until {until} is not a step to stop after", expected="1 to 5; step 6 is `luthier check`")
    return until


def default_budget(source: Any) -> Budget:
    """A minute for a bundled set, five minutes for anything else."""
    return Budget(seconds=60.0 if isinstance(source, str) and source in BUNDLED else 300.0)


def _finish(walk: Run, screen: Screen) -> Result:
    try:
        signals = walk.interrupted
        with storage.held(walk.folder.path), ended_by_signals(signals), signals.asked(soon=False):
            try:
                with fitting_together(walk.folder.path) if walk.goes_on else nullcontext():
                    verdict = walk.run()
            except InputError:
                if not walk.resumed and not walk.folder.checkpoint.exists():
                    shutil.rmtree(walk.folder.path)  # nothing was trained: leave no empty run behind
                raise
            status = "cut" if walk.interrupted else "done" if verdict is not None else "stopped"
            walk.folder.update_facts(status=status, elapsed_s=round(walk.budget_clock.spent(), 2), until=walk.until)
            write_report(walk.folder.path)
            if verdict is not None:
                write_study(walk.folder)
    finally:
        screen.close()
    screen.event("done", result=_outcome(walk.folder), lines=summary_lines(walk.folder.path))
    return Result(walk.folder)


def _plan_only(walk: Run, screen: Screen) -> None:
    """Print the plan as a recipe that `--config` runs; nothing is left behind."""
    walk.listen = lambda record: None
    try:
        plan = walk.plan()
    finally:
        screen.close()
        shutil.rmtree(walk.folder.path)
    recipe = walk.recipe.model_copy(update={"plan": plan}).to_toml()
    screen.event("planned", result={"plan": plan.model_dump(mode="json")}, lines=[f"# {plan_in_words(plan)}", recipe])


def _outcome(folder: RunFolder) -> dict[str, Any]:
    scores = Result(folder).scores if folder.scores.exists() else None
    return {"run": str(folder.path), "scores": scores, "report": str(folder.report)}

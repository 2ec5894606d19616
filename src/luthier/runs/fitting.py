"""`luthier.fit`, `plan` and `rerun`: from a source, or a recipe, to a finished run."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from typing_extensions import Unpack

from luthier.data import BUNDLED
from luthier.data.sentences import whole_name
from luthier.data.sources import default_name
from luthier.engine.devices import AUTO, resolve
from luthier.errors import InputError
from luthier.machine import default_memory
from luthier.messages import Message, spoken
from luthier.nets.backbone import allow
from luthier.recipe import (
    Budget,
    Clock,
    LoadedData,
    Recipe,
    Run,
    plan_in_words,
    read_as_asked,
    read_recipe,
    read_where_kept,
    source_of,
)
from luthier.request import Config, FitConfig, OutputSection, PlanConfig, RunRequest
from luthier.request_types import FitOptions, OutputOptions
from luthier.runs.calls import Call, allow_backbone
from luthier.runs.own_rows import keep_source, keep_test, with_test_file
from luthier.runs.relocating import name_of, read_as_in
from luthier.runs.result import Result
from luthier.runs.screen import Screen
from luthier.saved import RunFolder
from luthier.task import costs_as_text


def fit(
    source: Any,
    target: str | int | None = None,
    config: Config = None,
    *,
    screen: Screen | None = None,
    clock: Clock | None = None,
    **options: Unpack[FitOptions],
) -> Result:
    """Run the six steps of the recipe on a table and return the finished run.

    `source` is a path (CSV, Parquet, a folder of Parquet files) or an address (`https://`, `s3://`, `gs://`), a bundled
    name (`digits`, `iris`, `wine`, `breast-cancer`, `diabetes`), a pandas, Polars or Arrow frame, a dict of columns or
    a list of dicts, or arrays `(X, y)`; for pictures a folder with one sub-folder per class, a table with a column of
    paths, IDX files, or arrays X [N, H, W] or [N, H, W, C]. `target` is the column to predict.

    `options` are the fields of `luthier.FitConfig`, whose page has each with its type, default and meaning: `budget`
    ("60s", "10m", "2h" or "5000steps"), `group`, `time`, `sample_weight`, `metric`, `device`, `seed` ... `config` is a
    FitConfig, a mapping or a TOML file of them; what is said beside it counts.

    Without `run` the run lies in a temporary folder until the program ends; with `run="runs/one"` it stays. Nothing is
    printed unless `verbose` is 1, or 2 for a table of epochs; the logger "luthier" has every decision. `screen`
    follows the run in place of both, `clock` says what time it is.

    Raises InputError for anything in the request that cannot be used.

    >>> result = fit("iris", budget="40steps")
    >>> result.model.task.target
    'species'
    """
    _one_target(target)
    asked = FitConfig.of(config, target=target, **with_test_file(options))
    call = Call.begun(asked, screen, clock)
    return call.finish(_walk(source, asked, call))


def _one_target(target: object) -> None:
    if isinstance(target, (list, tuple)):
        raise InputError(
            "luthier.fit predicts one target",
            received=", ".join(map(str, target)),
            remedy="luthier.fit_several(source, targets)",
        )


def fit_as_asked(source: Any, config: FitConfig, call: Call) -> Result:
    """The same for a request."""
    return call.finish(_walk(source, config, call))


def _walk(source: Any, config: FitConfig, call: Call) -> Run:
    """A new run in a folder of its own; what it has no use for any more is given back."""
    asked, read = _read(source, request(source, config))
    folder = call.new_folder(config, default_name(source, read.source))
    asked, read = _kept(folder, asked, read)
    limit, registered = Budget.parse(asked.budget), call.registered(config)
    return call.walk(asked, read, folder, Recipe(asked=asked), limit, registered=registered)


def plan(
    source: Any,
    target: str | int | None = None,
    config: Config = None,
    *,
    screen: Screen | None = None,
    clock: Clock | None = None,
    **options: Unpack[FitOptions],
) -> Recipe:
    """How `luthier.fit` would spend the budget: a recipe, which `luthier.rerun` follows once it is in a file.

    `source`, `target`, `config`, `options`, `screen` and `clock` are as for `luthier.fit`, which raises the same errors
    (InputError). A short timing is all that is trained, and nothing is kept.

    >>> print(plan("iris", budget="40steps").to_toml().splitlines()[0])
    # `luthier rerun recipe.toml` repeats this run exactly.
    """
    wanted = FitConfig.of(config, target=target, **with_test_file(options))
    return plan_as_asked(source, wanted, Call.begun(wanted, screen, clock))


def plan_as_asked(source: Any, config: PlanConfig, call: Call) -> Recipe:
    """The same for a request."""
    asked, read = _read(source, request(source, config))
    with tempfile.TemporaryDirectory(prefix="luthier-plan-") as place:
        folder = RunFolder(Path(place))
        asked, read = _kept(folder, asked, read)
        walk = call.walk(asked, read, folder, Recipe(asked=asked), Budget.parse(asked.budget))
        walk.listen = lambda record: None
        try:
            made = walk.plan()
        finally:
            call.screen.close()
    recipe = Recipe(asked=asked, plan=made)
    lines = [f"# {spoken(plan_in_words(made))}", recipe.to_toml()]
    call.screen.event("planned", result={"plan": made.model_dump(mode="json")}, lines=lines)
    return recipe


def rerun(
    recipe: str | Path,
    *,
    backbone: str = "",
    screen: Screen | None = None,
    clock: Clock | None = None,
    **options: Unpack[OutputOptions],
) -> Result:
    """Repeat a run exactly, from its `recipe.toml`: the same numbers, in a new run.

    A `backbone` of one's own, `module:callable`, is named again: a file does not choose code. `options` (`run`,
    `replace`, `until`, ...), `screen` and `clock` are as for `luthier.fit`. Raises InputError where the data have
    changed.
    """
    output = OutputSection.of(None, **options)
    return rerun_as_asked(recipe, output, Call.begun(output, screen, clock), backbone=backbone)


def rerun_as_asked(recipe: str | Path, output: OutputSection, call: Call, *, backbone: str = "") -> Result:
    """The same for a request."""
    script, before = read_recipe(Path(recipe)), RunFolder(Path(recipe).parent)
    asked = script.asked
    if asked.heads:
        raise InputError(
            Message("networks that several targets share are not repeated from one recipe.toml"),
            expected=Message("the recipe of a run with networks of its own"),
            received=Message("one of the targets {names}", names=", ".join(asked.heads)),
            remedy=Message("luthier fit with the same --target, --seed and --budget, or with --separate"),
        )
    allow_backbone(asked, backbone)
    source = source_of(before, asked)
    read = read_as_in(before, source, asked)
    asked = _bounded(asked, read)
    folder = call.new_folder(output, default_name(source, read.source))
    asked, read = _kept(folder, asked, read)
    script = script.model_copy(update={"asked": asked})
    return call.finish(call.walk(asked, read, folder, script, Budget(), registered=call.registered(output)))


def request(source: Any, config: PlanConfig) -> RunRequest:
    """What a run is asked for, as it is kept: a budget, whole paths, and a device of this machine."""
    if config.backbone:
        allow(config.backbone)
    given = {name: getattr(config, name) for name in PlanConfig.model_fields}
    given["source"] = name_of(source)
    given["budget"] = str(Budget.parse(config.budget) if config.budget else default_budget(source))
    if config.device != AUTO:
        given["device"] = str(resolve(config.device))
    for name in ("backbone_weights", "warm_start"):
        given[name] = given[name] and str(Path(given[name]).resolve())
    given["costs"] = costs_as_text(config.costs)
    given["text_model"] = whole_name(config.text_model)
    if Path(config.backbone).is_dir() and config.backbone:
        given["backbone"] = whole_name(config.backbone)
    given["test"] = given["test"] and name_of(given["test"])
    return RunRequest.of(None, **given)


def default_budget(source: Any) -> Budget:
    """A minute for a bundled set, five minutes for anything else."""
    return Budget(seconds=60.0 if isinstance(source, str) and source in BUNDLED else 300.0)


def _read(source: Any, asked: RunRequest) -> tuple[RunRequest, LoadedData]:
    read = read_as_asked(source, asked)
    return _bounded(asked, read), read


def _bounded(asked: RunRequest, read: LoadedData) -> RunRequest:
    """The request, with the bound of memory by which a sample was read: so the run is the same on another machine."""
    if read.source.whole is None or asked.memory:
        return asked
    return asked.model_copy(update={"memory": default_memory()})


def _kept(folder: RunFolder, asked: RunRequest, read: LoadedData) -> tuple[RunRequest, LoadedData]:
    """Data and test rows that came without a path, kept in the run's folder and read from there: a resumed run finds
    them."""
    kept = keep_test(folder, asked)
    if kept.source:
        return kept, read if kept is asked else read_as_asked(kept.source, kept)
    keep_source(folder, read.source)
    here = kept.model_copy(update={"source": "", "target": read.task.target})
    if kept is not asked:
        return here, read_as_asked(str(folder.source), here)
    return here, read_where_kept(folder.source, here, read)

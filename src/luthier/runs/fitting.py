"""A fit of one target, `luthier.plan` and `rerun`: from a source, or a recipe, to a finished run."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from typing_extensions import Unpack

from luthier.data.sources import default_name
from luthier.errors import InputError
from luthier.machine import default_memory
from luthier.messages import Message, spoken
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
from luthier.runs.calls import Call, allow_backbone, new_folder, registered
from luthier.runs.own_rows import keep_source, keep_test, with_test_file
from luthier.runs.relocating import read_as_in
from luthier.runs.requested import request
from luthier.runs.result import Result
from luthier.runs.screen import Screen
from luthier.saved import RunFolder, put_back_if_refused


def new_run(source: Any, config: FitConfig, call: Call) -> Run:
    """A new run in a folder of its own; what it has no use for any more is given back."""
    asked, read = _read(source, request(source, config))
    folder = new_folder(config, default_name(source, read.source), call.keeps)
    asked, read = _kept(folder, asked, read)
    limit, known = Budget.parse(asked.budget), registered(config, call.keeps)
    return call.walk(asked, read, folder, Recipe(asked=asked), limit, registered=known)


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
    folder = new_folder(output, default_name(source, read.source), call.keeps)
    asked, read = _kept(folder, asked, read)
    script = script.model_copy(update={"asked": asked})
    return call.finish(call.walk(asked, read, folder, script, Budget(), registered=registered(output, call.keeps)))


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
    with put_back_if_refused(folder):
        kept = keep_test(folder, asked)
        if kept.source:
            return kept, read if kept is asked else read_as_asked(kept.source, kept)
        keep_source(folder, read.source)
        here = kept.model_copy(update={"source": "", "target": read.task.target})
        again = kept is not asked
        return here, read_as_asked(str(folder.source), here) if again else read_where_kept(folder.source, here, read)

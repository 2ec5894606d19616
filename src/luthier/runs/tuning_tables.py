"""`luthier.tune_table` and `luthier tune`: search the hyper-parameters of dense networks on a table."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from typing_extensions import Unpack

from luthier.assess.register import is_registered
from luthier.data.sources import default_name
from luthier.engine.members.devices import AUTO, is_there, resolve
from luthier.errors import InputError
from luthier.machine import cores, default_memory
from luthier.messages import Message
from luthier.nets import DenseNet
from luthier.recipe import (
    Budget,
    BudgetClock,
    LoadedData,
    Recipe,
    Run,
    WallClock,
    as_model,
    first_width,
    input_count,
    kept_for,
    read_as_asked,
    reread,
)
from luthier.records import JsonObject
from luthier.request import Config, DataConfig, RunRequest, TuneConfig, flag_of
from luthier.request_types import TuneOptions
from luthier.runs.calls import new_folder, registered
from luthier.runs.own_rows import keep_source, keep_test, with_test_file
from luthier.runs.relocating import name_of
from luthier.runs.result import Result
from luthier.runs.screen import SearchScreen
from luthier.runs.search_screen import quiet_search_screen
from luthier.runs.searching import Place, effort_for, run_search
from luthier.runs.study_result import Study
from luthier.saved import SEARCH, RunFolder, open_fit, open_one, put_back_if_refused
from luthier.search import REGISTRY, Choice, DenseNetworks, Effort, Number, Space, space_from
from luthier.search.spaces.space import Dimension
from luthier.task import costs_as_text
from luthier.untrusted import fitting_together

TABLE_SPACE = (
    *("learning_rate", "rule", "momentum", "width", "batch_size", "depth", "schedule", "weight_decay"),
    *("dropout", "batch_norm", "number_frequencies", "beta1", "beta2", "epsilon"),
)
DEFAULT_TRIALS = 64


def tune_table(
    source: Any,
    target: str | int | None = None,
    space: Mapping[str, Any] | str | Path | Space | None = None,
    config: Config = None,
    *,
    screen: SearchScreen | None = None,
    **options: Unpack[TuneOptions],
) -> Study:
    """Search the hyper-parameters of dense networks on a table, or on the table of a finished run.

    `source` and `target` are as for `luthier.fit`, and so are those `options` that describe data, task, budget and
    output; the others, `config` and `screen` are as for `luthier.tune`. The folder of a run is searched under all that
    the run was asked for (its split, weights, other targets, costs, ...), with its delivered setting as the default;
    `seed` then is the search's alone. The test set stays sealed. Without `space` the usual ranges of the registry are
    searched. Settings are compared by their validation loss. The best network is kept in the folder as `model.luthier`.

    Raises InputError for what cannot be used, and for a problem described anew beside a run.
    """
    asked = TuneConfig.of(config, target=target, **with_test_file(options))
    return tune_table_as_asked(source, space, asked, screen or quiet_search_screen(asked.verbose))


def tune_table_as_asked(
    source: Any,
    space: Mapping[str, Any] | str | Path | Space | None,
    config: TuneConfig,
    screen: SearchScreen,
    *,
    keeps: bool = False,
) -> Study:
    """The same for a request; a run of no name is kept in `runs`, or lies in a temporary folder."""
    if config.track:
        from luthier.runs.tracking import TrackedSearch, tracker_for

        screen = TrackedSearch(screen, tracker_for(config.track))
    before = _run_of(source)
    if before is None:
        base: Mapping[str, Any] = {}
        asked = kept_for("tune RUN", _described(source, config))
        read = read_as_asked(source, asked)
    else:
        _refuse_another_problem(before, config)
        base, (asked, read) = _base_of(before), reread(before, "tune RUN")
        asked = asked.model_copy(update={"base": str(before.path.resolve())})  # whose sealed rows stay sealed
    asked = asked.model_copy(update={"target": read.task.target, "budget": config.budget})
    search_seed = config.seed if "seed" in config.given() else asked.seed
    effort = effort_for(config, DEFAULT_TRIALS if not config.budget else None, seed=search_seed)
    if space is not None:
        space = space_from(space, taken=REGISTRY)
    name = default_name(source, read.source) if before is None else Path(read.source.name).stem
    folder = new_folder(config, f"{name}-tuned", keeps=keeps)
    if before is not None and not asked.source:
        shutil.copyfile(before.source, folder.source)
    elif not asked.source:
        keep_source(folder, read.source)
    if before is None:
        asked = keep_test(folder, asked)
    how = {
        "on": config.on,
        "workers": config.workers,
        "device": config.device if config.device == AUTO else str(resolve(config.device)),
        "storage": config.storage,
        "study": config.study,
        "epochs": config.epochs,
        "inputs": base.get("inputs", "standardise"),
        "defaults": base.get("defaults", {}),
    }
    facts = {"kind": SEARCH, "options": how, "search": _said(space, effort)}
    walk = _walk(asked, read, folder, screen, effort, facts=facts, registered=registered(config, keeps=keeps))
    with put_back_if_refused(folder, unless=["journal.jsonl"], whole=True):
        return _tune_table(walk, screen, space, effort, how)


def _described(source: Any, config: TuneConfig) -> RunRequest:
    """A table's problem, as a search is asked about it."""
    described = {name: getattr(config, name) for name in (*DataConfig.model_fields, "seed", "memory")}
    described["test"] = described["test"] and name_of(described["test"])
    described["costs"] = costs_as_text(config.costs)
    return RunRequest.of(None, **described, source=name_of(source))


def resume_search(
    run: str | Path, *, on: str = "local", storage: str | None = None, screen: SearchScreen | None = None
) -> Study:
    """Go on with a search on a table that was stopped: the same trials, the same numbers.

    A cluster and a storage that the search was `on` and wrote to are named again: its folder records them, but a
    file does not choose where this machine connects to. InputError where they differ.
    """
    folder = open_one(run)
    if folder.kind != SEARCH or "options" not in (facts := folder.search_facts()):
        raise InputError(
            Message("'{run}' is not a search on a table", run=run), remedy="start one with luthier tune SOURCE"
        )
    _require_named(folder, "--on", on)
    _require_named(folder, "--storage", storage)
    asked, read = reread(folder, "resume SEARCH")
    with fitting_together(folder.path):
        told: dict[str, Any] = {**facts["search"]}
        effort, kept = Effort(**told["effort"]), told["space"]
        space = space_from({**kept["dimensions"], **kept["fixed"]}) if kept else None
        options = {**facts["options"], "workers": min(facts["options"]["workers"] or cores(), cores())}
        noted = {"kind": SEARCH, "options": options, "search": _said(space, effort)}
        known, shown = is_registered(facts.get("registered", False), folder.path), screen or SearchScreen()
        walk = _walk(asked, read, folder, shown, effort, facts=noted, resumed=True, registered=known)
        return _tune_table(walk, shown, space, effort, options)


def _require_named(folder: RunFolder, option: str, named: str | None) -> None:
    recorded = dict(folder.search_facts()["options"])[option.removeprefix("--")]
    if named != recorded:
        message = f"{option} {recorded}" if recorded else Message("no {option}", option=option)
        raise InputError(
            Message("the search in '{path}' records {message}", path=folder.path, message=message),
            expected="the same on the command line: a file does not choose where this machine connects to",
            received=f"{option} {named}" if named else Message("no {option}", option=option),
            remedy=Message("luthier resume {path} {message}, if you trust it", path=folder.path, message=message)
            if recorded
            else "leave it out",
        )


def _walk(
    asked: RunRequest, read: LoadedData, folder: RunFolder, screen: SearchScreen, effort: Effort, **more: Any
) -> Run:
    """The walk of a search, which goes no farther than the data; `more` are other fields of `Run`."""
    return Run(
        asked=asked,
        read=read,
        folder=folder,
        recipe=Recipe(asked=asked),
        budget_clock=BudgetClock(Budget(seconds=effort.seconds), WallClock()),
        listen=screen.record,
        tell=lambda name, /, **facts: None,
        **more,
    )


def _tune_table(
    walk: Run, screen: SearchScreen, space: Space | None, effort: Effort, options: Mapping[str, Any]
) -> Study:
    folder, asked = walk.folder, walk.asked
    _, runner = walk.start()
    work = runner.problem
    if not work.data.encoder.dense:
        raise InputError(
            Message("'{name}' holds {medium}", name=walk.read.source.name, medium=work.medium),
            expected="a table; the search covers dense networks",
            remedy="search over your own module with luthier.tune, or leave a text column out with --column "
            "NAME=identifier",
        )
    _, training, validation = work.prepared(options["inputs"])
    width = first_width(len(training), input_count(work.data.encoder, training.numbers.shape[1]), work.outputs)
    width = min((16, 32, 64, 128, 256), key=lambda units: abs(units - width))
    base, numbers = work.spec(options["inputs"], (width,)), work.data.training.numbers.shape[1]
    networks = DenseNetworks(training, validation, work.loss, base, numbers=numbers, seed=asked.seed)
    space = space or _usual(width, options["defaults"])
    effort = replace(effort, epochs=options["epochs"] or _epochs(len(training)))
    folder.update_facts(search=_said(space, effort))
    device = next((name for name in (options.get("device", AUTO), asked.device) if is_there(name)), AUTO)
    memory = work.data.memory_beside(effort.memory or default_memory())
    name = options["study"] or folder.path.name
    place = Place(options["on"], options["workers"], options["storage"], name, device, memory)

    def deliver(study: Study) -> None:  # the best network as the run's model, where one was refitted
        if study.outcome.states:
            net = study.module()
            assert isinstance(net, DenseNet)
            measured = {"validation loss": study.value, "setting": study.best}
            replace(as_model(work, [net], [1.0], options["inputs"]), metrics=measured).save(folder.bundle)

    return run_search(networks, space, effort, folder, place, screen, deliver)


def _usual(width: int, defaults: Mapping[str, Any]) -> Space:
    """The usual space of a table, its default at the first architecture's width or at a run's setting."""
    described: dict[str, Dimension | None] = {}
    for name in TABLE_SPACE:
        usual, wanted = REGISTRY[name].usual, {"width": width, **defaults}.get(name)
        if wanted is not None and isinstance(usual, Choice):
            usual = replace(usual, options=tuple(dict.fromkeys([*usual.options, wanted])), default=wanted)
        elif isinstance(usual, Number) and wanted is not None and usual.low <= wanted <= usual.high:
            usual = replace(usual, default=wanted)
        described[name] = usual
    return space_from(described)


def _run_of(source: Any) -> RunFolder | None:
    """The run whose problem is searched, where a run's folder is given in place of a table."""
    if isinstance(source, str | Path) and (Path(source) / "run.json").exists():
        return open_fit(source, searched=f"continue it: luthier resume {source}")
    return None


def _refuse_another_problem(run: RunFolder, config: TuneConfig) -> None:
    """InputError where a run is to be searched, and its problem is described beside it."""
    fields = DataConfig.model_fields.items()
    if described := [flag_of(name, field) for name, field in fields if name in config.given()]:
        template = "{described}: '{path}' is searched under what that run was asked for"
        raise InputError(
            Message(template, described=", ".join(described), path=run.path),
            remedy="leave it out, or name the table in place of the run",
        )


def _base_of(folder: RunFolder) -> Mapping[str, Any]:
    """The best setting of a run, once it is finished: its way of preparing inputs, and defaults of the space."""
    known = Result(folder).judgement.trials if folder.scores.exists() else []
    trials = [trial for trial in known if trial.validation_loss == trial.validation_loss]
    best = min(trials, key=lambda trial: trial.validation_loss, default=None)
    defaults = {}
    if best is not None:
        names = ("learning_rate", "rule", "width", "depth", "schedule")
        defaults = {name: getattr(best, name) for name in names} | {"dropout": max(best.dropout, default=0.0)}
        defaults["batch_norm"] = best.norm == "batch"
    return {"inputs": best.inputs if best else "standardise", "defaults": defaults}


def _epochs(rows: int) -> int:
    """Epochs of a trial where none are asked for: about 1,500 steps of 64 rows, between 10 and 60."""
    return max(10, min(60, round(1500 * 64 / rows)))


def _said(space: Space | None, effort: Effort) -> JsonObject:
    """A search as its run.json has it; the usual space is worked out later, from the table."""
    return {"space": None if space is None else space.to_json(), "effort": effort.to_json()}

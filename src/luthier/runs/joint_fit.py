"""Several targets that share their networks: one run trains them all, then a run for each target delivers its head."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from luthier.data import Task
from luthier.engine.members.devices import AUTO, resolve
from luthier.errors import InputError, LuthierError, TerminatedError
from luthier.messages import Message, tr
from luthier.recipe import Budget, LoadedData, Recipe, Run, read_as_asked, read_ledger, recipe_from
from luthier.recipe.preparing.joint_targets import JointTargets
from luthier.recipe.rows.parts import Parts, parts_of
from luthier.recipe.steps.shared_networks import SharedNetworks
from luthier.report import write_overview
from luthier.request import FitConfig, RunRequest, flag_of
from luthier.runs.calls import Call, registered
from luthier.runs.requested import request
from luthier.runs.result import Result
from luthier.saved import RunFolder

TRAINING = 0.7  # of a budget of time: the rest is for what each target has of its own, baselines first
FEWEST = 2  # rows of a part that have a target
SHORTEST = 0.001  # seconds of a share: a budget is said in thousandths
NAMED = ("task", "order", "metric", "costs", "positive")  # said of each target by its name


def can_share(source: Any, names: Sequence[str], config: FitConfig, each: Sequence[tuple[LoadedData, Parts]]) -> bool:
    """Whether networks of all targets are trained: of cells of a table in memory, of one value each,
    where nobody asked for separate ones.

    InputError for targets that cannot share them.
    """
    dense = all(parts.encoder.dense for _, parts in each)
    labels = any(read.task.traits.is_labels for read, _ in each)
    if config.separate or labels or not dense or any(read.source.whole is not None for read, _ in each):
        return False
    asked = _asked_of_all(source, names, config)
    tasks = [read.task for read, _ in each]
    parts = parts_of(read_as_asked(source, asked, tasks), asked)
    _require_in_each_part(tasks, parts)
    opened = parts.training.joined(parts.validation)
    JointTargets.fit(tasks, opened.targets, opened.weights)
    return True


def _require_in_each_part(tasks: Sequence[Task], parts: Parts) -> None:
    """InputError for a target that no row of a part has, or hardly one, such as one that is not known yet of the latest
    rows: its networks could not be chosen, or not be scored."""
    for task in tasks:
        for name, frame in parts.frames.items():
            known = frame.height - frame[task.target].null_count()
            if frame.height and known < FEWEST:
                raise InputError(
                    Message("too few rows of a part have the target `{target}`", target=task.target),
                    expected=Message("at least {count}", count=FEWEST),
                    received=f"{tr(name)}: {known}",
                    remedy=Message("leave it out, or fit each target by itself with --separate"),
                )


def fit_jointly(folder: RunFolder, config: FitConfig, call: Call, device: str) -> dict[str, LuthierError]:
    """Train the networks of all targets, or continue them, and deliver each target that is left.

    Returns those that could not be, and why.
    """
    facts = folder.several_facts()
    left = [target for target, place in facts["folders"].items() if not _is_done(RunFolder(folder.path / place))]
    if not left:
        return {}
    names, source = list(facts["folders"]), facts["source"]
    call.screen.event("target", name=", ".join(names))
    training = call.again()
    walk = _training(source, folder.path / facts["networks"], names, config, training, device)
    status = training.finish(walk).folder.trained_facts()["status"]
    write_overview(folder.path)
    if status == "cut" or walk.trained is None:
        return {}
    trained = walk.trained

    def deliver(target: str, each: Call) -> Result:
        path = folder.path / facts["folders"][target]
        return each.finish(_delivering(trained, source, path, target, config, each))

    return one_by_one(folder, left, call, deliver)


def one_by_one(
    folder: RunFolder, targets: Iterable[str], call: Call, fit: Callable[[str, Call], Result]
) -> dict[str, LuthierError]:
    """Fit one target after another, until the user wants to stop. Returns those that could not be, and why."""
    failed = dict[str, LuthierError]()
    for target in targets:
        call.screen.event("target", name=target)
        result = None
        try:
            result = fit(target, call.again())
        except TerminatedError:
            raise
        except LuthierError as error:
            failed[target] = error  # the others are not to blame
        write_overview(folder.path)
        if result is not None and result.folder.trained_facts()["status"] == "cut":
            break  # what is left can be resumed
    return failed


def _training(source: str, path: Path, names: Sequence[str], config: FitConfig, call: Call, device: str) -> Run:
    tasks = [read_as_asked(source, request(source, alone(config, target, names))).task for target in names]
    asked = _asked_of_all(source, names, config)
    return _walk(call, asked, read_as_asked(source, asked, tasks), path, device, registered=False)


def _delivering(trained: SharedNetworks, source: str, path: Path, target: str, config: FitConfig, call: Call) -> Run:
    names = trained.runner.problem.asked.heads
    budget = Budget.parse(config.budget)
    if budget.seconds is not None:
        budget = share_of(replace(budget, seconds=(1 - TRAINING) * budget.seconds), len(names))
    one = alone(config, target, names).model_copy(update={"budget": str(budget)})
    asked = request(source, one).model_copy(update={"heads": tuple(names)})
    own = trained.prepare(read_as_asked(source, asked), RunFolder(path))
    return _walk(call, asked, own, path, AUTO, registered=registered(config, call.keeps), shared=trained)


def _walk(call: Call, asked: RunRequest, read: LoadedData, path: Path, device: str, **more: Any) -> Run:
    """A run in a folder right below that of all targets: a new one, or the one that was begun there."""
    folder, resumed = RunFolder(path), (path / "run.json").exists()
    path.mkdir(parents=True, exist_ok=True)
    recipe = recipe_from(asked, read_ledger(folder.ledger)) if resumed else Recipe(asked=asked)
    elsewhere = "" if device == AUTO else str(resolve(device))
    limit = Budget.parse(asked.budget)
    return call.walk(asked, read, folder, recipe, limit, resumed=resumed, elsewhere=elsewhere, **more)


def _is_done(folder: RunFolder) -> bool:
    return (folder.path / "run.json").exists() and folder.trained_facts()["status"] == "done"


def _asked_of_all(source: Any, names: Sequence[str], config: FitConfig) -> RunRequest:
    """The request for networks of all targets: the first one splits the rows."""
    whole = Budget.parse(config.budget) if config.budget else Budget(seconds=300.0)
    budget = whole if whole.seconds is None else replace(whole, seconds=TRAINING * whole.seconds)
    defaults = {name: FitConfig.model_fields[name].default for name in NAMED}
    one = alone(config, names[0], names).model_copy(update={**defaults, "budget": str(budget)})
    metrics = tuple(_said_of(target, str(config.metric)) for target in names)
    return request(source, one).model_copy(update={"heads": tuple(names), "head_metrics": metrics})


def alone(config: FitConfig, target: str, names: Sequence[str]) -> FitConfig:
    """The request for one of the targets: the others are beside it, and what is said of it counts."""
    others = tuple(name for name in names if name != target)
    said = {name: _said_of(target, str(getattr(config, name))) for name in NAMED if getattr(config, name)}
    defaults = {name: said[name] or FitConfig.model_fields[name].default for name in said}
    return config.model_copy(update={"target": target, "beside": (*config.beside, *others), **defaults})


def require_named(config: FitConfig, names: Sequence[str]) -> None:
    """InputError for an option of one target that does not say of which."""
    for name in NAMED:
        for part in filter(None, str(getattr(config, name) or "").split(";")):
            target, equals, value = part.partition("=")
            if not (equals and value and target.strip() in names):
                flag = flag_of(name, FitConfig.model_fields[name])
                raise InputError(
                    Message("{flag} {part}: it is not said of which target", flag=flag, part=part),
                    expected=Message("{flag} {target}=VALUE, with ; between several", flag=flag, target=names[-1]),
                    remedy=Message("the targets are {names}", names=", ".join(names)),
                )


def _said_of(target: str, text: str) -> str:
    """What an option says of one target, empty where it says nothing.

    >>> _said_of("sold", "price=mae;sold=auc,log-loss")
    'auc,log-loss'
    """
    parts = (part.partition("=") for part in text.split(";"))
    return next((value.strip() for name, _, value in parts if name.strip() == target), "")


def share_of(whole: Budget, count: int) -> Budget:
    """An equal share of a budget."""
    if whole.seconds is not None:
        return replace(whole, seconds=max(SHORTEST, round(whole.seconds / count, 3)))
    return replace(whole, steps=max(1, (whole.steps or 0) // count))


def free_name(name: str, taken: Iterable[str]) -> str:
    """A folder's name that is not taken.

    >>> free_name("networks", ["price", "Networks"])
    'networks-2'
    """
    known, number, free = {one.lower() for one in taken}, 1, name
    while free.lower() in known:
        number += 1
        free = f"{name}-{number}"
    return free

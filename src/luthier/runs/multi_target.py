"""Several targets of one table: networks that all share, a run for each under one folder, one table of predictions.

Networks have a head for each target and learn from all rows that have one (`luthier.runs.joint_fit`); each target keeps
an ensemble, a seal, a score and a report of its own. With `separate` each has networks of its own too
(docs/decisions/0008). No run sees the other targets as columns.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl
from typing_extensions import Unpack

from luthier.data import read_source
from luthier.data.sources import default_name
from luthier.engine.members.devices import AUTO, is_there
from luthier.errors import ConfigError, InputError, LuthierError, in_a_line, nearest
from luthier.messages import Message
from luthier.recipe import Budget, Clock, LoadedData, read_as_asked
from luthier.recipe.rows.parts import Parts, parts_of
from luthier.report import write_overview
from luthier.request import FitConfig, ShownSection, flag_of, option_of
from luthier.request_types import ShownOptions
from luthier.runs.calls import Call, new_folder, registered
from luthier.runs.continuing import resume_as_asked
from luthier.runs.fitting import new_run
from luthier.runs.joint_fit import NAMED, alone, can_share, fit_jointly, free_name, one_by_one, require_named, share_of
from luthier.runs.own_rows import keep_source, keep_test_file
from luthier.runs.relocating import name_of
from luthier.runs.requested import default_budget, request
from luthier.runs.result import Result
from luthier.runs.screen import Screen
from luthier.saved import SEVERAL, RunFolder, finished_in, open_run, put_back_if_refused, replaces, settle, timestamp
from luthier.saved.predict import load_all
from luthier.untrusted import REMEDY, validated

ALONE = {name: field for name, field in FitConfig.model_fields.items() if option_of(field).alone and name not in NAMED}
SHARED = [
    name
    for name in FitConfig.model_fields
    if name not in (*ALONE, "target", "run", "replace", "verbose", "track")  # those say it of the whole, or once
]


class MultiTargetResult:
    """The runs of several targets, by target: `found["price"]` is an ordinary Result."""

    def __init__(self, path: str | Path) -> None:
        self.folder = open_run(path)
        if self.folder.kind != SEVERAL:
            raise InputError(
                Message("'{path}' is a run with one target", path=path), remedy="luthier.load(path), or Result(folder)"
            )
        self._folders = self.folder.several_facts()["folders"]

    @property
    def path(self) -> Path:
        """The folder that holds the runs."""
        return self.folder.path

    @property
    def targets(self) -> tuple[str, ...]:
        """The targets, in the order that was asked for."""
        return tuple(self._folders)

    def __getitem__(self, target: str) -> Result:
        if target not in self._folders:
            raise InputError(
                Message("there is no target `{target}`", target=target),
                expected=Message("one of {names}", names=", ".join(self.targets)),
            )
        return Result(open_run(self.path / self._folders[target]))

    def predict(self, rows: Any) -> pl.DataFrame:
        """A column of predictions for each target that has a model; InputError where none has."""
        models = load_all(self.path)
        styles = {name: style for model in models.values() for name, style in model.styles.items()}
        frame = read_source(rows, styles=styles).frame
        return pl.DataFrame({target: model.predict(frame) for target, model in models.items()})

    def resume(
        self,
        *,
        device: str = AUTO,
        screen: Screen | None = None,
        clock: Clock | None = None,
        **options: Unpack[ShownOptions],
    ) -> MultiTargetResult:
        """Continue what was stopped, as `luthier.resume` continues a run with one target."""
        call = Call.begun(ShownSection.of(None, **options), screen, clock)
        return resume_several_as_asked(self.path, call, device=device)

    def report(self) -> Path:
        """Write the overview again and return its path."""
        return write_overview(self.path)

    def __repr__(self) -> str:
        done = finished_in(self.path)
        return "\n".join(
            f"{target}: {self[target].judgement.sentence if target in done else 'not finished'}"
            for target in self.targets
        )


def fit_several_as_asked(source: Any, targets: Sequence[str], config: FitConfig, call: Call) -> MultiTargetResult:
    """`luthier.fit` of several targets, for a request that is checked whole before anything is trained."""
    if alone := [flag_of(name, field) for name, field in ALONE.items() if name in config.given()]:
        template = "{names} works with one target only" if len(alone) == 1 else "{names} work with one target only"
        message = Message(template, names=", ".join(alone))
        raise InputError(message, remedy="fit that target alone, or name its run")
    names = list(dict.fromkeys(targets))
    result = read_source(source, target=names[0] if names else None, memory=config.memory)
    for name in names:
        if name not in result.frame.columns:
            raise InputError(
                Message("there is no column `{name}` to predict", name=name),
                expected=Message("one of {names}", names=", ".join(result.frame.columns[:12])),
                remedy=nearest(name, result.frame.columns) or "check the spelling",
            )
    if len(names) < 2:
        raise InputError(
            "these are not several different targets",
            received=", ".join(names) or "none",
            remedy="name one target as text, target='price', or several different ones",
        )
    whole = Budget.parse(config.budget) if config.budget else default_budget(source)
    require_named(config, names)
    each = config.model_copy(update={"budget": str(share_of(whole, len(names)))})
    rows = result.frame if not name_of(source) else source
    together = can_share(rows, names, config, _check_all(rows, names, each))
    config = config.model_copy(update={"budget": str(whole)}) if together else each
    folder = new_folder(config, default_name(source, result), call.keeps)
    if not (kept := name_of(source)):
        keep_source(folder, result)
        kept = str(folder.source)
    config = config.model_copy(update={"test": keep_test_file(folder, name_of(config.test) if config.test else "")})
    folders = _folders(names)
    options = config.model_dump(mode="json", include={name for name in SHARED if name in config.given()})
    facts = {
        "kind": SEVERAL,
        "name": folder.path.name,
        "created": timestamp(),
        "source": kept,
        "folders": folders,
        **({"networks": free_name("networks", folders.values())} if together else {}),
        "budget": config.budget,
        "options": {**options, "registered": registered(config, call.keeps)},
    }
    folder.write_facts(facts)
    parts = [f"{one}/run.json" for one in (*folders.values(), facts.get("networks", "networks"))]
    with put_back_if_refused(folder, unless=parts if replaces(folder.path) else ["run.json"]):
        return _walk(folder, call)


def _check_all(source: Any, names: Sequence[str], config: FitConfig) -> list[tuple[LoadedData, Parts]]:
    """Each target's rows in their parts. InputError, with a reason for each of them, where targets cannot be predicted
    from this table."""
    wrong: dict[str, InputError] = {}
    result = []
    for target in names:
        one = request(source, alone(config, target, names))
        try:
            read = read_as_asked(source, one)
            result.append((read, parts_of(read, one)))
        except InputError as error:
            wrong[target] = error
    if wrong:
        raise _refused(wrong, len(names), "cannot be predicted", "leave them out, or mend them; nothing was trained")
    return result


def _refused(wrong: Mapping[str, LuthierError], count: int, what: str, remedy: str) -> InputError:
    reasons = "; ".join(f"`{target}`: {_in_full(error)}" for target, error in wrong.items())
    return InputError(
        Message("{count} of {targets} targets {what}", count=len(wrong), targets=count, what=what),
        received=reasons,
        remedy=remedy,
    )


def _in_full(error: LuthierError) -> str:
    """What an error says, what was expected and what came, without a break."""
    if isinstance(error, ConfigError):
        return in_a_line(error)
    return ", ".join(line.strip() for line in str(error).splitlines() if line.strip())


def resume_several_as_asked(run: str | Path, call: Call, *, device: str = AUTO) -> MultiTargetResult:
    """Continue the target that was under way, and walk those that are left."""
    return _walk(open_run(run), call, device)


def _walk(folder: RunFolder, call: Call, device: str = AUTO) -> MultiTargetResult:
    facts, shared = folder.several_facts(), _shared(folder)
    names = list(facts["folders"])

    def fit(target: str, each: Call) -> Result:
        path = folder.path / facts["folders"][target]
        if (path / "run.json").exists():
            return resume_as_asked(path, each, device=device)
        there = next((name for name in (device, shared.device) if is_there(name)), AUTO)
        one = alone(shared, target, names).model_copy(update={"run": str(path), "device": there})
        return each.finish(new_run(facts["source"], one, each))

    together = "networks" in facts
    failed = fit_jointly(folder, shared, call, device) if together else one_by_one(folder, names, call, fit)
    if failed:
        template = "what is finished serves: luthier predict {path} FILE; luthier resume tries the rest again"
        remedy = Message(template, path=folder.path)
        raise _refused(failed, len(names), "could not be fitted", remedy)
    settle(folder.path)
    return MultiTargetResult(folder.path)


def _shared(folder: RunFolder) -> FitConfig:
    """What all targets are fitted with.

    It stands in a file that a stranger may have written, so nothing else is taken from there: no folder to write to,
    and no backbone, which is code.
    """
    facts, where = folder.several_facts(), Message("'{path}', options,", path=folder.path / "run.json")
    options = {name: value for name, value in facts["options"].items() if value is not None}
    result: FitConfig = validated(FitConfig, {**options, "budget": facts["budget"]}, where)
    if others := [name for name in result.given() if name not in SHARED]:
        raise InputError(
            Message("{where} names {names}", where=where, names=", ".join(others)),
            expected="options of several targets",
            remedy=REMEDY,
        )
    return result


def _folders(names: Sequence[str]) -> dict[str, str]:
    """A folder name for each target: its letters and digits, numbered where two would be the same."""
    result: dict[str, str] = {}
    for name in names:
        result[name] = free_name(re.sub(r"[^\w-]+", "-", name).strip("-") or "target", result.values())
    return result

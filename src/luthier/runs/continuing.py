"""`luthier.resume` and `luthier.branch`: a run goes on, or a new one begins at a step of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from typing_extensions import Unpack

from luthier.assess.register import is_registered
from luthier.engine.members.devices import AUTO, resolve
from luthier.errors import InputError
from luthier.messages import Message
from luthier.recipe import (
    Budget,
    Clock,
    asked_of,
    check_way_back,
    copy_memory,
    kept_for,
    openings,
    read_ledger,
    read_recipe,
    read_unchanged,
    recipe_from,
    reread,
)
from luthier.recipe.unsealed import require_sealed, require_unlearnt
from luthier.report import summary_lines
from luthier.request import OutputSection, RunRequest, ShownSection, TaskSection
from luthier.request_types import OutputOptions, ShownOptions
from luthier.runs.calls import Call, allow_backbone, new_folder, outcome, registered
from luthier.runs.own_rows import keep_test, with_test_file
from luthier.runs.relocating import name_of
from luthier.runs.result import Result
from luthier.runs.screen import Screen
from luthier.saved import open_fit, put_back_if_refused


def resume(
    run: str | Path,
    *,
    backbone: str = "",
    device: str = AUTO,
    screen: Screen | None = None,
    clock: Clock | None = None,
    **options: Unpack[ShownOptions],
) -> Result:
    """Continue a `run` that was stopped, by its recorded plan; a finished run is returned unchanged.

    It continues on the `device` of its plan, or on the one that is named here: what is finished is kept either way.
    A `backbone` of one's own, `module:callable`, is named again: the run's folder does not choose code. `options`
    (`until`, `verbose`, `track`), `screen` and `clock` are as for `luthier.fit`.

    Raises InputError for a folder that is not a run, and where its data have changed.
    """
    shown = ShownSection.of(None, **options)
    return resume_as_asked(run, Call.begun(shown, screen, clock), backbone=backbone, device=device)


def resume_as_asked(run: str | Path, call: Call, *, backbone: str = "", device: str = AUTO) -> Result:
    """The same for a call."""
    all_of_them = Message("continue all of them: luthier resume {run}, or MultiTargetResult('{run}').resume()", run=run)
    folder = open_fit(run, searched=f"continue it: luthier resume {run}", several=all_of_them)
    facts = folder.fit_facts()
    if facts["status"] == "done":
        lines = ["This run is already finished.", *summary_lines(folder.path)]
        call.screen.event("done", result=outcome(folder), lines=lines)
        return Result(folder)
    asked = asked_of(folder.to_continue("resume"))
    allow_backbone(asked, backbone)
    repeated = read_recipe(folder.recipe) if folder.recipe.exists() else None
    recipe = recipe_from(asked, read_ledger(folder.ledger))
    if repeated is not None and repeated.plan is not None and facts.get("repeats"):
        recipe, limit = repeated, Budget()
    else:
        limit = Budget(facts["budget"]["seconds"], facts["budget"]["steps"])
    _, read = reread(folder, "resume RUN")
    there, opened = "" if device == AUTO else str(resolve(device)), {"opened_before": facts.get("opened_before", 0)}
    known = is_registered(facts.get("registered", False), folder.path)
    more = {"elsewhere": there, "facts": opened, "registered": known}
    return call.finish(call.walk(asked, read, folder, recipe, limit, resumed=True, **more))


def branch(
    previous: str | Path,
    step: int,
    *,
    new_test: Any = None,
    again: bool = False,
    loss: Mapping[str, Any] | None = None,
    backbone: str = "",
    screen: Screen | None = None,
    clock: Clock | None = None,
    **options: Unpack[OutputOptions],
) -> Result:
    """Start from a `step` of the `previous` run, 1 to 5, in a new run that keeps the decisions before that step.

    From step 1 what a good prediction is may be said anew: `loss` holds `metric`, `costs`, `positive` or `task`, as
    `luthier.fit` takes them. The new run keeps the rows in their parts.

    If the earlier run has read its test set, further changes need a new one: `new_test` are new rows, a file or a frame
    (the old test rows then join the validation set). `again` reads the same rows once more, which the report says.
    A `backbone` of one's own is named again. `options` (`run`, `replace`, `until`, ...), `screen` and `clock` are as
    for `luthier.fit`. Raises InputError without one of the two.
    """
    output = OutputSection.of(None, **options)
    call = Call.begun(output, screen, clock)
    new_test = with_test_file({"test": new_test})["test"]
    return branch_as_asked(previous, step, output, call, WayBack(new_test, again, loss or {}, backbone))


@dataclass(frozen=True)
class WayBack:
    """What a branch does otherwise: a new test set, or the old one read `again`; what the `loss` says anew; and the
    run's own `backbone`, named again."""

    new_test: str | Path | None = None
    again: bool = False
    loss: Mapping[str, Any] = field(default_factory=dict)
    backbone: str = ""


def branch_as_asked(previous: str | Path, step: int, output: OutputSection, call: Call, changed: WayBack) -> Result:
    """The same for a request."""
    new_test, again = changed.new_test, changed.again
    before = open_fit(previous).to_continue("branch")
    if new_test is not None and again:
        raise InputError("--new-test and --again exclude each other", remedy="leave out --again: new rows are unread")
    kept = kept_for("branch RUN" if new_test is None else "branch RUN --new-test", asked_of(before))
    if again:
        require_sealed(before)
    if new_test is None:
        require_unlearnt(before)
    loss = _another_loss(kept, step, changed.loss, changed=new_test is not None)
    check_way_back(before, step, new_test=str(new_test or ""), again=again)
    allow_backbone(kept, changed.backbone)
    if new_test is not None and name_of(new_test) == asked_of(before).test and openings(before):
        raise InputError(
            Message("'{new_test}' is not a new test set: the run has read it", new_test=new_test),
            remedy="leave it out for --again",
        )
    changes = {**loss, "previous": str(before.path.resolve()), "begin_at": step}
    if new_test is not None:  # else the rows that are sealed stay so
        changes["test"] = name_of(new_test)
    asked = kept.model_copy(update=changes)
    read = read_unchanged(before, asked)
    folder = new_folder(output, f"{before.path.name}-from-{step}", call.keeps)
    with put_back_if_refused(folder):
        copy_memory(before, folder)
        if new_test is not None:
            asked = keep_test(folder, asked)
    recipe = recipe_from(asked, read_ledger(before.ledger)).model_copy(
        update={"cuts": (), "plan": None, "rounds": None}
    )
    facts = {"opened_before": 0 if new_test is not None else openings(before)}
    limit, known = Budget.parse(asked.budget), registered(output, call.keeps)
    return call.finish(call.walk(asked, read, folder, recipe, limit, facts=facts, registered=known))


def _another_loss(kept: RunRequest, step: int, loss: Mapping[str, Any], *, changed: bool) -> dict[str, object]:
    """What a run from step 1 says anew. InputError for what is of another step, and where nothing is another."""
    said = TaskSection.of(None, **loss).given()
    names = ", ".join(f"--{name}" for name in said)
    if "target" in said:
        raise InputError("another target is another run", remedy="luthier fit SOURCE --target NAME")
    if said and step > 1:
        raise InputError(
            Message("{names} is chosen at step 1", names=names),
            received=Message("--step {step}", step=step),
            remedy="--step 1",
        )
    if step == 1 and not changed and all(getattr(kept, name) == value for name, value in said.items()):
        raise InputError(
            "--step 1 with the same loss and the same rows repeats the run",
            expected="--metric, --cost, --positive or --task unlike the run's, or --new-test FILE",
            remedy="luthier rerun RUN/recipe.toml repeats it exactly",
        )
    return said if said.get("task", "ordered") == "ordered" else {**said, "order": ""}  # of levels that are none now

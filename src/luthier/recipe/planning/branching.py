"""The ways back: a run that goes on from a step of an earlier one.

What the earlier run decided before that step is taken over with its evidence; the rest is walked anew.
When the earlier run has read its test part, the new one is judged on rows that nobody has seen.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from luthier import storage
from luthier.errors import InputError
from luthier.messages import Message
from luthier.recipe.decisions.baselines_ready import BaselinesEvidence
from luthier.recipe.planning.ledger import Record, read_ledger
from luthier.records import Entry, Said, noted
from luthier.request import RunRequest
from luthier.saved import RunFolder, open_run

NEEDED = {3: "method", 4: "fitted", 5: "closed"}  # what must be known to begin at a step


def check_way_back(previous: RunFolder, step: int, *, new_test: str, again: bool) -> None:
    """InputError when a run cannot be gone on from at a step, or when its test part was read already."""
    if not 1 <= step <= 5:
        raise InputError(Message("--step {step} is not a step to start from", step=step), expected="1, 2, 3, 4 or 5")
    name = NEEDED.get(step)
    if name is not None and not (previous.checkpoint / f"{name}.json").exists():
        raise InputError(
            Message("'{path}' has not reached step {step}", path=previous.path, step=step),
            expected=Message("a run that finished step {step}", step=step - 1),
            remedy=Message("finish it first: luthier resume {path}", path=previous.path),
        )
    if openings(previous) and not new_test and not again:
        raise InputError(
            Message("the test set of '{path}' has been read", path=previous.path),
            expected="unseen rows to evaluate further changes on",
            remedy="--new-test FILE seals new rows; --again reads the same ones a second time, and the report says so",
        )


def openings(run: RunFolder) -> int:
    """How often a run's test part was read, in the runs before it too where they share it."""
    here: int = sum(record["kind"] == "opening" for record in read_ledger(run.ledger))
    return here + run.fit_facts().get("opened_before", 0)


def copy_memory(previous: RunFolder, new: RunFolder) -> None:
    """What the earlier run came to, step by step; its networks stay where they are."""
    for name in NEEDED.values():
        source = previous.checkpoint / f"{name}.json"
        if source.exists():
            with storage.explained(new.checkpoint):
                new.checkpoint.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, new.checkpoint / f"previous-{name}.json")
    if previous.source.exists():
        with storage.explained(new.source):
            shutil.copyfile(previous.source, new.source)


def take_over(asked: RunRequest) -> Said[int]:
    """Say the decisions that are taken over; returns the first step to walk."""
    if not asked.previous:
        return 1
    previous = open_run(Path(asked.previous))
    template = "the results of steps 1 to {begin_at} come from '{previous}'"
    sentence = Message(template, begin_at=asked.begin_at - 1, previous=asked.previous)
    if asked.begin_at == 1:
        sentence = Message("every step is walked anew, on the rows as '{previous}' had them", previous=asked.previous)
    yield noted(1, sentence)
    for record in read_ledger(previous.ledger):
        if _is_taken(record, asked.begin_at):
            content = {name: value for name, value in record.items() if name != "kind"}
            yield Entry(record["kind"], {**content, "taken_over": asked.previous})
    return asked.begin_at


def _is_taken(record: Record, begin_at: int) -> bool:
    predictions = record["kind"] in ("decision", "finding") and 1 <= record.get("step", 0) < begin_at
    return predictions and record.get("code") != BaselinesEvidence.code

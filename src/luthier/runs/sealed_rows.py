"""`luthier test`: the sealed test part, read once; the stored reading afterwards."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from luthier import storage
from luthier.assess import Reading, Register, Scoring, SealHistory, measure, open_test, seen_before
from luthier.recipe import Ledger, openings, predict_part, read_ledger, reread
from luthier.recipe.judging.opened_rows import write_stored_predictions
from luthier.recipe.rows.known_rows import keep_reading, record_in
from luthier.recipe.rows.parts import parts_of
from luthier.recipe.running.run_baselines import own_scale
from luthier.recipe.unsealed import require_sealed, require_unlearnt
from luthier.records import found
from luthier.report import summary_lines, write_report
from luthier.runs.belonging import require_model_of
from luthier.runs.calls import outcome
from luthier.runs.continuing import resume
from luthier.runs.result import Result
from luthier.runs.screen import Screen, quiet_screen
from luthier.saved import Model, RunFolder, open_fit, timestamp
from luthier.storage import home_folder
from luthier.task import deciding_metric, reported_metrics


def read_test(run: str | Path, *, again: bool = False, verbose: int = 0, screen: Screen | None = None) -> Result:
    """Evaluate a `run` on its sealed test set: run step 5 if it is still to come, otherwise return the stored result.

    `again` reads the test set a second time, with the same frozen model: the ledger has a line for it, and the
    report says from then on how often it was read. `verbose` and `screen` are as for
    `luthier.fit`. Raises InputError for a folder that is not a run.
    """
    screen = screen if screen is not None else quiet_screen(verbose)
    folder = open_fit(run)
    require_sealed(folder)
    if not folder.scores.exists():
        return resume(run, screen=screen)
    if again:
        require_unlearnt(folder)
        with storage.held(folder.path):
            _read_again(folder)
    lines = [
        *([] if again else ["", "The test set was read before; this is the stored result:"]),
        *summary_lines(folder.path),
    ]
    screen.event("done", result=outcome(folder), lines=lines)
    return Result(folder)


def _read_again(folder: RunFolder) -> None:
    asked, read = reread(folder, "test")
    parts = parts_of(read, asked, folder)
    sealed = parts.sealed
    ledger = Ledger.reopen(folder.ledger)
    model = Model.load(folder.bundle)
    require_model_of(read, model)
    rows = ledger.write(open_test(sealed, purpose="read again: these rows are no longer unseen"))
    kind = model.task.kind
    y, prediction = own_scale(read.task, rows), predict_part(model, rows)
    scoring = Scoring.of(rows, model.task, parts.units["test"])
    first, names = deciding_metric(asked.metric, kind), reported_metrics(asked.metric, kind)
    seen = {name: model.seen_by(name, prediction) for name in dict.fromkeys((first, *names))}
    measured = {name: measure(name, y, one, scoring, seed=asked.seed) for name, one in seen.items()}
    reading = Reading(timestamp(), measured[first], [measured[name] for name in names])
    write_stored_predictions(folder.judged, rows, parts.test_rows, prediction, read.task)
    scores, history = Result(folder).judgement, _history(folder)
    readings = [*scores.readings, reading]
    scores = replace(scores, readings=readings, seal=history, openings=history.readings)
    finding = seen_before(history)
    assert finding is not None
    ledger.add(found(5, finding))
    storage.write_json(folder.scores, scores.to_json())
    write_report(folder.path)


def _history(folder: RunFolder) -> SealHistory:
    """What is known of the test rows after one more reading, which is kept."""
    times = sum(record["kind"] == "opening" for record in read_ledger(folder.ledger))
    register = Register.opened(home_folder()) if folder.trained_facts().get("registered") else Register.none()
    record, count = record_in(folder), openings(folder)
    if record is None:  # a run of an earlier version
        return SealHistory(0, readings=count)
    history = register.history(record, own=times)
    keep_reading(folder, register, record, times)
    return replace(history, readings=max(history.readings, count))

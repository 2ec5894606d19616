"""What was known of the test rows before a run reads them."""

from __future__ import annotations

from dataclasses import replace

from luthier.assess import SealHistory
from luthier.recipe.rows.known_rows import keep_reading
from luthier.recipe.running.runner import Runner
from luthier.records import JsonObject


def history_at_opening(runner: Runner) -> SealHistory:
    """What earlier runs have done with the test rows, asked once and kept for a resumed run; the register learns of
    this reading."""
    record, before = runner.problem.data.record, runner.folder.fit_facts().get("opened_before", 0)

    def counted() -> JsonObject:
        history = runner.register.history(record, own=1)
        return replace(history, readings=max(history.readings, 1 + before)).to_json()

    history = SealHistory.from_json(runner.memo.json("history", counted))
    keep_reading(runner.folder, runner.register, record, times=1)
    return history

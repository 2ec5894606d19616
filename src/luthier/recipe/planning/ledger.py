"""The ledger: every decision with its evidence, every finding, every cut, every reading of the test set.

One JSON object a line, appended and synced. A resumed run walks the recipe again from the start
with everything expensive recalled: the records it makes on the way are compared with those that
are already there, and only new ones are written. So a resumed run cannot quietly differ from
the run it continues. Compared is what was decided, not how it is said: sentences may get better.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from luthier import storage
from luthier.errors import InputError
from luthier.messages import Message, with_messages
from luthier.recipe.decisions import evidence_of, worded
from luthier.recipe.decisions.earlier import upgraded, upgraded_plan
from luthier.recipe.planning.plan import Plan
from luthier.records import Entry, Result, Said
from luthier.saved.ledger_schemas import LedgerRecord
from luthier.untrusted import read_records, validated

Record = dict[str, Any]


class Ledger:
    """The growing record of a run.

    `listen` is called with every record, old or new, in order, in the words of the language that is spoken.
    `recorded` are the records of an earlier sitting.
    """

    def __init__(
        self, path: Path, *, listen: Callable[[Record], None] | None = None, recorded: Iterable[Record] = ()
    ) -> None:
        self.path, self._listen = path, listen
        self.records: list[Record] = []
        self._recorded = list(recorded)

    @classmethod
    def resume(cls, path: Path, *, listen: Callable[[Record], None] | None = None) -> Ledger:
        """Continue the ledger at `path`; a line that a kill cut short is dropped from the file."""
        records, good = _read(path)
        if path.exists() and path.stat().st_size != good:
            storage.write_bytes(path, path.read_bytes()[:good])
        return cls(path, listen=listen, recorded=records)

    @classmethod
    def reopen(cls, path: Path) -> Ledger:
        """The ledger of a finished run, to write more lines after its last."""
        result = cls(path)
        result.records = read_ledger(path)
        return result

    def of(self, kind: str) -> list[Record]:
        """Records of a kind so far."""
        return [record for record in self.records if record["kind"] == kind]

    def recorded(self, kind: str) -> list[Record]:
        """Records of a kind that an earlier sitting left."""
        return [record for record in self._recorded if record["kind"] == kind]

    def add(self, entry: Entry) -> Record:
        """Append an entry, or check it against the recorded one at this place."""
        line = storage.json_text({"kind": entry.kind, **with_messages(entry.content)})
        record: Record = json.loads(line)
        place = len(self.records)
        if place < len(self._recorded):
            expected = self._recorded[place]
            if _identity(expected) != _identity(record):
                template = "the run in '{parent}' cannot be continued: it would not repeat its earlier decisions"
                raise InputError(
                    Message(template, parent=self.path.parent),
                    expected=Message("line {place} of its ledger: {short}", place=place + 1, short=_short(expected)),
                    received=_short(record),
                    remedy="the data, the machine or the installed versions changed; start a new run",
                )
        else:
            storage.append_line(self.path, line, synced=entry.synced)
        self.records.append(record)
        if self._listen is not None:
            self._listen({**record, **entry.words.to_json()} if entry.words else worded(record))
        return record

    def write(self, said: Said[Result]) -> Result:
        """Append what work says while it goes on; returns what it came to."""
        while True:
            try:
                entry = next(said)
            except StopIteration as end:
                result: Result = end.value
                return result
            self.add(entry)


# What of a record a resumed run must repeat; all of it where a kind is not named.
_IDENTITY = {
    "decision": ("step", "code", "of", "choice"),
    "finding": ("step", "code", "severity"),
    "note": ("step",),
    "plan": ("plan",),
    "round": ("name", "begun"),
    "cut": ("work", "step"),
    "pieces": ("work", "sizes"),
    "judgement": ("step",),
}


def _identity(record: Record) -> Record:
    names = _IDENTITY.get(record["kind"], tuple(record))
    return {name: record.get(name) for name in ("kind", *names)}


def read_ledger(path: Path) -> list[Record]:
    """All whole records of the ledger at `path`; a line cut short by a kill is left out."""
    return _read(path)[0]


def _read(path: Path) -> tuple[list[Record], int]:
    records, good = read_records(path, LedgerRecord, "ledger")
    return [_checked(record, path, place) for place, record in enumerate(records, 1)], good


def _checked(record: Record, path: Path, place: int) -> Record:
    """A record whose evidence, or plan, is what it must be; one of an earlier version as today's have it."""
    if record["kind"] == "plan":
        if "version" not in record["plan"]:
            return {**record, "plan": upgraded_plan(record["plan"])}
        plan = validated(Plan, record["plan"], f"the ledger '{path}', line {place},")
        return {**record, "plan": plan.model_dump(mode="json")}
    if record["kind"] != "decision":
        return record
    record = record if "code" in record else upgraded(record)
    if "wording" not in record or record["code"] in ("remedy", "more-rows"):
        evidence_of(record, f"the ledger '{path}', line {place},")
    return record


def _short(record: Record) -> str:
    text = storage.json_text(record)
    return text if len(text) <= 160 else text[:157] + "..."

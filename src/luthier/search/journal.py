"""The record of a search while it runs: one line a batch of trials, appended and synced.

A search that was killed runs again from its start, and everything that stands in the journal is
recalled instead of done: the same trials, the same numbers.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from typing_extensions import TypedDict

from luthier import storage
from luthier.schema_types import OPEN, Plain, Text
from luthier.untrusted import read_records

Record = dict[str, Any]
SYNC_EVERY = 1.0  # seconds


class JournalRecord(TypedDict):
    """A line: what was done, and what came of it."""

    __pydantic_config__ = OPEN  # type: ignore[misc]
    kind: Text
    key: Text
    content: Plain


class Journal:
    """Records by key, in a file or (without a path) in memory alone. `listen` hears every record, old or new."""

    def __init__(self, path: Path | None = None, listen: Callable[[Record], None] | None = None) -> None:
        self.path, self._listen = path, listen
        self._known: dict[str, Record] = {}
        self._synced = time.monotonic()
        if path is not None and path.exists():
            records, good = read_records(path, JournalRecord, "journal")
            if path.stat().st_size != good:
                storage.write_bytes(path, path.read_bytes()[:good])  # a line that a kill cut short
            self._known = {record["key"]: record for record in records}

    def recall(self, key: str) -> Any:
        """The content under a key, or None."""
        record = self._known.get(key)
        if record is not None:
            self._hear(record)
        return None if record is None else record["content"]

    def add(self, kind: str, key: str, content: Any) -> Any:
        """Append a record of plain values; returns its content.

        The system has it at once, so that a killed search loses nothing; the disk within a second.
        """
        record = {"kind": kind, "key": key, "content": content}
        if self.path is not None:
            due = time.monotonic() >= self._synced + SYNC_EVERY
            storage.append_line(self.path, json.dumps(record, ensure_ascii=False, allow_nan=False), synced=due)
            self._synced = time.monotonic() if due else self._synced
        self._known[key] = record
        self._hear(record)
        return content

    def once(self, kind: str, key: str, compute: Callable[[], Any]) -> Any:
        """The content under a key, computed and appended where it is not known yet."""
        result = self.recall(key)
        return self.add(kind, key, compute()) if result is None else result

    def _hear(self, record: Record) -> None:
        if self._listen is not None:
            self._listen(record)

"""What a run remembers across a kill: finished pieces of work, and the state of the one under way.

A piece is known by its name. Small results are kept as JSON, weights as safetensors. The walk of
a resumed run finds the finished pieces here and computes only what is missing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

from torch import Tensor

from luthier import storage
from luthier.engine import FileCheckpoint
from luthier.engine.members.checkpoint import read_tensors, write_tensors
from luthier.schema_types import Number, Plain
from luthier.untrusted import read_json, validated

Facts = TypeVar("Facts")


class Memo:
    """The finished and unfinished pieces of work in a folder.

    `spent` tells the seconds that the run has taken; it is kept with everything that is saved, so
    that a resumed run does not get them back. Training under way is saved every 5 seconds.
    """

    def __init__(self, folder: Path, spent: Callable[[], float]) -> None:
        self.folder, self._spent = folder, spent

    def spent_before(self) -> float:
        """Seconds that earlier sittings took, up to what they saved last."""
        path = self.folder / "spent.json"
        return float(read_json(path, Number, "of a run's checkpoint")) if path.exists() else 0.0

    def _note_time(self) -> None:
        storage.write_json(self.folder / "spent.json", self._spent())

    def json(self, name: str, compute: Callable[[], Any]) -> Any:
        """The plain JSON value of a piece of work, computed once."""
        known = self.known(name)
        return self.noted(name, compute()) if known is None else known

    def known(self, name: str) -> Any:
        """The plain JSON value of a piece of work that was computed, or None."""
        path = self.folder / f"{name}.json"
        return read_json(path, Plain, "of a run's checkpoint") if path.exists() else None

    def noted(self, name: str, value: Any) -> Any:
        """The value of a piece of work as it will be recalled, and kept for that."""
        plain = json.loads(storage.json_text(value))
        storage.write_json(self.folder / f"{name}.json", plain)
        self._note_time()
        return plain

    def recalled(self, name: str) -> Any:
        """A value that an earlier run came to, copied here when this one was begun."""
        return read_json(self.folder / f"previous-{name}.json", Plain, "of a run's checkpoint")

    def keep(self, name: str, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Keep a finished piece: tensors by name, and plain facts beside them."""
        write_tensors(self.folder / f"{name}.safetensors", tensors, facts)
        (self.folder / f"{name}.partial").unlink(missing_ok=True)
        self._note_time()

    def recall(self, name: str, facts: type[Facts]) -> tuple[dict[str, Tensor], Facts] | None:
        """A finished piece, its facts of the type that they must have, or None."""
        path = self.folder / f"{name}.safetensors"
        known = read_tensors(path)
        return None if known is None else (known[0], cast("Facts", validated(facts, known[1], f"'{path}'")))

    def under_way(self, name: str) -> FileCheckpoint:
        """The saved state of training under way, for the training loop to load and save."""
        path = self.folder / f"{name}.partial"
        return FileCheckpoint(path, seconds=5.0, now=self._spent, saved=self._note_time)

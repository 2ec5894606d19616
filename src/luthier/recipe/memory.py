"""What a run remembers across a kill: finished pieces of work, and the state of the one under way.

A piece is known by its name. Small results are kept as JSON, weights as safetensors. The walk of
a resumed run finds the finished pieces here and computes only what is missing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from luthier import storage
from luthier.errors import LuthierError
from luthier.population import Snapshot


class Memory:
    """The finished and unfinished pieces of work in a folder.

    `spent` tells the seconds that the run has taken; it is kept with everything that is saved, so
    that a resumed run does not get them back. Training under way is saved every `seconds_between`.
    """

    def __init__(self, folder: Path, spent: Callable[[], float], *, seconds_between: float = 5.0) -> None:
        self.folder, self._spent, self._seconds = folder, spent, seconds_between

    def spent_before(self) -> float:
        """Seconds that earlier sittings took, up to what they saved last."""
        path = self.folder / "spent.json"
        return float(json.loads(path.read_text())) if path.exists() else 0.0

    def _note_time(self) -> None:
        storage.write_json(self.folder / "spent.json", self._spent())

    def json(self, name: str, compute: Callable[[], Any]) -> Any:
        """The plain JSON value of a piece of work, computed once."""
        path = self.folder / f"{name}.json"
        if path.exists():
            return json.loads(path.read_text())
        value = json.loads(storage.json_text(compute()))
        storage.write_json(path, value)
        self._note_time()
        return value

    def keep(self, name: str, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Keep a finished piece: tensors by name, and plain facts beside them."""
        _write(self.folder / f"{name}.safetensors", tensors, facts)
        (self.folder / f"{name}.partial").unlink(missing_ok=True)
        self._note_time()

    def recall(self, name: str) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """A finished piece, or None."""
        return _read(self.folder / f"{name}.safetensors")

    def under_way(self, name: str) -> Unfinished:
        """The saved state of training under way, for the training loop to load and save."""
        return Unfinished(self.folder / f"{name}.partial", self._spent, self._seconds, self._note_time)


class Unfinished:
    """The population loop's checkpoint file."""

    def __init__(self, path: Path, now: Callable[[], float], seconds: float, saved: Callable[[], None]) -> None:
        self._path, self._now, self._seconds, self._saved = path, now, seconds, saved
        self._last = now()

    def load(self) -> Snapshot | None:
        """The state that an earlier sitting saved, or None."""
        found = _read(self._path)
        return None if found is None else Snapshot(tensors=found[0], facts=found[1])

    def due(self) -> bool:
        """Whether enough time has passed since the last save."""
        return self._now() - self._last >= self._seconds

    def save(self, snapshot: Snapshot) -> None:
        """Replace the saved state."""
        _write(self._path, snapshot.tensors, snapshot.facts)
        self._saved()
        self._last = self._now()


def _write(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    content = {name: tensor.detach().contiguous().clone() for name, tensor in tensors.items()}
    storage.write_bytes(path, save(content, metadata={"facts": json.dumps(facts)}))


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            return {name: file.get_tensor(name) for name in file.keys()}, json.loads(metadata["facts"])  # noqa: SIM118
    except (SafetensorError, KeyError, json.JSONDecodeError) as error:
        raise LuthierError(
            f"the checkpoint '{path}' is damaged",
            received=str(error),
            remedy="delete that file and continue with --resume: that piece of work is done again",
        ) from error

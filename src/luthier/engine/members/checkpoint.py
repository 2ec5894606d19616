"""Training under way on disk: exact, whole at every moment, read without running code.

What reads files is imported when a file is read: the engine itself needs PyTorch and NumPy alone.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from luthier import storage
from luthier.engine.members.settings import Snapshot
from luthier.errors import InputError, LuthierError, in_a_line


def _nothing() -> None:
    """Nobody is told."""


class FileCheckpoint:
    """The training loop's state in one file, saved anew every so many `seconds` of `now`.

    Unless it is `synced`, a power cut may lose the file, but never leave half of it.
    """

    def __init__(
        self,
        path: Path,
        *,
        seconds: float = 10.0,
        now: Callable[[], float] = time.monotonic,
        saved: Callable[[], None] = _nothing,
        synced: bool = True,
    ) -> None:
        self._path, self._now, self._seconds, self._saved, self._synced = path, now, seconds, saved, synced
        self._last = now()

    def load(self) -> Snapshot | None:
        """The state that an earlier sitting saved, or None."""
        result = read_tensors(self._path)
        return None if result is None else Snapshot(tensors=result[0], facts=result[1])

    def due(self) -> bool:
        """Whether enough time has passed since the last save."""
        return self._now() - self._last >= self._seconds

    def save(self, snapshot: Snapshot) -> None:
        """Replace the saved state."""
        write_tensors(self._path, snapshot.tensors, snapshot.facts, synced=self._synced)
        self._saved()
        self._last = self._now()


def write_tensors(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any], *, synced: bool = True) -> None:
    """Replace a file by these tensors and plain facts."""
    from safetensors.torch import save

    content = {name: tensor.detach().contiguous().clone() for name, tensor in tensors.items()}
    storage.write_bytes(path, save(content, metadata={"facts": json.dumps(facts)}), synced=synced)


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, object]] | None:
    """The tensors and facts of a file, or None where there is none."""
    from safetensors import SafetensorError, safe_open

    from luthier.untrusted import open_plain, parse_json, validated

    try:
        open_plain(path).close()
        with safe_open(path, framework="pt") as file:
            facts = (file.metadata() or {})["facts"]
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        known: dict[str, object] = validated(
            dict[str, object], parse_json(facts.encode(), "its description", finite=False), "it"
        )
        return tensors, known
    except FileNotFoundError:
        return None
    except (SafetensorError, KeyError, ValueError, RuntimeError, OSError, InputError) as error:
        raise LuthierError(
            f"the checkpoint '{path}' is damaged",
            received=in_a_line(error),
            remedy="delete that file and continue with luthier resume: that part is trained again",
        ) from error

"""Vectors of texts and pictures that were worked out before, by the SHA-256 of what they are of: a file of each model
in the cache."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from luthier import storage

KIND = "vectors"
MOST_BYTES = 3 << 29  # of the vectors of a model that are kept; beyond it the file is begun anew
AT_ONCE = 500  # a query names at most 999 values


def not_cached(digest: str, width: int, keys: Sequence[bytes]) -> list[int]:
    """The places, of each key the last one, that the cache has no vector of."""
    places = {key: place for place, key in enumerate(keys)}
    known = _read(digest, width, list(places))
    return [place for key, place in places.items() if key not in known]


def with_cache(
    digest: str, width: int, keys: Sequence[bytes], compute: Callable[[list[int]], np.ndarray], *, keep: bool = False
) -> np.ndarray:
    """Vectors float32 [N, D] of N keys by the model of a `digest`: known ones from the cache, the others by `compute`
    from their places, each key once, and kept there where `keep` says so. A cache that cannot be read or written is
    done without."""
    known = _read(digest, width, list(dict.fromkeys(keys)))
    new = {key: place for place, key in enumerate(keys) if key not in known}
    if new:
        made = dict(zip(new, compute(list(new.values())), strict=True))
        if keep:
            _write(digest, made, MOST_BYTES // (4 * width))
        known |= made
    return np.stack([known[key] for key in keys]) if keys else np.zeros((0, width), np.float32)


def _read(digest: str, width: int, keys: list[bytes]) -> dict[bytes, np.ndarray]:
    found: dict[bytes, np.ndarray] = {}
    with contextlib.suppress(sqlite3.Error, OSError), _opened(digest) as file:
        for start in range(0, len(keys), AT_ONCE):
            some = keys[start : start + AT_ONCE]
            marks = ",".join("?" * len(some))
            for key, value in file.execute(f"SELECT key, vector FROM vectors WHERE key IN ({marks})", some):
                vector = np.frombuffer(value, np.float32) if isinstance(value, bytes) else np.zeros(0)
                if len(vector) == width and np.isfinite(vector).all():
                    found[key] = vector
    return found


def _write(digest: str, made: dict[bytes, np.ndarray], most: int) -> None:
    with contextlib.suppress(sqlite3.Error, OSError), _opened(digest) as file:
        (count,) = file.execute("SELECT count(*) FROM vectors").fetchone()
        if count + len(made) > most:
            file.execute("DELETE FROM vectors")
        rows = [(key, vector.astype(np.float32).tobytes()) for key, vector in made.items()]
        file.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?)", rows[:most])


@contextlib.contextmanager
def _opened(digest: str) -> Iterator[sqlite3.Connection]:
    folder = storage.cache_folder(KIND)
    folder.mkdir(parents=True, exist_ok=True)
    file = sqlite3.connect(folder / f"{digest[:32]}.sqlite", timeout=10)
    try:
        with file:
            file.execute("CREATE TABLE IF NOT EXISTS vectors (key BLOB PRIMARY KEY, vector BLOB)")
            yield file
    finally:
        file.close()

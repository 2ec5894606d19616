"""Vectors of texts that were worked out before, by the SHA-256 of the text: a file of each model in the cache."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256

import numpy as np

from luthier import storage

KIND = "vectors"
MOST = 1_000_000  # texts of a model that are kept; beyond it the file is begun anew
AT_ONCE = 500  # a query names at most 999 values


def not_cached(digest: str, width: int, texts: Sequence[str]) -> list[str]:
    """The texts, each once, that the cache has no vector of."""
    keys = {_key(text): text for text in texts}
    known = _read(digest, width, list(keys))
    return [text for key, text in keys.items() if key not in known]


def with_cache(
    digest: str, width: int, texts: Sequence[str], compute: Callable[[list[str]], np.ndarray], *, keep: bool = False
) -> np.ndarray:
    """Vectors float32 [N, D] of texts: known ones from the cache, the others by `compute`, each text once, and kept
    there where `keep` says so. A cache that cannot be read or written is done without."""
    keys = [_key(text) for text in texts]
    known = _read(digest, width, list(dict.fromkeys(keys)))
    new = {key: text for key, text in zip(keys, texts, strict=True) if key not in known}
    if new:
        made = dict(zip(new, compute(list(new.values())), strict=True))
        if keep:
            _write(digest, made)
        known |= made
    return np.stack([known[key] for key in keys]) if keys else np.zeros((0, width), np.float32)


def _key(text: str) -> bytes:
    return sha256(text.encode(errors="surrogatepass")).digest()


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


def _write(digest: str, made: dict[bytes, np.ndarray]) -> None:
    with contextlib.suppress(sqlite3.Error, OSError), _opened(digest) as file:
        (count,) = file.execute("SELECT count(*) FROM vectors").fetchone()
        if count + len(made) > MOST:
            file.execute("DELETE FROM vectors")
        rows = [(key, vector.astype(np.float32).tobytes()) for key, vector in made.items()]
        file.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?)", rows[:MOST])


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

"""Rows known by three fingerprints, keyed by a secret of this machine: hashes of personal rows could be guessed.

One is of all cells, one of the cells of the columns that are used, and one of cells so wide that a row written with
fewer digits is known again; all with the target. Pictures have a sketch beside them, by which they are known
again at another size or compressed. N rows, W numbers of a sketch.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from luthier.data.pictures.sketches import WIDTH, alike
from luthier.data.row_hashes import are_among
from luthier.messages import Message

BYTES = 8  # of a fingerprint
TARGET = 4  # numbers of 16 bits for a hash of the target, behind a sketch
LOOKS = WIDTH + TARGET
VEIL = 64  # bytes of a digest of BLAKE2
KEY_BYTES = 32
FIRST_BITS = 20  # of keys, which hardly two of them share


@dataclass(frozen=True, eq=False)
class Fingerprints:
    """The fingerprints of rows, uint64 [N] each: of all cells, of the used inputs, and of those written roughly. A row
    that lies near the edge of a wide cell may have others: `also` holds the rows' numbers, and such fingerprints [P]
    each; only rows that are asked about have them, not those that are kept. `looks` are sketches of pictures, and a
    hash of the target in the last four numbers, int16 [N, W + 4]; zeros where a row has none."""

    cells: np.ndarray
    inputs: np.ndarray
    near: np.ndarray
    also: tuple[np.ndarray, np.ndarray] | None = None
    looks: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.cells)

    def rows(self, which: np.ndarray) -> Fingerprints:
        """Of some rows."""
        looks = None if self.looks is None else self.looks[which]
        return Fingerprints(self.cells[which], self.inputs[which], self.near[which], looks=looks)

    def joined(self, *others: Fingerprints) -> Fingerprints:
        """With those of other rows after them."""
        every = (self, *others)
        cells, inputs = np.concatenate([one.cells for one in every]), np.concatenate([one.inputs for one in every])
        looks = None
        if any(one.looks is not None for one in every):
            shown = [np.zeros((len(one), LOOKS), np.int16) if one.looks is None else one.looks for one in every]
            looks = np.concatenate(shown)
        return Fingerprints(cells, inputs, np.concatenate([one.near for one in every]), looks=looks)

    def known_in(self, others: Fingerprints) -> np.ndarray:
        """Which rows are among others, by one of the three, or pictures by what they look like [N]."""
        result = are_among(self.cells, others.cells) | are_among(self.inputs, others.inputs)
        result |= self.looked_up(lambda keys: are_among(keys, others.near))
        return self.with_alike(result, others)

    def with_alike(self, known: np.ndarray, others: Fingerprints) -> np.ndarray:
        """Rows that are known among others [N], and besides those whose pictures look like one of the others [N]."""
        if self.looks is not None and others.looks is not None:
            unknown = np.flatnonzero(~known)
            known[unknown[self.rows(unknown).alike(others)[0]]] = True
        return known

    def alike(self, others: Fingerprints) -> tuple[np.ndarray, np.ndarray]:
        """The pairs of rows whose pictures look alike and have the same target: numbers [P] of both."""
        if self.looks is None or others.looks is None:
            return np.zeros(0, dtype=np.intp), np.zeros(0, dtype=np.intp)
        mine, theirs = alike(self.looks[:, :-TARGET], others.looks[:, :-TARGET])
        same = (self.looks[mine, -TARGET:] == others.looks[theirs, -TARGET:]).all(1)
        return mine[same], theirs[same]

    def veiled(self, secret: Secret) -> Fingerprints:
        """With sketches that only this secret unveils, which is done in the same way."""
        return self if self.looks is None else replace(self, looks=secret.veiled(self.cells, self.looks))

    def looked_up(self, of_near: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """The largest value that a function of rough fingerprints [K] has for those of each row [N]."""
        result = np.array(of_near(self.near))
        if self.also is not None:
            np.maximum.at(result, self.also[0], of_near(self.also[1]))
        return result

    @classmethod
    def none(cls) -> Fingerprints:
        """Of no rows."""
        return cls.by_keys(np.zeros(0, dtype=np.uint64))

    @classmethod
    def by_keys(cls, keys: np.ndarray) -> Fingerprints:
        """Of rows that are known by one key each [N]."""
        return cls(keys, keys, keys)


class ArrangedKeys:
    """Keys uint64 [N], arranged once to be looked for among the keys of many runs, at a cost of those alone.

    >>> arranged = ArrangedKeys(np.array([7, 8, 7], dtype=np.uint64))
    >>> arranged.are_among(np.array([7, 9], dtype=np.uint64)).tolist()
    [True, False, True]
    """

    def __init__(self, keys: np.ndarray) -> None:
        self._distinct, self._places = np.unique(keys, return_inverse=True)
        counts = np.bincount(_first_bits(self._distinct), minlength=1 << FIRST_BITS)
        self._is_there = counts > 0
        self._ends = np.cumsum(counts, dtype=np.int32)

    def are_among(self, others: np.ndarray) -> np.ndarray:
        """Which of the keys are among others [N]. Keys are evenly spread: hardly two share their first bits, by which
        most others are left out, and those that are left find their place."""
        found = np.zeros(len(self._distinct), dtype=bool)
        bits = _first_bits(others)
        which = np.flatnonzero(self._is_there.take(bits))
        others, bits = others[which], bits[which]
        at = self._ends.take(bits) - 1
        while len(at):
            is_same = self._distinct[at] == others
            found[at[is_same]] = True
            left = np.flatnonzero(~is_same & (at > 0))
            others, bits, at = others[left], bits[left], at[left] - 1
            left = _first_bits(self._distinct[at]) == bits
            others, bits, at = others[left], bits[left], at[left]
        return found[self._places] if found.any() else np.zeros(len(self._places), dtype=bool)


def _first_bits(keys: np.ndarray) -> np.ndarray:
    return (keys >> np.uint64(8 * BYTES - FIRST_BITS)).view(np.int64)


class ArrangedRows:
    """Rows [N] that are looked for among those of many runs, by the two fingerprints that are exact, and pictures by
    what they look like."""

    def __init__(self, rows: Fingerprints) -> None:
        self._rows = rows
        self._cells, self._inputs = ArrangedKeys(rows.cells), ArrangedKeys(rows.inputs)

    def are_among(self, others: Fingerprints) -> np.ndarray:
        """Which of the rows are among others [N]."""
        known = self._cells.are_among(others.cells) | self._inputs.are_among(others.inputs)
        return self._rows.with_alike(known, others)


@dataclass(frozen=True)
class Secret:
    """The key of fingerprints. Those of another key cannot be compared.

    >>> secret = Secret(bytes(32))
    >>> secret.keyed(np.array([7, 7, 8], dtype=np.uint64)).tolist() == [secret.keyed(np.uint64([7]))[0]] * 3
    False
    """

    key: bytes

    @cached_property
    def id(self) -> str:
        """What the key is called without giving it away."""
        return hashlib.blake2b(b"luthier", key=self.key, digest_size=8).hexdigest()

    def keyed(self, hashes: np.ndarray) -> np.ndarray:
        """Hashes [N] behind the key, uint64 [N]."""
        content, key = hashes.astype("<u8").tobytes(), self.key
        starts = range(0, len(content), BYTES)
        digests = [hashlib.blake2b(content[at : at + BYTES], key=key, digest_size=BYTES).digest() for at in starts]
        return np.frombuffer(b"".join(digests), dtype="<u8").astype(np.uint64)

    def veiled(self, names: np.ndarray, values: np.ndarray) -> np.ndarray:
        """Values int16 [N, W] under a veil that the key draws for each name [N] (BLAKE2 as a stream); twice is none.

        >>> names, values = np.arange(2, dtype=np.uint64), np.array([[1, 2], [3, 4]], dtype=np.int16)
        >>> Secret(bytes(32)).veiled(names, Secret(bytes(32)).veiled(names, values)).tolist()
        [[1, 2], [3, 4]]
        """
        content, width = names.astype("<u8").tobytes(), 2 * values.shape[1]
        blocks = [bytes([block]) * 8 for block in range(-(-width // VEIL))]
        veils = bytearray()
        for at in range(0, len(content), BYTES):
            name = content[at : at + BYTES]
            veil = b"".join(hashlib.blake2b(name + block, key=self.key, person=b"sketch").digest() for block in blocks)
            veils += veil[:width]
        return np.asarray(values ^ np.frombuffer(veils, dtype="<i2").reshape(values.shape).astype(np.int16))


def secret_of(home: Path, *, make: bool) -> tuple[Secret, str]:
    """The secret that is kept in a folder, made where there is none and `make` is wanted.

    Where it cannot be kept or read it is one of this process alone, and the text says why.
    """
    path = home / "secret"
    try:
        if make and not path.exists():
            home.mkdir(parents=True, exist_ok=True, mode=0o700)
            _write_once(path, secrets.token_bytes(KEY_BYTES))
        key = path.read_bytes()
    except FileNotFoundError:
        return Secret(_OWN), ""
    except OSError as error:
        return Secret(_OWN), Message(
            "'{home}' cannot be written ({lower})", home=home, lower=(error.strerror or str(error)).lower()
        )
    if len(key) != KEY_BYTES:
        return Secret(_OWN), Message(
            "'{path}' is damaged: {count} bytes in place of {key_bytes}", path=path, count=len(key), key_bytes=KEY_BYTES
        )
    return Secret(key), ""


_OWN = secrets.token_bytes(KEY_BYTES)


def _write_once(path: Path, content: bytes) -> None:
    """A file that nobody else can read; where two processes make it at the same time, the first one's stays."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.link(temporary, path)
    except FileExistsError:
        pass
    finally:
        temporary.unlink(missing_ok=True)

"""Encoded rows on the disk: inputs, targets and weights of a table that does not fit into memory.

They are files of plain numbers, row after row, read in blocks; the folder has its name only when it is whole.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import torch
from torch import Tensor

from luthier import storage
from luthier.data.pieces import rows_of
from luthier.rows import Inputs, Rows

_PARTS = {
    "numbers": np.float64,
    "codes": np.int32,
    "tokens": np.int32,
    "targets": np.float64,
    "weights": np.float32,
}


@dataclass(frozen=True)
class EncodedRows:
    """Rows in a folder: so many, of so many columns of each input. `classes` says whether targets are classes."""

    folder: Path
    rows: int
    widths: Mapping[str, int]
    classes: bool
    weighted: bool

    def __len__(self) -> int:
        return self.rows

    @property
    def row_bytes(self) -> int:
        """Bytes of a row."""
        widths = {**self.widths, "targets": 1, "weights": int(self.weighted)}
        return sum(width * np.dtype(_PARTS[name]).itemsize for name, width in widths.items())

    def read(self, start: int, stop: int) -> Rows:
        """Rows from one number up to another."""
        inputs = {name: self._part(name, start, stop - start, width) for name, width in self.widths.items()}
        inputs["codes"] = inputs["codes"].long()
        targets = self._part("targets", start, stop - start, 1)[:, 0]
        weights = self._part("weights", start, stop - start, 1)[:, 0] if self.weighted else None
        return Rows(Inputs(**inputs), targets.long() if self.classes else targets, weights)

    def blocks(self) -> Iterator[np.ndarray]:
        """The numbers of all rows, piece by piece."""
        width = self.widths["numbers"]
        size = rows_of(width)
        for start in range(0, self.rows, size):
            yield self._part("numbers", start, min(size, self.rows - start), width).numpy()

    def _part(self, name: str, start: int, rows: int, width: int) -> Tensor:
        kind = np.dtype(_PARTS[name])
        if not width:
            return torch.zeros(rows, 0)
        offset = start * width * kind.itemsize
        result = np.fromfile(self.folder / name, dtype=kind, count=rows * width, offset=offset)
        return torch.from_numpy(result.reshape(rows, width))


def encoded(folder: Path, pieces: Callable[[], Iterable[Rows]], *, classes: bool, weighted: bool) -> EncodedRows:
    """Rows kept in a folder: those that lie there already, or these pieces, written one after another."""
    known = folder / "rows.json"
    if not known.exists():
        with storage.explained(folder):
            folder.parent.mkdir(parents=True, exist_ok=True)
            temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
            try:
                _write(temporary, pieces())
                shutil.rmtree(folder, ignore_errors=True)
                temporary.rename(folder)
            except BaseException:
                shutil.rmtree(temporary, ignore_errors=True)
                raise
    facts = json.loads(known.read_text(encoding="utf-8"))
    return EncodedRows(folder, facts["rows"], facts["inputs"], classes, weighted)


def _write(folder: Path, pieces: Iterable[Rows]) -> None:
    rows, widths = 0, dict[str, int]()
    files: dict[str, IO[bytes]] = {name: (folder / name).open("wb") for name in _PARTS}
    try:
        for piece in pieces:
            rows, widths = rows + len(piece), {name: value.shape[1] for name, value in piece.inputs.items()}
            weights = {} if piece.weights is None else {"weights": piece.weights}
            for name, values in {**piece.inputs, "targets": piece.targets, **weights}.items():
                values.numpy().astype(_PARTS[name]).tofile(files[name])
    finally:
        for file in files.values():
            file.close()
    storage.write_json(folder / "rows.json", {"rows": rows, "inputs": widths})

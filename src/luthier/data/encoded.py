"""Encoded rows on the disk: numbers, codes and targets of a table that does not fit into memory.

They are files of plain numbers, row after row, read in blocks; the folder has its name only when it is whole.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import torch
from torch import Tensor

from luthier import storage
from luthier.data.pieces import CELLS, rows_of
from luthier.rows import Inputs, Rows

_PARTS = {"numbers": np.float64, "codes": np.int32, "targets": np.float64, "weights": np.float32}


@dataclass(frozen=True)
class EncodedRows:
    """Rows in a folder: so many, so many numbers and codes each. `classes` tells whether targets are classes."""

    folder: Path
    rows: int
    widths: tuple[int, int]
    classes: bool
    weighted: bool

    def __len__(self) -> int:
        return self.rows

    @property
    def row_bytes(self) -> int:
        """Bytes of a row."""
        return 8 * (self.widths[0] + 1) + 4 * (self.widths[1] + self.weighted)

    def read(self, start: int, stop: int) -> Rows:
        """Rows from one number up to another."""
        rows = stop - start
        numbers = self._part("numbers", start, rows, self.widths[0])
        codes = self._part("codes", start, rows, self.widths[1]).long()
        targets = self._part("targets", start, rows, 1)[:, 0]
        weights = self._part("weights", start, rows, 1)[:, 0] if self.weighted else None
        return Rows(Inputs(numbers=numbers, codes=codes), targets.long() if self.classes else targets, weights)

    def blocks(self) -> Iterator[np.ndarray]:
        """The numbers of all rows, piece by piece."""
        size = rows_of(self.widths[0], CELLS)
        for start in range(0, self.rows, size):
            yield self._part("numbers", start, min(size, self.rows - start), self.widths[0]).numpy()

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
    return EncodedRows(folder, facts["rows"], (facts["numbers"], facts["codes"]), classes, weighted)


def _write(folder: Path, pieces: Iterable[Rows]) -> None:
    rows, widths = 0, (0, 0)
    files: dict[str, IO[bytes]] = {name: (folder / name).open("wb") for name in _PARTS}
    try:
        for piece in pieces:
            rows, widths = rows + len(piece), (piece.numbers.shape[1], piece.codes.shape[1])
            for name, kind in _PARTS.items():
                values = getattr(piece, name)
                if values is not None:
                    values.numpy().astype(kind).tofile(files[name])
    finally:
        for file in files.values():
            file.close()
    storage.write_json(folder / "rows.json", {"rows": rows, "numbers": widths[0], "codes": widths[1]})

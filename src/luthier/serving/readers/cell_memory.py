"""A few rows as numbers and codes, without a table: for one row, making a table takes longer than the network.

Numbers are numbers already. What any other cell becomes depends on its text alone, so the encoder is asked once for
each text, and its answer is kept. The numbers and codes are those of `TableEncoder.encode`, bit for bit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
import torch

from luthier.data import Column, TableEncoder
from luthier.rows import Inputs

MOST_ROWS = 32  # rows up to which this is quicker than a table
MOST_KEPT, LONGEST_KEPT = 4096, 64  # texts of a column, and characters of one: what strangers send is not kept for ever


class FewRows:
    """The encoding of few rows of a table without columns of free text."""

    def __init__(self, encoder: TableEncoder) -> None:
        self._columns = encoder.columns
        self._cells = {column.name: _Cells(encoder, column) for column in encoder.columns if column.kind != "number"}

    def encode(self, columns: Mapping[str, Sequence[Any]], rows: int) -> Inputs:
        """Numbers float64 [N, F] and codes int64 [N, K] of rows, column by column: floats, or the text of cells."""
        numbers, codes = [], []
        for column in self._columns:
            values = columns[column.name]
            if column.kind == "number":
                numbers.append(values)
            elif column.kind == "category":
                codes.append([found[0] for found in self._cells[column.name](values)])
            else:
                numbers += zip(*self._cells[column.name](values), strict=True)
        return Inputs(
            numbers=torch.from_numpy(_block(numbers, rows, np.float64)),  # None becomes NaN
            codes=torch.from_numpy(_block(codes, rows, np.int64)),
        )


def _block(columns: Sequence[Any], rows: int, dtype: Any) -> np.ndarray:
    return np.array(columns, dtype=dtype).T.copy() if columns else np.zeros((rows, 0), dtype)


class _Cells:
    """What the cells of a column become, by their text."""

    def __init__(self, encoder: TableEncoder, column: Column) -> None:
        only = {column.name}
        self._name = column.name
        self._encoder = TableEncoder(
            (column,),
            {name: levels for name, levels in encoder.vocabularies.items() if name in only},
            {name: words for name, words in encoder.truths.items() if name in only},
        )
        self._known: dict[str | None, tuple[Any, ...]] = {}

    def __call__(self, cells: Sequence[str | None]) -> list[tuple[Any, ...]]:
        """The numbers, or the code, of each cell. InputError for one that cannot be read."""
        known = self._known
        try:
            return [known[cell] for cell in cells]
        except KeyError:
            pass
        asked = list(dict.fromkeys(cell for cell in cells if cell not in known))
        inputs = self._encoder.encode(pl.DataFrame({self._name: pl.Series(asked, dtype=pl.String)}))
        found = (inputs.codes if inputs.codes.shape[1] else inputs.numbers).tolist()
        fresh = {cell: tuple(values) for cell, values in zip(asked, found, strict=True)}
        kept = {cell: values for cell, values in fresh.items() if cell is None or len(cell) <= LONGEST_KEPT}
        self._known = kept if len(known) + len(kept) > MOST_KEPT else known | kept
        return [fresh[cell] if cell in fresh else known[cell] for cell in cells]

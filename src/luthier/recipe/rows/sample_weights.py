"""How much rows count: weights are read once, rows of weight 0 are set aside, the others scaled to a mean of 1."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from luthier.data import Source
from luthier.data.large import weightless
from luthier.data.split import FEWEST
from luthier.data.typed_columns.columns import likeliest_style
from luthier.data.typed_columns.facts import is_text
from luthier.data.typed_columns.parsing import NUMBERS, CellParser
from luthier.errors import InputError
from luthier.messages import Message

NOTHING = 1e-30  # of the mean: a weight below it changes no sum, and would be 0 in single precision


def relative(weights: np.ndarray) -> np.ndarray:
    """Weights [N] by which those above 0 have a mean of 1, however large; exactly 1 where these are alike.

    >>> relative(np.array([1e-60, 3e-60])).tolist(), relative(np.array([1e308, 0.0, 1e308])).tolist()
    ([0.5, 1.5], [1.0, 0.0, 1.0])
    """
    largest, mean = _scale_of(weights)
    return np.asarray(weights / largest / mean)


def _scale_of(weights: np.ndarray) -> tuple[float, float]:
    """The largest weight, by which all are divided first (so whole numbers times 7 are the same), and the mean then."""
    above = weights[weights > 0]
    if not len(above):
        return 1.0, 1.0
    largest = float(above.max())
    return largest, float((above / largest).mean())


@dataclass(frozen=True)
class CountedRows:
    """The rows of a table that count: those of weight 0 are set aside, which `notes` say.

    `weight` is the column of the others' weights, numbers with a mean of 1; null where a cell is not a number, which is
    refused where the row has a target. It is empty where there is no such column.
    """

    frame: pl.DataFrame
    places: np.ndarray  # of the rows in the table [N]
    weight: str = ""
    notes: tuple[str, ...] = ()
    parser: CellParser = NUMBERS
    scale: tuple[float, float] = (1.0, 1.0)  # what the weights were divided by

    @classmethod
    def of(cls, frame: pl.DataFrame, weight: str, decimal: str = "") -> CountedRows:
        """All rows of a table without such a column; `decimal` is the mark of its numbers."""
        if weight not in frame.columns:
            return cls(frame, np.arange(frame.height))
        cells = frame[weight]
        style = likeliest_style(cells, decimal) if is_text(cells.dtype) else NUMBERS.style
        parser = replace(NUMBERS, style=style, lenient=True)
        weights = parser.values(cells).cast(pl.Float64).to_numpy()  # NaN where there is none
        values = pl.Series(weight, relative(weights)).fill_nan(None)
        nothing = (values.abs() <= NOTHING).fill_null(False)
        kept = frame.with_columns(values.alias(weight)).filter(~nothing)
        notes = (weightless(int(nothing.sum()), weight),) if nothing.any() else ()
        return cls(kept, np.flatnonzero(~nothing.to_numpy()), weight, notes, parser, _scale_of(weights))

    @property
    def weights(self) -> np.ndarray | None:
        """Of all rows [N]; None where there are none. Those that are refused where their row has a target count 1."""
        if not self.weight:
            return None
        known = pl.col(self.weight)
        return self.frame.select(pl.when(known > 0).then(known).otherwise(1.0)).to_series().to_numpy()

    def on_disk(self, source: Source) -> Source:
        """The source, whose weights on the disk are on the scale of those in memory."""
        if not self.weight or source.whole is None:
            return source
        largest, mean = self.scale

        def scaled(piece: pl.DataFrame) -> pl.DataFrame:
            return piece.with_columns(self.parser.known(piece[self.weight]).cast(pl.Float64) / largest / mean)

        return replace(source, whole=replace(source.whole, others=source.whole.others.then(scaled)))


def require_weights(rows: pl.DataFrame, weight: str) -> None:
    """InputError where rows with a target have weights that cannot be used."""
    bad = ~(rows[weight] > 0).fill_null(False)
    if bad.any():
        raise InputError(
            Message("--sample-weight {weight}: this column cannot be used as sample weights", weight=weight),
            expected="a finite number of at least 0 in every row",
            received=Message("{count} rows whose weight is negative, missing or not a number", count=int(bad.sum())),
            remedy="fill or remove those rows",
        )


def require_enough(rows: int, weight: str, which: str) -> None:
    """InputError where too few rows have a weight above 0."""
    if weight and rows < FEWEST:
        template = "--sample-weight {weight}: only {rows} rows {which} a weight above 0"
        raise InputError(
            Message(template, weight=weight, rows=rows, which=which),
            expected=Message("at least {count}, so that each part gets some", count=FEWEST),
            remedy="add rows, or correct the weights",
        )


def varied(rows: pl.DataFrame, weight: str) -> str:
    """The column of weights; empty where all rows count alike.

    >>> varied(pl.DataFrame({"w": [1.0, 1.0]}), "w"), varied(pl.DataFrame({"w": [0.5, 1.5]}), "w")
    ('', 'w')
    """
    return weight if weight and rows[weight].n_unique() > 1 else ""

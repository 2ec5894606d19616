"""How much memory a row takes in a run: as it was read, split, encoded, preprocessed, and beside it in the baselines.

Estimates, from the copies that are made on the way; `benchmarks/memory.py` compares whole runs with what is allowed.
"""

from __future__ import annotations

import polars as pl

from luthier.data.columns import Column, infer_columns
from luthier.data.word_pieces import LONGEST

NUMBER = 110  # bytes of a number: three copies of 8 here, two of 4 for networks, five of 8 and some text on the way
OUTPUT = 60  # bytes of a class: of the validation rows, a fifth, each network of a run keeps an output for each class
DATE = 6  # numbers of a date
LEVELS = 100  # at most so many columns that a linear baseline makes of a category
FEWEST = 16  # rows that show what columns are
LOOKED_AT = 100  # columns, or up to twice as many, that stand for all


def row_bytes(head: pl.DataFrame, target: str | None) -> float:
    """Bytes that a row takes, from the first rows of its table.

    >>> row_bytes(pl.DataFrame({"x": [0.5 * k for k in range(99)], "y": ["a", "b", "c"] * 33}), "y")
    290.0
    """
    if head.height < FEWEST:
        return float(NUMBER * head.width)
    names = [name for name in head.columns if name != target]
    some = names[:: max(1, len(names) // LOOKED_AT)]
    columns = infer_columns(head.select(some), target="", overrides={})
    numbers = sum(_numbers(head[column.name], column) for column in columns) * len(names) / max(1, len(some))
    classes = 0
    if target in head.columns and infer_columns(head.select(target), target="", overrides={})[0].kind == "category":
        classes = head[target].n_unique()
    return float(NUMBER * max(1.0, numbers) + OUTPUT * classes)


def _numbers(cells: pl.Series, column: Column) -> float:
    """To how many numbers a cell comes."""
    if column.kind == "date":
        return DATE
    if column.kind == "category":
        return 1 + min(LEVELS, cells.n_unique()) / 2
    if column.kind == "text":  # ids of pieces, and of their pairs
        lengths = cells.cast(pl.String).str.len_chars().fill_null(0)
        return 1 + min(2 * LONGEST, float(lengths.quantile(0.98) or 0) / 2)
    return 1 if column.used else 0.5

"""How much memory a row takes in a run: as it was read, split, encoded, preprocessed, and beside it in the baselines.

Estimates, from the copies that are made on the way; `benchmarks/memory.py` compares whole runs with what is allowed.
"""

from __future__ import annotations

import polars as pl

from luthier.data.typed_columns.columns import Column, infer_columns
from luthier.data.word_pieces import LONGEST

NUMBER = 110  # bytes of a number: three copies of 8 here, two of 4 for networks, five of 8 and some text on the way
OUTPUT = 60  # bytes of a class: of the validation rows, a fifth, each network of a run keeps an output for each class
DATE = 6  # numbers of a date
VECTOR = 256  # numbers of a text's vector
LEVELS = 100  # at most so many columns that a linear baseline makes of a category
FEWEST = 16  # rows that show what columns are
LOOKED_AT = 100  # columns, or up to twice as many, that stand for all


def row_bytes(head: pl.DataFrame, target: str | None, classes: float | None = None) -> float:
    """Bytes that a row takes, from the first rows of its table, and from how many classes the target has, if known.

    >>> row_bytes(pl.DataFrame({"x": [0.5 * k for k in range(99)], "y": ["a", "b", "c"] * 33}), "y")
    290.0
    """
    if head.height < FEWEST:
        return float(NUMBER * head.width)
    names = [name for name in head.columns if name != target]
    some = names[:: max(1, len(names) // LOOKED_AT)]
    columns = infer_columns(head.select(some), target="", overrides={})
    numbers = sum(_numbers(head[column.name], column) for column in columns) * len(names) / max(1, len(some))
    if classes is None:
        classes = class_count(head[target]) if target in head.columns else 0
    return float(NUMBER * max(1.0, numbers) + OUTPUT * classes)


def class_count(cells: pl.Series) -> float:
    """How many classes a target has, of which these cells show some (Chao 1984); 0 where it is a number or a date.

    >>> class_count(pl.Series("y", ["a", "b"] * 10)), class_count(pl.Series("y", [f"c{k}" for k in range(20)])) > 100
    (2.0, True)
    >>> class_count(pl.Series("y", range(20)))
    0.0
    """
    known = cells.drop_nulls()
    if not len(known) or not known.cast(pl.Float64, strict=False).null_count():
        return 0.0
    if infer_columns(known.to_frame(), target="", overrides={})[0].kind in ("number", "date"):
        return 0.0
    counts = known.value_counts(name="rows")["rows"]
    once, twice = int((counts == 1).sum()), int((counts == 2).sum())
    return float(len(counts) + once * (once - 1) / (2 * (twice + 1)))


def _numbers(cells: pl.Series, column: Column) -> float:
    """To how many numbers a cell comes."""
    if column.kind == "date":
        return DATE
    if column.kind == "category":
        return 1 + min(LEVELS, cells.n_unique()) / 2
    if column.kind == "text":  # ids of pieces and of their pairs, and a vector
        lengths = cells.cast(pl.String).str.len_chars().fill_null(0)
        return 1 + VECTOR + min(2 * LONGEST, float(lengths.quantile(0.98) or 0) / 2)
    return 1 if column.used else 0.5

"""A table's cells as numbers and codes: the part of preprocessing that knows about columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor

from luthier.data.columns import FALSE, MOST_LEVELS, TRUE, Column
from luthier.data.word_pieces import UNKNOWN as UNKNOWN_PIECE
from luthier.data.word_pieces import Words
from luthier.errors import InputError, nearest

UNKNOWN, MISSING, FIRST_LEVEL = 0, 1, 2
DATE_PARTS = ("days", "year", "month", "day of year", "weekday", "hour")
FEWEST_ROWS = 2  # a level must occur this often in training to get a code of its own, when levels are many


@dataclass(frozen=True)
class TableEncoder:
    """How each used column becomes numbers or codes, learnt from the training rows.

    Code 0 stands for a category that training did not have, 1 for a missing one, levels follow.
    `truths` holds, for each boolean column of words, the word that counts as 1. Columns of text become ids of pieces.
    """

    columns: tuple[Column, ...]
    vocabularies: Mapping[str, tuple[str, ...]]
    truths: Mapping[str, str]
    texts: tuple[Words, ...] = ()  # one for all columns of text; their numbers come after all others

    @classmethod
    def fit(cls, frame: pl.DataFrame, columns: Sequence[Column]) -> TableEncoder:
        """Learn the levels of categories from the training rows."""
        used = tuple(column for column in columns if column.used)
        vocabularies, truths = {}, {}
        for column in used:
            if column.kind == "category":
                counts = _as_text(frame[column.name]).drop_nulls().value_counts(sort=True)
                fewest = FEWEST_ROWS if counts.height > MOST_LEVELS else 1
                levels = counts.filter(pl.col("count") >= fewest)[column.name].to_list()
                vocabularies[column.name] = tuple(sorted(levels))
            elif column.kind == "boolean" and frame[column.name].dtype == pl.String:
                words = sorted(frame[column.name].drop_nulls().unique().to_list())
                truths[column.name] = next((w for w in words if w.lower() in TRUE), words[-1] if words else "")
        written = [column.name for column in used if column.kind == "text"]
        return cls(used, vocabularies, truths, (Words.fit(frame, written),) if written else ())

    @property
    def number_names(self) -> tuple[str, ...]:
        """Names of the numbers, without those of words; a date gives several."""
        names: list[str] = []
        for column in self.columns:
            if column.kind == "date":
                names += [f"{column.name} ({part})" for part in DATE_PARTS]
            elif column.kind in ("number", "boolean"):
                names.append(column.name)
        return tuple(names)

    @property
    def category_names(self) -> tuple[str, ...]:
        """Names of the K code columns."""
        return tuple(column.name for column in self.columns if column.kind == "category")

    @property
    def words(self) -> int:
        """How many of the numbers, the last ones, are ids of words and pairs."""
        return sum(words.columns for words in self.texts)

    def places(self) -> dict[str, tuple[list[int], list[int]]]:
        """Where each used column lies: the places of its numbers, and of its codes."""
        result: dict[str, tuple[list[int], list[int]]] = {column.name: ([], []) for column in self.columns}
        number = code = 0
        for column in self.columns:
            if column.kind == "category":
                result[column.name][1].append(code)
                code += 1
            elif column.kind != "text":
                width = len(DATE_PARTS) if column.kind == "date" else 1
                result[column.name][0].extend(range(number, number + width))
                number += width
        for words in self.texts:
            result = {name: place for name, place in result.items() if name not in words.names}
            result[words.name] = list(range(number, number + words.columns)), []
            number += words.columns
        return result

    @property
    def category_sizes(self) -> tuple[int, ...]:
        """Codes of each category column, unknown and missing included."""
        return tuple(FIRST_LEVEL + len(self.vocabularies[name]) for name in self.category_names)

    def levels(self, name: str) -> list[str]:
        """What each code of a category column means: never seen, missing, and the levels of training."""
        return ["(unknown)", "(missing)", *self.vocabularies[name]]

    def truth_names(self, name: str) -> tuple[str, str]:
        """What 0 and 1 of a boolean column mean."""
        word = self.truths.get(name)
        return (f"not {word}", word) if word else ("no", "yes")

    def encode(self, frame: pl.DataFrame, *, impute_missing_columns: bool = False) -> tuple[Tensor, Tensor]:
        """Numbers float32 [N, F] and codes int64 [N, K] of a table's rows.

        Raises InputError for a column that is not there (unless it is to count as missing in every
        row) and for text where numbers were in training.
        """
        frame = self._complete(frame, impute_missing_columns)
        plain = [c for c in self.columns if c.kind not in ("category", "text")]
        known = _floats(frame, [c.name for c in plain if c.kind == "number"])
        numbers = [
            array[:, None]
            for c in plain
            for array in ([known[c.name]] if c.name in known else self._numbers(frame[c.name], c))
        ]
        numbers += [words.encode(frame) for words in self.texts]
        codes = [self._codes(frame[name]) for name in self.category_names]
        rows = frame.height
        return (
            torch.from_numpy(np.concatenate(numbers, 1) if numbers else np.zeros((rows, 0), np.float32)),
            torch.from_numpy(np.stack(codes, 1) if codes else np.zeros((rows, 0), np.int64)),
        )

    def _complete(self, frame: pl.DataFrame, impute: bool) -> pl.DataFrame:
        known = set(frame.columns)
        absent = [column.name for column in self.columns if column.name not in known]
        if not absent:
            return frame
        if impute:
            return frame.with_columns([pl.lit(None, dtype=pl.String).alias(name) for name in absent])
        hints = [f"'{name}' ({hint})" if (hint := nearest(name, frame.columns)) else f"'{name}'" for name in absent]
        raise InputError(
            f"{len(absent)} column{'s are' if len(absent) > 1 else ' is'} missing: {', '.join(hints[:8])}",
            expected="all columns that the model was trained on",
            remedy="add them, or treat them as missing values with --impute-missing-columns",
        )

    def _numbers(self, series: pl.Series, column: Column) -> list[np.ndarray]:
        if column.kind == "date":
            return _date_numbers(series, column)
        if column.kind == "boolean":
            return [self._truth(series)]
        values = _cast_number(series)
        return [values.fill_null(float("nan")).to_numpy().astype(np.float32)]

    def _truth(self, series: pl.Series) -> np.ndarray:
        if series.name in self.truths:
            word = self.truths[series.name]
            truth = (_as_text(series) == word).cast(pl.Float32)
        elif series.dtype == pl.String:
            lowered = series.str.to_lowercase()
            truth = pl.DataFrame({"x": lowered}).select(
                pl.when(pl.col("x").is_in(list(TRUE)))
                .then(1.0)
                .when(pl.col("x").is_in(list(FALSE)))
                .then(0.0)
                .otherwise(pl.col("x").cast(pl.Float64, strict=False))
            )["literal"]
        else:
            truth = series.cast(pl.Float32)
        return truth.fill_null(float("nan")).to_numpy().astype(np.float32)

    def _codes(self, series: pl.Series) -> np.ndarray:
        levels = self.vocabularies[series.name]
        text = _as_text(series)
        mapped = text.replace_strict(
            list(levels),
            list(range(FIRST_LEVEL, FIRST_LEVEL + len(levels))),
            default=UNKNOWN,
            return_dtype=pl.Int64,
        )
        return np.where(text.is_null().to_numpy(), MISSING, mapped.fill_null(UNKNOWN).to_numpy()).astype(np.int64)

    def described(self, numbers: Tensor, codes: Tensor) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """What drift is looked for in: numbers [N] and codes [N] by the names of their columns."""
        by_name = {name: numbers[:, i].numpy().astype(float) for i, name in enumerate(self.number_names)}
        for words in self.texts:
            ids = numbers[:, self.places()[words.name][0][: words.length]]
            by_name[f"{words.name} (pieces)"] = (ids > 0).sum(1).numpy().astype(float)
            by_name[f"{words.name} (unknown pieces)"] = (ids == UNKNOWN_PIECE).sum(1).numpy().astype(float)
        return by_name, {name: codes[:, k].numpy() for k, name in enumerate(self.category_names)}

    def to_json(self) -> dict[str, Any]:
        """The encoder as plain JSON values."""
        return {
            "columns": [column.to_json() for column in self.columns],
            "vocabularies": {name: list(levels) for name, levels in self.vocabularies.items()},
            "truths": dict(self.truths),
            "texts": [words.to_json() for words in self.texts],
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> TableEncoder:
        """The encoder that `to_json` gave."""
        return cls(
            tuple(Column(**column) for column in value["columns"]),
            {name: tuple(levels) for name, levels in value["vocabularies"].items()},
            dict(value["truths"]),
            tuple(Words.from_json(words) for words in value.get("texts", ())),
        )


def _as_text(series: pl.Series) -> pl.Series:
    """Category levels as text; a whole number is written the same, stored as integer or float."""
    if series.dtype.is_float() and bool((series.drop_nulls() == series.drop_nulls().round(0)).all()):
        series = series.cast(pl.Int64)
    return series.cast(pl.String)


def _cast_number(series: pl.Series) -> pl.Series:
    values = series.cast(pl.Float64, strict=False)
    lost = series.is_not_null() & values.is_null()
    if lost.any():
        raise InputError(
            f"column '{series.name}' has text, but numbers in training",
            expected="numbers",
            received=f"'{series.filter(lost)[0]}' in row {int(lost.arg_true()[0]) + 1}",
        )
    if values.is_infinite().any():
        raise _infinite(series.name)
    return values


def _floats(frame: pl.DataFrame, names: Sequence[str]) -> dict[str, np.ndarray]:
    """The columns that hold numbers of 64 bits already, together: a small table costs a call, not one a column."""
    types = frame.schema
    result = [name for name in names if types[name] == pl.Float64]
    block = frame.select(result).to_numpy() if result else np.zeros((0, 0))
    infinite = np.isinf(block).any(0)
    if infinite.any():
        raise _infinite(result[int(infinite.argmax())])
    return dict(zip(result, block.astype(np.float32).T, strict=True))


def _infinite(name: str) -> InputError:
    return InputError(f"column '{name}' has infinite values", expected="finite numbers")


def _date_numbers(series: pl.Series, column: Column) -> list[np.ndarray]:
    if series.dtype == pl.String:
        times = series.str.to_datetime(column.date_format or "%Y-%m-%d", strict=False)
        lost = series.is_not_null() & times.is_null()
        if lost.any():
            raise InputError(
                f"column '{series.name}' has values that are not in the date format of training",
                expected=f"the format {column.date_format}",
                received=f"'{series.filter(lost)[0]}'",
            )
    else:
        times = series.cast(pl.Datetime("us"))
    parts = (
        times.dt.timestamp("ms") / 86_400_000,
        times.dt.year(),
        times.dt.month(),
        times.dt.ordinal_day(),
        times.dt.weekday(),
        times.dt.hour(),
    )
    return [part.cast(pl.Float64).fill_null(float("nan")).to_numpy().astype(np.float32) for part in parts]

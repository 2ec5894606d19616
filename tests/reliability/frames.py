"""Columns and arrays of every type that pandas, Polars, Arrow and NumPy can hand in, sensible or not.

A maker takes a generator of random numbers and gives a column of ROWS cells, or a whole source.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa

ROWS = 60
Maker = Callable[[np.random.Generator], Any]
TIMES = [dt.datetime(2024, 1, 1) + dt.timedelta(hours=k) for k in range(ROWS)]
DAYS, CLOCK = [one.date() for one in TIMES], [one.time() for one in TIMES]


def whole(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(0, 9, ROWS)


def real(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=ROWS)


def words(rng: np.random.Generator) -> np.ndarray:
    return rng.choice(["u", "v", "w"], ROWS)


def lengths(rng: np.random.Generator) -> list[dt.timedelta]:
    return [dt.timedelta(hours=int(one)) for one in whole(rng)]


def decimals(rng: np.random.Generator) -> list[Decimal]:
    return [Decimal(int(one)) / 4 for one in whole(rng)]


def gaps(cells: Any, gap: Any = None) -> list[Any]:
    return [gap if k % 5 == 0 else cell for k, cell in enumerate(cells)]


def arrow(cells: Any, kind: pa.DataType) -> Any:
    return pd.array(cells, dtype=pd.ArrowDtype(kind))


PANDAS: dict[str, Maker] = {
    "Int64": lambda rng: pd.array(gaps(whole(rng)), dtype="Int64"),
    "UInt8": lambda rng: pd.array(whole(rng), dtype="UInt8"),
    "Float32": lambda rng: pd.array(real(rng), dtype="Float32"),
    "boolean": lambda rng: pd.array(gaps(bool(one % 2) for one in whole(rng)), dtype="boolean"),
    "string": lambda rng: pd.array(words(rng), dtype="string"),
    "string[pyarrow]": lambda rng: pd.array(words(rng), dtype="string[pyarrow]"),
    "category": lambda rng: pd.Categorical(words(rng)),
    "category of numbers": lambda rng: pd.Categorical(whole(rng)),
    "category of booleans": lambda rng: pd.Categorical(whole(rng) % 2 == 0),
    "category of days": lambda rng: pd.Categorical(pd.to_datetime(TIMES).normalize()),
    "interval": lambda rng: pd.cut(real(rng), 4),
    "period": lambda rng: pd.period_range("2020-01", periods=ROWS, freq="M"),
    "period of quarters": lambda rng: pd.period_range("2000Q1", periods=ROWS, freq="Q"),
    "datetime": lambda rng: pd.to_datetime(TIMES),
    "datetime with zone": lambda rng: pd.to_datetime(TIMES).tz_localize("Europe/Berlin"),
    "datetime in seconds": lambda rng: pd.to_datetime(TIMES).as_unit("s"),
    "timedelta": lambda rng: pd.Series(gaps(pd.to_timedelta(whole(rng), unit="h"), pd.NaT)),
    "sparse": lambda rng: pd.arrays.SparseArray(whole(rng)),
    "decimals": decimals,
    "days": lambda rng: DAYS,
    "times of day": lambda rng: CLOCK,
    "numbers and words": lambda rng: [
        int(a) if k % 2 else b for k, (a, b) in enumerate(zip(whole(rng), words(rng), strict=True))
    ],
    "booleans and words": lambda rng: [True if one % 2 else "yes" for one in whole(rng)],
    "numbers and None": lambda rng: gaps(real(rng).tolist()),
    "words and NA": lambda rng: gaps(words(rng), pd.NA),
    "moments and NaT": lambda rng: gaps(TIMES, pd.NaT),
    "None": lambda rng: [None] * ROWS,
    "lists": lambda rng: [[1, 2]] * ROWS,
    "dictionaries": lambda rng: [{"a": 1}] * ROWS,
    "sets": lambda rng: [{1, 2}] * ROWS,
    "tuples": lambda rng: [(1, 2)] * ROWS,
    "bytes": lambda rng: [b"ab"] * ROWS,
    "objects": lambda rng: [object() for _ in range(ROWS)],
    "types": lambda rng: [int] * ROWS,
    "arrays": lambda rng: [np.zeros(2)] * ROWS,
    "complex": lambda rng: real(rng) + 1j,
    "int8": lambda rng: whole(rng).astype("int8"),
    "uint64, large": lambda rng: whole(rng).astype("uint64") + 2**63,
    "larger than 64 bits": lambda rng: [10**30 + int(one) for one in whole(rng)],
    "float16": lambda rng: real(rng).astype("float16"),
    "infinite": lambda rng: np.where(whole(rng) == 0, np.inf, real(rng)),
    "NaN": lambda rng: np.full(ROWS, np.nan),
    "Arrow int64": lambda rng: arrow(whole(rng), pa.int64()),
    "Arrow days": lambda rng: arrow(DAYS, pa.date32()),
    "Arrow lengths": lambda rng: arrow(lengths(rng), pa.duration("us")),
    "Arrow times of day": lambda rng: arrow(CLOCK, pa.time64("us")),
    "Arrow decimals": lambda rng: arrow(decimals(rng), pa.decimal128(8, 2)),
    "Arrow lists": lambda rng: arrow([[1]] * ROWS, pa.list_(pa.int64())),
    "Arrow bytes": lambda rng: arrow([b"a"] * ROWS, pa.binary()),
}
POLARS: dict[str, Maker] = {
    "Duration": lambda rng: pl.Series(lengths(rng)),
    "Time": lambda rng: pl.Series(CLOCK),
    "Date": lambda rng: pl.Series(DAYS),
    "Datetime": lambda rng: pl.Series(TIMES),
    "Datetime with zone": lambda rng: pl.Series(TIMES).dt.replace_time_zone("UTC"),
    "Decimal": lambda rng: pl.Series(decimals(rng)),
    "List": lambda rng: pl.Series([[1]] * ROWS),
    "Array": lambda rng: pl.Series([[1, 2]] * ROWS, dtype=pl.Array(pl.Int64, 2)),
    "Struct": lambda rng: pl.Series([{"a": 1}] * ROWS),
    "Binary": lambda rng: pl.Series([b"a"] * ROWS),
    "Enum": lambda rng: pl.Series(list(words(rng)), dtype=pl.Enum(["u", "v", "w"])),
    "Categorical": lambda rng: pl.Series(list(words(rng)), dtype=pl.Categorical),
    "Null": lambda rng: pl.Series([None] * ROWS),
    "Object": lambda rng: pl.Series([[object()] for _ in range(ROWS)], dtype=pl.Object),
    "Int128": lambda rng: pl.Series([int(one) for one in whole(rng)], dtype=pl.Int128),
    "Int128, large": lambda rng: pl.Series([10**30 + int(one) for one in whole(rng)], dtype=pl.Int128),
    "UInt64, large": lambda rng: pl.Series([2**63 + int(one) for one in whole(rng)], dtype=pl.UInt64),
    "Boolean": lambda rng: pl.Series([bool(one % 2) for one in whole(rng)]),
    "Float32": lambda rng: pl.Series(real(rng), dtype=pl.Float32),
    "Int8": lambda rng: pl.Series(whole(rng), dtype=pl.Int8),
}


def records(rng: np.random.Generator) -> np.ndarray:
    pairs = [(float(a), int(b)) for a, b in zip(real(rng), whole(rng), strict=True)]
    return np.array(pairs, dtype=[("a", "f8"), ("y", "i4")])


def pair(X: Any) -> Maker:
    """An array of rows by a function of a generator, with whole numbers as targets."""
    return lambda rng: (X(rng), whole(rng))


def target(y: Any) -> Maker:
    return lambda rng: (real(rng)[:, None], y(rng))


def frame(rng: np.random.Generator, **more: Any) -> pd.DataFrame:
    return pd.DataFrame({"a": real(rng), "y": whole(rng)}, **more)


SOURCES: dict[str, Maker] = {
    "records": records,
    "a recarray": lambda rng: records(rng).view(np.recarray),
    "datetime64 in seconds": pair(lambda rng: np.array(TIMES, dtype="datetime64[s]")[:, None]),
    "datetime64 in days": pair(lambda rng: np.array(DAYS, dtype="datetime64[D]")[:, None]),
    "timedelta64": pair(lambda rng: whole(rng).astype("timedelta64[h]")[:, None]),
    "objects": pair(lambda rng: np.array([[1, "a"]] * ROWS, dtype=object)),
    "complex": pair(lambda rng: real(rng)[:, None] + 1j),
    "strings": pair(lambda rng: np.array([["a", "b"]] * ROWS)),
    "bytes": pair(lambda rng: np.array([[b"a"]] * ROWS)),
    "masked": pair(lambda rng: np.ma.array(real(rng)[:, None], mask=whole(rng)[:, None] > 5)),
    "raw memory": pair(lambda rng: np.zeros((ROWS, 1), dtype="V3")),
    "long doubles": pair(lambda rng: real(rng)[:, None].astype("longdouble")),
    "float16": pair(lambda rng: real(rng)[:, None].astype("float16")),
    "no axis": pair(lambda rng: np.array(1.0)),
    "lists": lambda rng: ([[1, 2]] * ROWS, list(whole(rng))),
    "no rows": lambda rng: (np.zeros((0, 2)), np.zeros(0)),
    "complex targets": target(lambda rng: real(rng) + 1j),
    "moments as targets": target(lambda rng: np.array(TIMES, dtype="datetime64[s]")),
    "targets with two axes": target(lambda rng: real(rng)[:, None]),
    "bytes as targets": target(lambda rng: np.array([b"a", b"b"] * (ROWS // 2))),
    "a dictionary": lambda rng: {"a": real(rng), "y": whole(rng)},
    "dictionaries": lambda rng: [{"a": float(a), "y": int(b)} for a, b in zip(real(rng), whole(rng), strict=True)],
    "a generator": lambda rng: (one for one in ()),
    "None": lambda rng: None,
    "a number": lambda rng: 3,
    "a Series": lambda rng: pd.Series(real(rng)),
    "a LazyFrame": lambda rng: pl.DataFrame({"a": real(rng), "y": whole(rng)}).lazy(),
    "a RecordBatch": lambda rng: pa.RecordBatch.from_pydict({"a": real(rng), "y": whole(rng)}),
    "columns of two levels": lambda rng: frame(rng).set_axis(
        pd.MultiIndex.from_tuples([("a", "b"), ("y", "")]), axis=1
    ),
    "columns of one name": lambda rng: frame(rng).assign(b=1.0).set_axis(["a", "y", "a"], axis=1),
    "numbered columns": lambda rng: frame(rng).rename(columns={"a": 0}),
    "a column without a name": lambda rng: frame(rng).rename(columns={"a": None}),
    "an index of two levels": lambda rng: frame(rng, index=pd.MultiIndex.from_product([range(ROWS // 2), ["a", "b"]])),
}

"""Rows, targets, weights and groups as scikit-learn hands them over."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import polars as pl
import torch
from sklearn.utils.validation import _check_sample_weight, assert_all_finite, column_or_1d

from luthier.data import Column, infer_columns
from luthier.data.typed_columns.parsing import require_scale
from luthier.errors import InputError
from luthier.recipe.rows.sample_weights import NOTHING, relative


class Counted(NamedTuple):
    """What is learnt from: rows that differ, in the order of their values."""

    frame: pl.DataFrame
    weights: torch.Tensor | None  # [N], with a mean of 1; None where rows count alike
    groups: np.ndarray | None  # [N]


def counted_rows(frame: pl.DataFrame, y: np.ndarray, sample_weight: Any, groups: Any) -> tuple[Counted, np.ndarray]:
    """The rows of weight above 0 and their targets. ValueError for weights and groups that cannot be used.

    A row that is there twice is one row of twice the weight: copies neither validate each other, nor count more often
    than their weight says; and the order in which rows come changes nothing.
    """
    labels = None if groups is None else column_or_1d(groups)
    if labels is not None:
        _require_rows(labels, len(frame), "groups")
    weights = _check_sample_weight(sample_weight, np.zeros(len(frame)), dtype=np.float64)
    if not (weights >= 0).all() or not (weights > 0).any():
        received = "a negative weight" if (weights < 0).any() else "zeros alone"
        raise ValueError(f"sample_weight must be at least 0 in every row and above 0 in some; it holds {received}")
    weights = relative(weights)
    kept = np.flatnonzero(weights > NOTHING)
    rows, sums = _different(frame[kept], y[kept], None if labels is None else labels[kept], weights[kept])
    rows, sums = kept[rows], relative(sums)
    counted = None if sums.min() == sums.max() else torch.from_numpy(sums)
    return Counted(frame[rows], counted, None if labels is None else labels[rows]), y[rows]


def _different(
    frame: pl.DataFrame, y: np.ndarray, labels: np.ndarray | None, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The first row of each kind, target and group counted in, in the order of their values; and its copies' weight."""
    columns = {f"x{k}": column for k, column in enumerate(frame.get_columns())}
    beside = [*(y[:, None] if y.ndim == 1 else y).T, *([] if labels is None else [labels])]
    columns |= {f"y{k}": pl.Series(np.unique(one, return_inverse=True)[1]) for k, one in enumerate(beside)}
    table = pl.DataFrame(columns).with_row_index("row").with_columns(weight=pl.Series(weights))
    merged = table.group_by(list(columns)).agg(pl.col("row").min(), pl.col("weight").sort().sum())
    merged = merged.sort(list(columns))
    return merged["row"].to_numpy(), merged["weight"].to_numpy()


def is_frame(X: Any) -> bool:
    return isinstance(X, pl.DataFrame) or (hasattr(X, "dtypes") and hasattr(X, "columns"))


def require_own_names(X: Any) -> None:
    """ValueError for a frame with two columns of one name."""
    names = [str(name) for name in X.columns]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"each column needs a name of its own; '{twice}' is there {names.count(twice)} times")


def unmasked(values: Any) -> Any:
    """Masked places as NaN, everything else as it came: NumPy would go on with what lies under the mask."""
    if isinstance(values, np.ma.MaskedArray) and np.ma.getmaskarray(values).any():
        return np.ma.filled(values.astype(np.float64), np.nan)
    return values


def require_scale_of(values: np.ndarray) -> None:
    """InputError for targets [N] or [N, K] that single precision cannot hold; they may all be the same."""
    for one in values.reshape(len(values), -1).T:
        if one.min() < one.max():
            require_scale(pl.Series("y", one))


def all_numbers(X: Any) -> bool:
    if isinstance(X, pl.DataFrame):
        return all(kind.is_numeric() for kind in X.dtypes)
    return all(getattr(kind, "kind", "O") in "biuf" for kind in X.dtypes)


def columns_in(frame: pl.DataFrame) -> tuple[Column, ...]:
    """Numbers are numbers; what else a table holds is inferred from its values."""
    named = [name for name, kind in frame.schema.items() if not kind.is_numeric()]
    inferred = {one.name: one for one in infer_columns(frame.select(named), target="", overrides={})} if named else {}
    return tuple(inferred.get(name) or Column(name, "number", True, "its values are numbers") for name in frame.columns)


def _require_rows(values: np.ndarray, rows: int, name: str = "y") -> None:
    if len(values) != rows:
        raise ValueError(f"X has {rows} rows and {name} has {len(values)} values")


def flat_targets(y: np.ndarray, rows: int) -> np.ndarray:
    """Targets as one axis, with scikit-learn's own warning for a column."""
    if y.ndim == 0:
        raise ValueError("requires y to be passed, but the target y is None")
    _require_rows(y, rows)
    result: np.ndarray = column_or_1d(y, warn=True)
    if result.dtype.kind == "f":
        assert_all_finite(result, input_name="y")
    return result


def targets_of_several(y: np.ndarray, rows: int) -> np.ndarray:
    """Targets of several outputs [N, K]."""
    _require_rows(y, rows)
    assert_all_finite(y, input_name="y")
    return y


def seed_from(random_state: Any) -> int:
    """A seed of what scikit-learn takes for one; a new one where there is none."""
    if random_state is None:
        return int(np.random.default_rng().integers(2**31))
    if isinstance(random_state, np.random.RandomState):
        return int(random_state.randint(2**31))
    if not isinstance(random_state, int | np.integer):
        raise InputError("random_state must be a whole number, a RandomState or None", received=repr(random_state))
    return int(random_state)

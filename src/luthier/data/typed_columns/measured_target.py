"""The facts of a target column by which its kind is decided. N rows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl

from luthier.data.typed_columns.label_lists import lists_seen
from luthier.kinds import TargetFacts
from luthier.kinds.named_scales import FEWEST, MOST, named_scale, names_a_scale

COMMON = 0.95  # of the rows have values without gaps, where whole numbers are counts


def target_facts(
    series: pl.Series,
    asked: str | None = None,
    weights: np.ndarray | None = None,
    levels: tuple[str, ...] = (),
) -> TargetFacts:
    """The facts of a target column, whose rows count by `weights` [N]; `levels` are those that its type had."""
    there = series.is_not_null() & (series.is_not_nan() if series.dtype.is_float() else True)
    known = series.filter(there)
    distinct, numeric = known.n_unique(), known.dtype.is_numeric()
    if not numeric:
        scale, by = _scale_of_words(known, distinct, levels or levels_of(series.dtype))
        listed, labels = lists_seen(known) if known.dtype == pl.String else ("", 0)
        return TargetFacts(False, False, distinct, asked=asked, scale=scale, scaled_by=by, listed=listed, labels=labels)
    values = known.cast(pl.Float64)
    low, high = float(values.min()), float(values.max())  # type: ignore[arg-type]
    counting = None if weights is None else weights[there.to_numpy()]
    skews = (_skew(values, counting), _skew(values.log(), counting)) if low > 0 else (None, None)
    fractions = known.dtype.is_float() and not bool((known == known.round(0)).all())
    y = values.to_numpy()
    zeros, largest, upper = (
        float(np.average(of, weights=counting)) for of in (y == 0, y == high, y > (low + high) / 2)
    )
    result = TargetFacts(
        True,
        fractions,
        distinct,
        high - low,
        *skews,
        asked,
        low,
        zeros,
        largest,
        upper,
        gaps=0 if fractions else _gaps(y),
        bent=_skew(values, counting) or 0.0,
    )
    if fractions or not FEWEST <= distinct <= MOST or distinct != high - low + 1 or not names_a_scale(series.name):
        return result
    return replace(result, scale=tuple(str(round(low) + k) for k in range(distinct)), scaled_by="name")


def _gaps(y: np.ndarray) -> int:
    """How many whole numbers from the lowest on are not there among 95 % of the values."""
    common = y[y <= np.quantile(y, COMMON)]
    return int(common.max() - common.min() + 1 - len(np.unique(common)))


def levels_of(dtype: pl.DataType) -> tuple[str, ...]:
    """The levels of a type that has an order; empty for others."""
    return tuple(dtype.categories) if isinstance(dtype, pl.Enum) else ()


def _scale_of_words(known: pl.Series, distinct: int, levels: tuple[str, ...]) -> tuple[tuple[str, ...], str]:
    """The levels in their order, and what says so: the column's type, or the words."""
    if levels:
        present = set(known.cast(pl.String).unique())
        return tuple(level for level in levels if level in present), "type"
    if known.dtype == pl.Boolean or distinct > 2 * MOST:
        return (), ""
    scale = named_scale(known.cast(pl.String).unique().to_list())
    return scale, "words" if scale else ""


def _skew(values: pl.Series, weights: np.ndarray | None) -> float | None:
    """The (weighted) skewness of a population; None where nothing varies."""
    if weights is None:
        return values.skew()
    off = values.to_numpy() - np.average(values.to_numpy(), weights=weights)
    square, cube = (float(np.average(off**power, weights=weights)) for power in (2, 3))
    return cube / square**1.5 if square > 0 else None

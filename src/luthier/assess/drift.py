"""Whether new rows look like the training rows, column by column.

For numbers the two-sample Kolmogorov-Smirnov distance between the new values and a stored sample of
training values; for categories half the sum of absolute differences of level shares (total
variation), with the chance of the chi-square test. A column has drifted when its distance is both beyond
chance (0.025 by default, after Holm's correction for all columns) and beyond a size that matters. Beside it stands the
population stability index.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import scipy

from luthier.assess.distribution_shift import count_test, holm, shares_index, stability_index
from luthier.messages import Message, with_messages
from luthier.records import JsonObject

LEVEL = 0.025
MATTERS = 0.1  # a tenth of the rows would have to move for the distributions to agree
PREDICTION = "(prediction)"  # stands among the columns
KEPT, KEPT_IN_ALL = 1000, 1_000_000  # quantiles kept of a column of numbers, and of all: models stay small
FEWEST = 20  # quantiles of a column, however many columns there are: a change that `MATTERS` still shows


@dataclass(frozen=True)
class Profile:
    """What training rows looked like: sorted quantiles of numbers (`missing` their share of missing values),
    (weighted) counts of category codes, and how many rows it rests on."""

    rows: int
    numbers: dict[str, list[float]] = field(default_factory=dict)
    missing: dict[str, float] = field(default_factory=dict)
    codes: dict[str, list[float]] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        numbers: Mapping[str, np.ndarray],
        codes: Mapping[str, np.ndarray],
        sizes: Mapping[str, int],
        weights: np.ndarray | None = None,
    ) -> Profile:
        """The profile of columns [N] each, whose rows count by `weights`; `sizes` gives the number of codes of each
        category."""
        rows = len(next(iter([*numbers.values(), *codes.values()])))
        kept = max(FEWEST, min(KEPT, KEPT_IN_ALL // max(1, len(numbers))))
        return cls(
            rows=rows,
            numbers={name: _quantiles(values, weights, kept) for name, values in numbers.items()},
            missing={name: float(np.average(np.isnan(values), weights=weights)) for name, values in numbers.items()},
            codes={
                name: np.bincount(values, weights, minlength=sizes[name]).tolist() for name, values in codes.items()
            },
        )

    def to_json(self) -> JsonObject:
        """The profile as plain JSON values."""
        return {"rows": self.rows, "numbers": self.numbers, "missing": self.missing, "codes": self.codes}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Profile:
        """The profile that `to_json` gave."""
        return cls(**value)


@dataclass(frozen=True)
class DriftRow:
    """One column's comparison: `value` is the distance, `threshold` the size from which on it matters, `chance` that of
    a difference so large between samples of one population (Holm's correction), `index` the stability index."""

    column: str
    statistic: str
    value: float
    threshold: float
    drifted: bool
    sentence: str
    chance: float = 1.0
    index: float | None = None

    def to_json(self) -> JsonObject:
        """The row as plain JSON values."""
        content: JsonObject = with_messages(asdict(self))
        return content


def drift(
    profile: Profile,
    numbers: Mapping[str, np.ndarray],
    codes: Mapping[str, np.ndarray],
    labels: Mapping[str, Sequence[str]] | None = None,
    weights: np.ndarray | None = None,
    *,
    level: float = LEVEL,
) -> list[DriftRow]:
    """Compare new columns with the profile. Codes are levels, of which 0 is one that training did not have; those of
    columns in `labels` are named there, all of them, as the classes of a prediction are. New rows count by `weights`.
    Rows like those of training have a column beyond chance in a share `level` of the comparisons.
    """
    result = []
    for name, values in numbers.items():
        there = ~np.isnan(values)
        result.append(_missing_row(profile, name, values, weights))
        if there.any() and profile.numbers[name]:
            w = np.ones(int(there.sum())) if weights is None else weights[there]
            result.append(_number_row(profile, name, values[there], w))
    named = labels or {}
    result += [_code_row(profile, name, values, named.get(name), weights) for name, values in codes.items()]
    rows = [row for row in result if row is not None]
    corrected = holm([row.chance for row in rows])
    return [_judged(row, chance, level) for row, chance in zip(rows, corrected, strict=True)]


def _judged(row: DriftRow, chance: float, level: float) -> DriftRow:
    drifted = row.value > MATTERS and chance < level
    template = "`{column}` has drifted: {detail}" if drifted else "`{column}` has not drifted: {detail}"
    column = Message(PREDICTION) if row.column == PREDICTION else row.column
    sentence = Message(template, column=column, detail=row.sentence)
    return replace(row, drifted=drifted, chance=chance, sentence=sentence)


def _quantiles(values: np.ndarray, weights: np.ndarray | None, kept: int) -> list[float]:
    there = ~np.isnan(values)
    known = np.sort(values[there])
    if weights is not None and len(known):
        return list(weighted_quantiles(values[there], weights[there], (np.arange(kept) + 0.5) / kept).tolist())
    if len(known) <= kept:
        return list(known.tolist())
    return list(np.quantile(known, np.linspace(0, 1, kept)).tolist())


def weighted_quantiles(values: np.ndarray, weights: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """The values below which these shares of the weight lie.

    >>> weighted_quantiles(np.array([3.0, 1.0]), np.array([1.0, 3.0]), np.array([0.5, 0.9])).tolist()
    [1.0, 3.0]
    """
    order = np.argsort(values)
    total = np.cumsum(weights[order])
    return np.asarray(values[order[np.searchsorted(total, shares * total[-1])]])


def _number_row(profile: Profile, name: str, known: np.ndarray, weights: np.ndarray) -> DriftRow:
    before = np.asarray(profile.numbers[name])
    rows = max(1.0, profile.rows * (1 - profile.missing[name]))
    grid = np.concatenate([before, known])
    cdf_before = np.searchsorted(before, grid, side="right") / len(before)
    order = np.argsort(known)
    below = np.concatenate([[0.0], np.cumsum(weights[order])])
    cdf_now = below[np.searchsorted(known[order], grid, side="right")] / below[-1]
    distance = float(np.abs(cdf_before - cdf_now).max())
    beyond = max(0.0, distance - (1 / len(before) if rows > len(before) else 0.0))  # what quantiles round off
    chance = float(scipy.stats.kstwobign.sf(beyond * np.sqrt(len(known) * rows / (len(known) + rows))))
    now = np.median(known) if weights.min() == weights.max() else weighted_quantiles(known, weights, np.array(0.5))
    median = Message("median {before:.4g} in training, {now:.4g} now", before=np.median(before), now=float(now))
    index = stability_index(before, known, weights)
    return _row(name, "Kolmogorov-Smirnov distance", distance, chance, index, median)


def _missing_row(profile: Profile, name: str, values: np.ndarray, weights: np.ndarray | None) -> DriftRow | None:
    before, now = profile.missing[name], float(np.average(np.isnan(values), weights=weights))
    if before == now:
        return None
    counts = np.array([before * profile.rows, (1 - before) * profile.rows]), np.array([now, 1 - now]) * len(values)
    chance = count_test(*counts)[1]
    index = shares_index(*(count / count.sum() for count in counts))
    detail = Message("{before:.1%} missing in training, {now:.1%} now", before=before, now=now)
    return _row(name, "share missing, change", abs(now - before), chance, index, detail)


def _code_row(
    profile: Profile, name: str, values: np.ndarray, labels: Sequence[str] | None, weights: np.ndarray | None
) -> DriftRow:
    before = np.asarray(profile.codes[name], dtype=float)
    now = np.bincount(values, weights, minlength=len(before)).astype(float)
    shares = before / before.sum(), now / now.sum()
    distance = 0.5 * float(np.abs(shares[1] - shares[0]).sum())
    if labels is None:
        detail = Message("{share:.1%} of the rows have a level that training did not", share=shares[1][0])
    else:
        most = int(np.abs(shares[1] - shares[0]).argmax())
        template = "'{label}' {before:.1%} in training, {now:.1%} now"
        detail = Message(template, label=labels[most], before=shares[0][most], now=shares[1][most])
    return _row(name, "total variation", distance, count_test(before, now)[1], shares_index(*shares), detail)


def _row(name: str, statistic: str, value: float, chance: float, index: float, detail: str) -> DriftRow:
    return DriftRow(name, statistic, round(value, 4), MATTERS, False, detail, chance, round(index, 4))

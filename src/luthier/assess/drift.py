"""Whether new rows look like the training rows, column by column.

For numbers the two-sample Kolmogorov-Smirnov distance between the new values and a stored sample of
training values; for categories half the sum of absolute differences of level shares (total
variation). A column has drifted when its distance is both beyond chance (level 0.01, divided by the
number of columns) and beyond a size that matters.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from scipy import stats

LEVEL = 0.01
MATTERS = 0.1  # a tenth of the rows would have to move for the distributions to agree
KEPT = 1000  # quantiles kept of a column of numbers
SHUFFLES = 999


@dataclass(frozen=True)
class Profile:
    """What training rows looked like: sorted quantiles of numbers (`missing` their share of missing values),
    counts of category codes, and how many rows it rests on."""

    rows: int
    numbers: dict[str, list[float]] = field(default_factory=dict)
    missing: dict[str, float] = field(default_factory=dict)
    codes: dict[str, list[int]] = field(default_factory=dict)

    @classmethod
    def of(
        cls, numbers: Mapping[str, np.ndarray], codes: Mapping[str, np.ndarray], sizes: Mapping[str, int]
    ) -> Profile:
        """The profile of columns [N] each; `sizes` gives the number of codes of each category."""
        rows = len(next(iter([*numbers.values(), *codes.values()])))
        return cls(
            rows=rows,
            numbers={name: _quantiles(values) for name, values in numbers.items()},
            missing={name: float(np.isnan(values).mean()) for name, values in numbers.items()},
            codes={name: np.bincount(values, minlength=sizes[name]).tolist() for name, values in codes.items()},
        )

    def to_json(self) -> dict[str, Any]:
        """The profile as plain JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Profile:
        """The profile that `to_json` gave."""
        return cls(**value)


@dataclass(frozen=True)
class DriftRow:
    """One column's comparison: `value` is the distance, `threshold` what it had to exceed."""

    column: str
    statistic: str
    value: float
    threshold: float
    drifted: bool
    sentence: str

    def to_json(self) -> dict[str, Any]:
        """The row as plain JSON values."""
        return asdict(self)


def drift(profile: Profile, numbers: Mapping[str, np.ndarray], codes: Mapping[str, np.ndarray]) -> list[DriftRow]:
    """Compare new columns with the profile."""
    columns = len(numbers) + len(codes) + len(numbers)  # each number is looked at twice: values, missing
    level = LEVEL / max(1, columns)
    found = []
    for name, values in numbers.items():
        known = values[~np.isnan(values)]
        found.append(_missing_row(profile, name, values, level))
        if len(known) and profile.numbers[name]:
            found.append(_number_row(profile, name, known, level))
    found += [_code_row(profile, name, values, level) for name, values in codes.items()]
    return [row for row in found if row is not None]


def _quantiles(values: np.ndarray) -> list[float]:
    known = np.sort(values[~np.isnan(values)])
    if len(known) <= KEPT:
        return [float(x) for x in known]
    return [float(x) for x in np.quantile(known, np.linspace(0, 1, KEPT))]


def _number_row(profile: Profile, name: str, known: np.ndarray, level: float) -> DriftRow:
    before = np.asarray(profile.numbers[name])
    rows = profile.rows * (1 - profile.missing[name])
    grid = np.concatenate([before, known])
    cdf_before = np.searchsorted(before, grid, side="right") / len(before)
    cdf_now = np.searchsorted(np.sort(known), grid, side="right") / len(known)
    distance = float(np.abs(cdf_before - cdf_now).max())
    chance = float(stats.kstwobign.isf(level)) * np.sqrt(1 / len(known) + 1 / max(1.0, rows))
    threshold = max(MATTERS, float(chance) + 1 / len(before))
    median = f"median {np.median(before):.4g} in training, {np.median(known):.4g} now"
    return _row(name, "Kolmogorov-Smirnov distance", distance, threshold, median)


def _missing_row(profile: Profile, name: str, values: np.ndarray, level: float) -> DriftRow | None:
    before, now = profile.missing[name], float(np.isnan(values).mean())
    if before == now:
        return None
    share = (before * profile.rows + now * len(values)) / (profile.rows + len(values))
    error = np.sqrt(share * (1 - share) * (1 / profile.rows + 1 / len(values)))
    threshold = max(MATTERS, float(stats.norm.isf(level / 2) * error))
    return _row(
        name,
        "share missing, change",
        abs(now - before),
        threshold,
        f"{before:.1%} missing in training, {now:.1%} now",
    )


def _code_row(profile: Profile, name: str, values: np.ndarray, level: float) -> DriftRow:
    before = np.asarray(profile.codes[name], dtype=float)
    now = np.bincount(values, minlength=len(before)).astype(float)
    expected = before / before.sum()
    distance = 0.5 * float(np.abs(now / now.sum() - expected).sum())
    # What chance alone gives: both samples drawn from the pooled shares.
    pooled = (before + now) / (before.sum() + now.sum())
    rng = np.random.default_rng(0)
    a = rng.multinomial(len(values), pooled, size=SHUFFLES) / len(values)
    b = rng.multinomial(profile.rows, pooled, size=SHUFFLES) / profile.rows
    by_chance = 0.5 * np.abs(a - b).sum(1)
    threshold = max(MATTERS, float(by_chance.mean() + stats.norm.isf(level) * by_chance.std()))
    unknown = now[0] / now.sum()
    return _row(
        name,
        "total variation",
        distance,
        threshold,
        f"{unknown:.1%} of the rows have a level that training did not",
    )


def _row(name: str, statistic: str, value: float, threshold: float, detail: str) -> DriftRow:
    drifted = value > threshold
    verdict = "has drifted" if drifted else "looks like training"
    return DriftRow(name, statistic, round(value, 4), round(threshold, 4), drifted, f"`{name}` {verdict}: {detail}")

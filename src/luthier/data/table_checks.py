"""What is wrong with the data itself, before anything is trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import polars as pl

from luthier.data.copies import numbers_rows
from luthier.data.typed_columns.columns import Column
from luthier.data.typed_columns.task import Task, encode_target
from luthier.messages import Message
from luthier.records import Finding
from luthier.seeds import numpy_generator

IMBALANCED = 0.05  # share of the rarest class below which accuracy says little
LEAKING = 0.995  # share of the target that one column alone explains
GROUPS, ROWS_A_GROUP = 20, 20  # of a column's values, and the rows that a group must hold
RARE = 10  # rows of a label, below which it is said
FEWEST = 5  # of a class: fewer rows can stand together by chance
CLEARLY_MORE = 0.1  # of the target than the best column that is used
NUMBER = r"(-?\d+(?:[.,]\d+)?)"
MOST_ROWS = 5000  # that are looked at
MANY, AT_ONCE = 100, 500  # number columns that are looked at closely, and that are ordered together


def check_table(
    frame: pl.DataFrame, columns: Sequence[Column], task: Task, weights: np.ndarray | None = None
) -> list[Finding]:
    """Findings on the training rows, which count by `weights` [N]: class imbalance, a column that gives the target
    away, one that says more than those that are used but was dropped."""
    findings = _rare_labels(frame, task) if task.traits.is_labels else []
    if task.classes and not task.traits.is_labels:
        counting = pl.lit(1.0) if weights is None else pl.lit(pl.Series(weights))
        counts = frame.select(task.target, counting.alias("of all")).group_by(task.target).sum()
        counts = counts.with_columns(pl.col("of all") / pl.col("of all").sum()).sort("of all", task.target)
        rarest, share = counts.row(0)
        if share < IMBALANCED:
            findings.append(
                Finding(
                    code="class-imbalance",
                    severity="note",
                    sentence=Message(
                        "the rarest class '{rarest}' has {share:.1%} of the rows: accuracy alone is misleading",
                        rarest=rarest,
                        share=share,
                    ),
                    evidence={"class": str(rarest), "share": round(share, 4)},
                    remedy="read the scores of each class in the report",
                )
            )
    y = _target_of(frame, task)
    looked_at = _worth_a_look(frame, [column for column in columns if column.used], y)
    used = {column: _explained(frame[column.name], y, column, task, weights) for column in looked_at}
    findings += [finding for column, explained in used.items() if (finding := _leak(column, explained, task))]
    return findings + _dropped(frame, columns, task, weights, max((one for one in used.values() if one), default=0.0))


def _rare_labels(frame: pl.DataFrame, task: Task) -> list[Finding]:
    """A note on labels that so few rows have that their scores say little."""
    rows = encode_target(frame[task.target], task).sum(0)
    rare = [name for name, count in zip(task.classes, rows.tolist(), strict=True) if count < RARE]
    if not rare:
        return []
    sentence = Message(
        "{count} of {labels} labels are in fewer than {rows} training rows: '{first}' for one",
        count=len(rare),
        labels=len(task.classes),
        rows=RARE,
        first=rare[0],
    )
    evidence = {"labels": rare[:20]}
    return [Finding("rare-labels", "note", sentence, evidence, "read the scores of each label in the report")]


def _worth_a_look(frame: pl.DataFrame, columns: Sequence[Column], y: np.ndarray) -> list[Column]:
    """The columns; of very many numbers those which explain most of the target within small groups of their values.

    A tree has at most twenty groups of at least as many rows, so that it explains no more than groups of a few rows.
    """
    types = frame.schema
    numbers = [column for column in columns if column.kind == "number" and types[column.name].is_float()]
    if len(numbers) <= MANY:
        return list(columns)
    rows = slice(None) if len(y) <= MOST_ROWS else numpy_generator(0, "rows").permutation(len(y))[:MOST_ROWS]
    target = (y[rows] - y[rows].mean()) / max(float(y[rows].std()), 1e-300)
    shares = np.empty(len(numbers))
    for first in range(0, len(numbers), AT_ONCE):
        some = numbers[first : first + AT_ONCE]
        values = frame.select(column.name for column in some).to_numpy()[rows]
        shares[first : first + AT_ONCE] = _share_within_few(values, target)
    passed = {numbers[place].name for place in np.argsort(-shares)[MANY:]}
    return [column for column in columns if column.name not in passed]


def _share_within_few(values: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Share of the variance of a target [N] of deviation 1 between groups of five rows in the order of each column of
    values [N, F]: an upper bound, by chance, of what larger groups explain."""
    groups = len(target) // FEWEST
    ordered = target[np.argsort(values, axis=0)[: groups * FEWEST]]
    means = ordered.reshape(groups, FEWEST, -1).mean(1)
    return np.asarray((means**2).mean(0))


def _dropped(
    frame: pl.DataFrame, columns: Sequence[Column], task: Task, weights: np.ndarray | None, best: float
) -> list[Finding]:
    """Columns that were taken for identifiers though they say clearly more of the target than any that is used."""
    least, findings = max(best, 0.5 if task.classes else 0.0) + CLEARLY_MORE, []
    for column in (column for column in columns if column.kind == "identifier" and column.name in frame.columns):
        numbers = _numbers_in(frame[column.name])
        if numbers is None or numbers_rows(numbers):
            continue
        explained = _explained(numbers, _target_of(frame, task), replace(column, kind="number"), task, weights)
        if explained is not None and explained > least:
            findings.append(
                Finding(
                    code="dropped-column",
                    severity="warning",
                    sentence=Message(
                        "`{name}` was dropped ({reason}), though its numbers alone predict `{target}` better than "
                        "any column that is used",
                        name=column.name,
                        reason=column.reason,
                        target=task.target,
                    ),
                    evidence={"column": column.name, "explained": round(explained, 5), "best of the others": best},
                    remedy=Message(
                        "keep it with {override}, unless it is known only after the target", override=column.override
                    ),
                )
            )
    return findings


def _numbers_in(cells: pl.Series) -> pl.Series | None:
    """The first number in each cell; None where most cells hold none."""
    if cells.dtype.is_numeric() or cells.dtype == pl.Duration:
        return cells.to_physical()
    numbers = cells.cast(pl.String, strict=False).str.extract(NUMBER, 1).str.replace(",", ".").cast(pl.Float64)
    return numbers if numbers.null_count() < 0.5 * len(numbers) else None


def _leak(column: Column, explained: float | None, task: Task) -> Finding | None:
    if explained is None or explained < LEAKING:
        return None
    return Finding(
        code="leaking-column",
        severity="warning",
        sentence=Message("`{name}` alone predicts `{target}` almost perfectly", name=column.name, target=task.target),
        evidence={"column": column.name, "explained": round(explained, 5), "threshold": LEAKING},
        remedy=Message(
            "if it is known only after the target, drop it with --column {name}=identifier", name=column.name
        ),
    )


def _target_of(frame: pl.DataFrame, task: Task) -> np.ndarray:
    """The target as numbers [N], of classes their order."""
    target = frame[task.target]
    return target.cast(pl.String).rank("dense").to_numpy() if task.classes else target.cast(pl.Float64).to_numpy()


def _explained(
    series: pl.Series, y: np.ndarray, column: Column, task: Task, weights: np.ndarray | None
) -> float | None:
    if column.kind == "number" and series.dtype.is_numeric():
        values = series.fill_null(series.median()).to_numpy()
    elif column.kind in ("category", "boolean", "number"):
        values = series.cast(pl.String).fill_null("").rank("dense").to_numpy()
        if len(np.unique(values)) * ROWS_A_GROUP > len(values):
            return None
        return _within_groups(values, y, np.ones(len(y)) if weights is None else weights, classes=bool(task.classes))
    else:
        return None
    return share_explained(values, y, classes=bool(task.classes), weights=weights)


def share_explained(
    values: np.ndarray, y: np.ndarray, *, classes: bool, weights: np.ndarray | None = None
) -> float | None:
    """How much of the target one feature [N] explains by itself, within at most twenty groups of its values: the share
    of variance; of classes the accuracy, on the footing of a largest class with half of the rows (a feature that says
    nothing explains 0.5 then, however rare the others are). Rows count by `weights` [N]. None for few rows: chance
    alone would explain it.

    >>> x = np.arange(200) / 200
    >>> round(share_explained(x.repeat(3), (x > 0.5).astype(int).repeat(3), classes=True) or 0, 2)
    1.0
    """
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

    if len(values) < GROUPS * ROWS_A_GROUP:
        return None
    few = slice(None) if len(values) <= MOST_ROWS else numpy_generator(0, "rows").permutation(len(values))[:MOST_ROWS]
    kind = DecisionTreeClassifier if classes else DecisionTreeRegressor
    column = values[few].reshape(-1, 1)
    counts = np.unique(y[few], return_counts=True)[1] if classes else np.array([ROWS_A_GROUP])
    smallest = int(np.clip(counts.min(), FEWEST, ROWS_A_GROUP))  # a group may be all of a rare class
    tree, w = kind(max_leaf_nodes=GROUPS, min_samples_leaf=smallest, random_state=0), _some(weights, few)
    explained = float(tree.fit(column, y[few], w).score(column, y[few], w))
    return _on_even_footing(explained, _counts(y[few], w)) if classes else explained


def _some(weights: np.ndarray | None, rows: slice | np.ndarray) -> np.ndarray | None:
    return None if weights is None else weights[rows]


def _counts(y: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    """How much the rows of each class count."""
    return np.bincount(np.unique(y, return_inverse=True)[1], weights).astype(float)


def _on_even_footing(accuracy: float, counts: np.ndarray) -> float:
    """The accuracy where the largest class would have half of the rows: wrong rows count by those outside of it."""
    outside = 1 - counts.max() / counts.sum()
    return float(1 - 0.5 * (1 - accuracy) / outside) if outside else 0.5


def _within_groups(groups: np.ndarray, y: np.ndarray, weights: np.ndarray, *, classes: bool) -> float | None:
    table = pl.DataFrame({"g": groups, "y": y, "w": weights})
    if classes:
        counts = table.group_by("g", "y").agg(pl.col("w").sum())
        right = float(counts.group_by("g").agg(pl.col("w").max())["w"].sum())
        return _on_even_footing(right / float(weights.sum()), _counts(y, weights))
    within = pl.col("y") - (pl.col("y") * pl.col("w")).sum().over("g") / pl.col("w").sum().over("g")
    off = y - np.average(y, weights=weights)
    total = float(np.average(off**2, weights=weights))
    return (
        1 - float(np.average(table.select(within).to_series().to_numpy() ** 2, weights=weights)) / total
        if total
        else None
    )

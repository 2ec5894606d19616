"""What is wrong with the data itself, before anything is trained."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from luthier.data.columns import Column
from luthier.data.task import Task
from luthier.records import Finding

IMBALANCED = 0.05  # share of the rarest class below which accuracy says little
LEAKING = 0.995  # share of the target that one column alone explains


def check_table(frame: pl.DataFrame, columns: Sequence[Column], task: Task) -> list[Finding]:
    """Findings on the training rows: class imbalance, a column that gives the target away."""
    findings = []
    if task.classes:
        counts = frame[task.target].value_counts(sort=True)
        share = float(counts["count"].min()) / frame.height  # type: ignore[arg-type]
        if share < IMBALANCED:
            rarest = counts.sort("count")[task.target][0]
            findings.append(
                Finding(
                    code="class-imbalance",
                    severity="note",
                    sentence=f"the rarest class '{rarest}' has {share:.1%} of the rows: accuracy alone says little",
                    evidence={"class": str(rarest), "share": round(share, 4)},
                    remedy="read the scores of each class in the report",
                )
            )
    findings += [finding for column in columns if column.used and (finding := _leak(frame, column, task))]
    return findings


def _leak(frame: pl.DataFrame, column: Column, task: Task) -> Finding | None:
    explained = _explained(frame, column, task)
    if explained is None or explained < LEAKING:
        return None
    return Finding(
        code="leaking-column",
        severity="warning",
        sentence=f"`{column.name}` alone predicts `{task.target}` almost perfectly",
        evidence={"column": column.name, "explained": round(explained, 5), "threshold": LEAKING},
        remedy=f"if it is known only after the fact, drop it with --column {column.name}=identifier",
    )


def _explained(frame: pl.DataFrame, column: Column, task: Task) -> float | None:
    """Accuracy of the best class, or share of variance, within groups of the column's values.

    Each group must hold many rows, or chance alone would explain the target.
    """
    series = frame[column.name]
    if column.kind == "number" and series.dtype.is_numeric() and series.n_unique() > 20:
        values = series.fill_null(series.median()).to_numpy()
        groups = np.searchsorted(np.unique(np.quantile(values, np.linspace(0, 1, 21)[1:-1])), values)
    elif column.kind in ("category", "boolean", "number"):
        groups = series.cast(pl.String).fill_null("").rank("dense").to_numpy()
    else:
        return None
    if len(np.unique(groups)) * 20 > len(groups):
        return None
    table = pl.DataFrame({"g": groups, "y": frame[task.target]})
    if task.classes:
        counts = table.group_by("g", "y").len()
        return float(counts.group_by("g").agg(pl.col("len").max())["len"].sum()) / len(table)
    y = table["y"].cast(pl.Float64)
    within = table.with_columns(pl.col("y").cast(pl.Float64) - pl.col("y").mean().over("g"))["y"].var(ddof=0)
    total = y.var(ddof=0)
    return 1 - float(within) / float(total) if total else None  # type: ignore[arg-type]

"""Learning curves: one row a member and evaluation, append-only."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import polars as pl

SCHEMA: dict[str, Any] = {
    "member": pl.Int64,
    "label": pl.String,
    "step": pl.Int64,
    "epoch": pl.Float64,
    "learning_rate": pl.Float64,
    "train_loss": pl.Float64,
    "validation_loss": pl.Float64,
    "validation_score": pl.Float64,
}


@dataclass
class History:
    """Rows of (member, label, step, epoch, learning_rate, train_loss, validation_loss, validation_score).

    `train_loss` is the mean over the steps since the last evaluation, in training mode and without
    penalties; the validation figures are those of the weights at that step. A column for each of
    `metrics` follows.
    """

    rows: list[list[Any]] = field(default_factory=list)
    metrics: tuple[str, ...] = ()

    def append(self, *row: Any) -> None:
        """Add one member's figures of one evaluation, in the order of the columns."""
        self.rows.append(list(row))

    def to_frame(self) -> pl.DataFrame:
        """All rows as a table."""
        schema = SCHEMA | dict.fromkeys(self.metrics, pl.Float64)
        return pl.DataFrame(self.rows, schema=schema, orient="row")

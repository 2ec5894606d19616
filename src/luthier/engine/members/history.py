"""Learning curves: one row a member and evaluation, append-only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from luthier import storage
from luthier.drawing import LearningCurve, draw_learning, small_table
from luthier.parquet_pages import parquet_bytes

if TYPE_CHECKING:
    import plotly.graph_objects as go
    import polars as pl

MOST_DRAWN = 5
SCHEMA: dict[str, type] = {
    "member": int,
    "label": str,
    "step": int,
    "epoch": float,
    "learning_rate": float,
    "train_loss": float,
    "validation_loss": float,
    "validation_score": float,
}


@dataclass
class History:
    """Rows of (member, label, step, epoch, learning_rate, train_loss, validation_loss, validation_score).

    `train_loss` is the mean over the steps since the last evaluation, in training mode and without
    penalties; the validation figures are those of the weights at that step. A column for each of
    `metrics` follows. `steps` holds the training losses [K, M] of every step, where they were asked for;
    NaN for members that had left.
    """

    rows: list[list[Any]] = field(default_factory=list)
    metrics: tuple[str, ...] = ()
    steps: list[np.ndarray] = field(default_factory=list)

    def append(self, *row: Any) -> None:
        """Add one member's figures of one evaluation, in the order of the columns."""
        self.rows.append(list(row))

    def to_frame(self) -> pl.DataFrame:
        """All rows as a table."""
        import polars as pl

        schema = SCHEMA | dict.fromkeys(self.metrics, float)
        return pl.DataFrame(self.rows, schema=schema, orient="row")

    def step_losses(self) -> pl.DataFrame:
        """The training loss of every step and member, where `every_step` was asked for."""
        import polars as pl

        losses = np.concatenate(self.steps) if self.steps else np.zeros((0, 0))
        step, member = np.meshgrid(*(np.arange(n) for n in losses.shape), indexing="ij")
        frame = pl.DataFrame({"member": member.ravel(), "step": step.ravel() + 1, "train_loss": losses.ravel()})
        return frame.filter(pl.col("train_loss").is_not_nan())

    def plot(self, members: Sequence[int] | None = None) -> go.Figure:
        """Losses against the step, of these members or of the few with the lowest losses."""
        own: dict[int, list[list[Any]]] = {}
        for row in self.rows:
            own.setdefault(row[0], []).append(row)
        if members is None:
            members = sorted(own, key=lambda member: min(_judged(row) for row in own[member]))[:MOST_DRAWN]
        names = {member: own[member][0][1] or f"member {member}" for member in members}
        if len(set(names.values())) < len(names):
            names = {member: f"{name} ({member})" for member, name in names.items()}
        curves = {
            name: LearningCurve(*([row[place] for row in own[member]] for place in (2, 5, 6)))
            for member, name in names.items()
        }
        return draw_learning(curves)

    def __repr__(self) -> str:
        members, steps = ({row[place] for row in self.rows} for place in (0, 2))
        return f"History({len(members)} members, {len(steps)} evaluations up to step {max(steps, default=0)})"

    def _repr_html_(self) -> str:
        """A notebook shows each network's last figures."""
        last = {row[0]: row for row in self.rows}
        rows = [(row[1] or row[0], row[2], *(f"{value:.4g}" for value in (*row[5:8],))) for row in last.values()]
        return small_table(("network", "step", "training loss", "validation loss", "score"), rows)

    def write(self, path: str | Path) -> None:
        """Keep the rows as a Parquet file, whole or not at all; those of every step go beside it, to NAME.steps."""
        place = Path(path)
        frames = {place: self.to_frame()}
        if self.steps:
            frames[place.with_name(f"{place.stem}.steps{place.suffix}")] = self.step_losses()
        for target, frame in frames.items():
            storage.write_bytes(target, parquet_bytes(frame))


def _judged(row: list[Any]) -> float:
    """What a row is judged by: its validation loss, without one its training loss; NaN counts as the worst."""
    loss = row[6] if row[6] == row[6] else row[5]
    return float(loss) if loss == loss else float("inf")

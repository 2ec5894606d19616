"""Runs as they grow: what their folders say while somebody else writes them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import polars as pl

from luthier.drawing import BLUE, GREEN, GREY, ORANGE, PURPLE, empty_figure
from luthier.engine.members.checkpoint import read_tensors
from luthier.engine.members.history import SCHEMA
from luthier.errors import InputError, LuthierError
from luthier.messages import tr
from luthier.recipe import read_ledger
from luthier.records import figure as figure_of
from luthier.saved.run_files import HISTORY
from luthier.studio.widgets import soft
from luthier.untrusted import read_frame, validated

COLOURS = (BLUE, ORANGE, GREEN, PURPLE, GREY)
UNDER_WAY, DONE = "under way", "done"


@dataclass(frozen=True)
class Growth:
    """What a run's folder holds at this moment: ledger records, and each population's history, oldest first."""

    path: Path
    records: tuple[dict[str, object], ...]
    populations: tuple[tuple[str, pl.DataFrame], ...]
    status: str

    def of_kind(self, kind: str) -> list[dict[str, object]]:
        """Records of one kind."""
        return [record for record in self.records if record.get("kind") == kind]


def runs_below(paths: Iterable[Path]) -> list[Path]:
    """The folders of runs: those named, and those right below a folder that is named. Newest first."""
    result: dict[Path, float] = {}
    for path in paths:
        for folder in (path, *(sorted(path.iterdir()) if path.is_dir() else ())):
            if (folder / "run.json").is_file() and (folder / "ledger.jsonl").is_file():
                result[folder] = (folder / "ledger.jsonl").stat().st_mtime
    return sorted(result, key=lambda folder: -result[folder])


def growth(path: Path) -> Growth:
    """What is there now. Files that are just being written, or cannot be read, are left for the next look."""
    written: list[tuple[float, str, pl.DataFrame]] = []
    for file in (path / "history").glob("*.parquet"):
        with suppress(InputError, OSError):
            written.append((file.stat().st_mtime, file.stem, read_frame(file, HISTORY)))
    for file in (path / "checkpoint").glob("*.partial"):
        with suppress(LuthierError, OSError, pl.exceptions.PolarsError, TypeError):
            result = read_tensors(file)
            rows = [] if result is None else validated(list[list[Any]], result[1].get("history", []), "it")
            frame = pl.DataFrame([row[: len(SCHEMA)] for row in rows], schema=SCHEMA, orient="row")
            written.append((file.stat().st_mtime, file.stem, frame))
    populations = tuple((name, frame) for _, name, frame in sorted(written, key=lambda one: one[:2]) if len(frame))
    records: list[dict[str, object]] = []
    with suppress(InputError):
        records = read_ledger(path / "ledger.jsonl")
    return Growth(path, tuple(records), populations, DONE if _finished(path) else UNDER_WAY)


def _finished(path: Path) -> bool:
    return (path / "scores.json").is_file() or (path / "search.json").is_file()


def curves(populations: Sequence[tuple[str, pl.DataFrame]], most: int = 5) -> go.Figure:
    """Training and validation losses of the best member of the latest populations."""
    figure = empty_figure("step", "loss").update_yaxes(type="log")
    for (name, frame), colour in zip(populations[-most:], COLOURS, strict=False):
        known = frame.filter(pl.col("validation_loss").is_finite())
        if not len(known):
            continue
        best = known.sort("validation_loss").row(0, named=True)["member"]
        rows = known.filter(pl.col("member") == best).sort("step")
        for column, dash in (("validation_loss", "solid"), ("train_loss", "dot")):
            figure.add_scatter(
                x=rows["step"].to_list(),
                y=rows[column].to_list(),
                showlegend=column == "validation_loss",
                name=name,
                legendgroup=name,
                line={"color": colour, "dash": dash},
            )
    return soft(figure)


def scatter(populations: Sequence[tuple[str, pl.DataFrame]]) -> go.Figure:
    """Where each member of the latest population stands: training loss against validation loss."""
    figure = empty_figure("training loss", "validation loss").update_xaxes(type="log").update_yaxes(type="log")
    if populations:
        name, frame = populations[-1]
        last = (
            frame.filter(pl.col("validation_loss").is_finite())
            .sort("step")
            .group_by("member", maintain_order=True)
            .last()
        )
        message = [
            (label or tr("member {number}", number=member))
            + tr("<br>step {step}, rate {rate}", step=step, rate=figure_of(rate))
            for member, label, step, rate in last.select("member", "label", "step", "learning_rate").iter_rows()
        ]
        figure.add_scatter(
            x=last["train_loss"].to_list(),
            y=last["validation_loss"].to_list(),
            mode="markers",
            name=name,
            text=message,
            hoverinfo="text",
            marker={"color": BLUE, "size": 11, "opacity": 0.8},
        )
    return soft(figure)

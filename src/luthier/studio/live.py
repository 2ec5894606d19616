"""Runs as they grow: what their folders say while somebody else writes them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import polars as pl
from safetensors import SafetensorError, safe_open

from luthier.engine.history import SCHEMA
from luthier.report.figures import BLUE, GREEN, GREY, ORANGE, PURPLE, empty_figure
from luthier.studio.widgets import soft

COLOURS = (BLUE, ORANGE, GREEN, PURPLE, GREY)
UNDER_WAY, DONE = "under way", "done"


@dataclass(frozen=True)
class Growth:
    """What a run's folder holds at this moment: ledger records, and each population's history, oldest first."""

    path: Path
    records: tuple[dict[str, Any], ...]
    populations: tuple[tuple[str, pl.DataFrame], ...]
    status: str

    def of_kind(self, kind: str) -> list[dict[str, Any]]:
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
    """What is there now. Files that are just being written are left for the next look."""
    written: list[tuple[float, str, pl.DataFrame]] = []
    for file in (path / "history").glob("*.parquet"):
        try:
            written.append((file.stat().st_mtime, file.stem, pl.read_parquet(BytesIO(file.read_bytes()))))
        except (OSError, pl.exceptions.PolarsError):
            continue
    for file in (path / "checkpoint").glob("*.partial"):
        try:
            with safe_open(file, framework="pt") as tensors:
                rows = json.loads((tensors.metadata() or {})["facts"]).get("history", [])
            frame = pl.DataFrame([row[: len(SCHEMA)] for row in rows], schema=SCHEMA, orient="row")
            written.append((file.stat().st_mtime, file.stem, frame))
        except (OSError, SafetensorError, KeyError, json.JSONDecodeError):
            continue
    populations = tuple((name, frame) for _, name, frame in sorted(written, key=lambda one: one[:2]) if len(frame))
    return Growth(path, tuple(_records(path / "ledger.jsonl")), populations, DONE if _finished(path) else UNDER_WAY)


def _finished(path: Path) -> bool:
    return (path / "scores.json").is_file() or (path / "search.json").is_file()


def _records(ledger: Path) -> Iterable[dict[str, Any]]:
    try:
        lines = ledger.read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        try:
            yield json.loads(line)
        except json.JSONDecodeError:  # the last line, half written
            continue


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
            f"{label or f'member {member}'}<br>step {step}, rate {rate:.2g}"
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

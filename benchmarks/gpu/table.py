"""The table of figures, in a file that is written anew after each of them: who ends the program early loses none."""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch


class Row(NamedTuple):
    """A figure as it was measured. Unless it is to be `most`, it reaches a target from above."""

    figure: str
    value: float | None
    unit: str
    target: float | None = None
    most: bool = False
    details: dict[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        """The row, and whether it reached its target."""
        result = self._asdict()
        if self.target is not None and self.value is not None:
            result["reached"] = self.value <= self.target if self.most else self.value >= self.target
        return {name: value for name, value in result.items() if value is not None}


class SkippedError(Exception):
    """A figure cannot be measured here; the message says what is missing."""


class Measure(Protocol):
    """What measures some figures."""

    def __call__(self) -> Iterable[Row]:
        """Rows as they are measured. `SkippedError` where something is missing."""
        ...


class Table:
    """Figures of one run of the program, until it has taken so many `seconds`."""

    def __init__(self, path: Path, device: torch.device, seconds: float, *, quick: bool) -> None:
        self.path, self._began, self._seconds = path, time.monotonic(), seconds
        self.rows: list[dict[str, Any]] = []
        self.facts = {
            "device": device_name(device),
            "torch": torch.__version__,
            "cuda": torch.version.cuda,
            "python": sys.version.split()[0],
            "cores": os.cpu_count(),
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "quick": quick,
        }

    @property
    def left(self) -> float:
        """Seconds that are left."""
        return self._seconds - (time.monotonic() - self._began)

    def measure(self, name: str, needs: float, measured: Measure) -> None:
        """Add what is measured, or why it is not: nothing begins that `needs` more seconds than are left."""
        began = time.monotonic()
        if self.left < needs:
            self._add({"figure": name, "skipped": f"{self.left:.0f} s were left; it needs about {needs:.0f} s"})
            return
        try:
            for row in measured():
                self._add(row.to_json())
        except SkippedError as reason:
            self._add({"figure": name, "skipped": str(reason)})
        except Exception as error:  # the other figures are measured all the same
            traceback.print_exc()
            self._add({"figure": name, "failed": f"{type(error).__name__}: {str(error)[:500]}"})
        print(f"    {name}: {time.monotonic() - began:.0f} s", flush=True)

    @property
    def missed(self) -> list[str]:
        """The figures that failed or missed their target."""
        return [row["figure"] for row in self.rows if "failed" in row or row.get("reached") is False]

    def _add(self, row: dict[str, Any]) -> None:
        self.rows.append(row)
        print(in_words(row), flush=True)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = self.path.with_suffix(".partial")
        seconds = round(time.monotonic() - self._began)
        unfinished.write_text(json.dumps({**self.facts, "seconds": seconds, "figures": self.rows}, indent=1) + "\n")
        os.replace(unfinished, self.path)


def in_words(row: dict[str, Any]) -> str:
    """A row as a line.

    >>> in_words(Row("speed", 2e6, "steps/s", 1e6).to_json())
    'speed: 2,000,000 steps/s; target 1,000,000, reached'
    """
    if "value" not in row:
        kind = "failed" if "failed" in row else "skipped"
        return f"{row['figure']}: {kind}: {row[kind]}"
    said = f"{row['figure']}: {_number(row['value'])} {row['unit']}".rstrip()
    if "target" not in row:
        return said
    return f"{said}; target {_number(row['target'])}, {'reached' if row['reached'] else 'MISSED'}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def device_name(device: torch.device) -> str:
    """The device's own name."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)

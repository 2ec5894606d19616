"""Cells that a model does not know: counted where rows are encoded, and said once for a whole file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from luthier.messages import Message


@dataclass
class Unread:
    """How many cells of each column count as missing or unknown though they say something, with the first of them."""

    counts: dict[str, int] = field(default_factory=dict)
    firsts: dict[str, tuple[str, str]] = field(default_factory=dict)

    def count(self, cells: pl.Series, unread: pl.Series | np.ndarray, why: str) -> None:
        """Count the cells of a column that are marked as unread."""
        result = np.flatnonzero(np.asarray(unread))
        if len(result):
            self.counts[cells.name] = self.counts.get(cells.name, 0) + len(result)
            self.firsts.setdefault(cells.name, (_shown(cells[int(result[0])]), why))

    def sentences(self) -> Iterator[str]:
        """A sentence for each column.

        >>> unread = Unread()
        >>> unread.count(pl.Series("smoker", ["yes", "perhaps"]), np.array([False, True]), "not in training")
        >>> list(unread.sentences())
        ["`smoker`: 1 cell is not in training, such as 'perhaps'; it counts as unknown"]
        """
        for name, count in self.counts.items():
            first, why = self.firsts[name]
            counted = Message("unknown" if why == "not in training" else "missing")
            template = "`{name}`: {count:,} cell is {why}, such as {first}; it counts as {counted}"
            if count > 1:
                template = "`{name}`: {count:,} cells are {why}, such as {first}; they count as {counted}"
            yield Message(template, name=name, count=count, why=Message(why), first=first, counted=counted)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."

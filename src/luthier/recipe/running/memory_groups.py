"""Populations too large for the memory that is allowed: what groups of members came to in turns, put together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import polars as pl
import torch
from torch import Tensor
from typing_extensions import TypedDict

from luthier import storage
from luthier.parquet_pages import parquet_bytes
from luthier.records import JsonObject
from luthier.saved.run_files import HISTORY
from luthier.untrusted import read_frame


class PieceFacts(TypedDict, total=False):
    """What came of a population, or of a piece of it, beside its tensors: lists have a value for each member.

    One that was cut before its first evaluation has `cut` alone. `known` are the members whose outputs are kept, where
    not all are; a population of several pieces has the `cuts` of each, and what was `said` of why there are several.
    """

    statuses: list[str]
    train_loss: list[float | None]
    validation_loss: list[float | None]
    validation_score: list[float | None]
    best_step: list[int]
    steps_done: int
    cut: int | None
    known: list[int] | None
    findings: list[dict[str, object]]
    said: str
    cuts: dict[str, int | None]


Kept = tuple[dict[str, Tensor], PieceFacts]  # tensors of a population, and what came of it
KEPT = 8  # weights kept of each population: the best by validation loss
BLANK: JsonObject = {  # of a member whose turn was cut before its first evaluation
    "statuses": "cut",
    "train_loss": None,
    "validation_loss": None,
    "validation_score": None,
    "best_step": 0,
}


def best_places(losses: Sequence[float | None], most: int, together: int = 1) -> list[int]:
    """The places whose weights are kept, best first: of `most` members, by whole sets that stand `together`.

    >>> best_places([0.3, 0.1, float("nan"), 0.2], 2)
    [1, 3]
    >>> best_places([0.3, 0.1, 0.25, 0.2], 2, together=2)
    [0, 1]
    """
    known = np.array(losses, dtype=float)  # NaN where there is none
    sets = known.reshape(-1, together) if len(known) % together == 0 else known[:, None]
    order = np.argsort(sets.mean(1), kind="stable")
    chosen = [int(place) for place in order if np.isfinite(sets[place]).all()][: most // sets.shape[1]]
    return [place * sets.shape[1] + k for place in chosen for k in range(sets.shape[1])]


def whole_sets(members: Sequence[Any], size: int, together: int) -> list[Sequence[Any]]:
    """Members in groups of at most `size`, sets that stand together in one where a group has room for one."""
    size = size // together * together or size
    return [members[start : start + size] for start in range(0, len(members), size)]


def join_histories(folder: Path, name: str, labels: Sequence[str], sizes: Sequence[int]) -> None:
    """The curves of all groups as one file, their members numbered as in the whole population."""
    result, first = [], 0
    for label, size in zip(labels, sizes, strict=True):
        path = folder / f"{label}.parquet"
        if path.exists():
            result.append(read_frame(path, HISTORY).with_columns(pl.col("member") + first))
        first += size
    if result:
        storage.write_bytes(folder / f"{name}.parquet", parquet_bytes(pl.concat(result)))
        for label in labels:
            (folder / f"{label}.parquet").unlink(missing_ok=True)


def merged(pieces: Sequence[Kept], sizes: Sequence[int], kept: int = KEPT, together: int = 1) -> Kept:
    """What groups of members came to in turns, as if they had trained together."""
    one = next((tensors["logits"] for tensors, _ in pieces if tensors), None)
    if one is None:
        return {}, pieces[0][1]
    lists: dict[str, list[Any]] = {key: [] for key in (*BLANK, "findings")}
    tensors, logits, known, first = dict[str, Tensor](), list[Tensor](), list[int](), 0
    for (result, facts), size in zip(pieces, sizes, strict=True):
        for key, values in lists.items():
            values += cast("list[Any]", facts.get(key, [BLANK[key]] * size if key in BLANK else []))
        own = facts.get("known")
        some = range(size) if own is None else own
        known += [first + member for member in some]
        logits.append(result.get("logits", one.new_full((len(some), *one.shape[1:]), float("nan"))))
        for key, tensor in result.items():
            member, _, parameter = key.partition("/")
            if parameter:
                tensors[f"{int(member) + first}/{parameter}"] = tensor
        first += size
    best = set(best_places(lists["validation_loss"], kept, together))
    tensors = {key: tensor for key, tensor in tensors.items() if int(key.partition("/")[0]) in best}
    some_logits = [rows for rows in logits if len(rows)] or logits[:1]  # of a group of which nothing was kept: none
    all_logits, done = torch.cat(some_logits), max(facts.get("steps_done", 0) for _, facts in pieces)
    result_of_all = cast("PieceFacts", {**lists, "steps_done": done})
    if len(known) == first:
        return {**tensors, "logits": all_logits}, result_of_all
    rows = [row for row, member in enumerate(known) if member in best]
    named = [known[row] for row in rows]
    return {**tensors, "logits": all_logits[rows]}, {**result_of_all, "known": named}

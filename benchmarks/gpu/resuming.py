"""Trainings that are interrupted on one device and go on on another."""

from __future__ import annotations

from dataclasses import replace

import torch

from benchmarks.gpu.cases import MEMBERS, Case
from luthier.engine import Outcome, Snapshot, train
from luthier.errors import TerminatedError


class Kept:
    """A checkpoint in memory."""

    def __init__(self) -> None:
        self._snapshot: Snapshot | None = None

    @property
    def snapshot(self) -> Snapshot:
        """What was saved last."""
        assert self._snapshot is not None
        return self._snapshot

    def load(self) -> Snapshot | None:
        """What was saved last, or None."""
        return self._snapshot

    def due(self) -> bool:
        """It is saved where training is interrupted."""
        return False

    def save(self, snapshot: Snapshot) -> None:
        """Keep a copy, as a file does."""
        self._snapshot = replace(snapshot, tensors={name: t.clone() for name, t in snapshot.tensors.items()})


def interrupted(
    case: Case,
    places: tuple[torch.device, torch.device],
    *,
    steps: int,
    dtype: torch.dtype = torch.float64,
    kept: Kept | None = None,
) -> Outcome:
    """Train half of the steps on one device and the others on another."""
    kept = kept or Kept()

    def stop(done: int) -> bool:
        if done >= steps // 2:
            raise TerminatedError("interrupted")
        return False

    def sitting(device: torch.device, **asked: object) -> Outcome:
        members, (part, held_out), settings = case.asked(device, steps=steps, dtype=dtype)
        folds = torch.arange(len(part)) % MEMBERS if case.folds else None
        validation = None if case.folds else held_out
        return train(members, part, validation, settings, folds=folds, checkpoint=kept, **asked)  # type: ignore[arg-type]

    try:
        sitting(places[0], stop=stop)
    except TerminatedError:
        return sitting(places[1])
    raise AssertionError("the first sitting came to its end")

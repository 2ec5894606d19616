"""One job and who trains it: a job's result follows from the job alone, wherever it is trained."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

from luthier.search.network_jobs import Job, Networks, TrainedJob

Stop = Callable[[], bool]
ATTEMPTS = 3  # a job whose worker died is given to another one


class Executor(Protocol):
    """Trains jobs. `workers` is how many at once; in `folder` lie the states of those under way."""

    workers: int
    folder: Path | None

    def run(self, jobs: Sequence[Job], until: float, interrupted: Stop) -> Iterator[tuple[Job, TrainedJob]]:
        """Jobs with their results, as they come.

        Training ends at `until` (of `time.monotonic`). Jobs that are interrupted give no result: their
        checkpoints wait.
        """

    def close(self) -> None:
        """Let the workers go."""


def state_of(job: Job, folder: Path) -> Path:
    """Where a job's training waits between rungs, and for another sitting."""
    return folder / f"{job.name}.state"


def train_job(networks: Networks, job: Job, folder: Path | None, until: float, interrupted: Stop) -> TrainedJob:
    """Train a job here and now; with a folder, from its checkpoint."""
    began = time.perf_counter()
    checkpoint = None if folder is None else state_of(job, folder)
    trained = networks.train(job, checkpoint, lambda: interrupted() or time.monotonic() > until)
    trained.seconds = time.perf_counter() - began
    return trained

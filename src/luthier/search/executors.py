"""Where populations train: in this process, in worker processes, or on a Ray cluster.

A job's result follows from the job alone, so it is the same wherever it was trained.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import torch

from luthier.errors import InputError, LuthierError, TerminatedError
from luthier.machine import cores, torch_settings
from luthier.messages import Message
from luthier.search.jobs import ATTEMPTS, Executor, Stop, train_job
from luthier.search.network_jobs import Job, Networks, TrainedJob


class Here:
    """One job after another in this process, in one thread as everywhere: more would round otherwise."""

    workers = 1

    def __init__(self, networks: Networks, folder: Path | None) -> None:
        self.networks, self.folder = networks, folder

    def run(self, jobs: Sequence[Job], until: float, interrupted: Stop) -> Iterator[tuple[Job, TrainedJob]]:
        """Jobs with their results, in order."""
        for job in jobs:
            with torch_settings(threads=1):
                trained = train_job(self.networks, job, self.folder, until, interrupted)
            if interrupted():
                return
            yield job, trained

    def close(self) -> None:
        """Nothing to let go."""


class Processes:
    """Jobs in forked processes of one thread each, which see the data where it lies."""

    def __init__(self, networks: Networks, folder: Path | None, workers: int) -> None:
        if "fork" not in multiprocessing.get_all_start_methods():
            raise InputError("several workers need fork, which this system does not have", remedy="workers=1")
        self.networks, self.folder, self.workers = networks, folder, workers
        self._pool: ProcessPoolExecutor | None = None

    def run(self, jobs: Sequence[Job], until: float, interrupted: Stop) -> Iterator[tuple[Job, TrainedJob]]:
        """Jobs with their results, as they come. A job whose worker died is given to another one."""
        for attempt in range(1, ATTEMPTS + 1):
            done: set[str] = set()
            try:
                for job, trained in self._submitted(jobs, until, interrupted):
                    done.add(job.name)
                    yield job, trained
                return
            except BrokenProcessPool as error:
                self.close()
                jobs = [job for job in jobs if job.name not in done]
                if attempt == ATTEMPTS:
                    raise LuthierError(
                        Message("a worker process died before its networks were done, {count} times", count=ATTEMPTS),
                        received=f"population {jobs[0].name}",
                        remedy="usually the memory ran out: use fewer workers, or smaller networks",
                    ) from error

    def _submitted(self, jobs: Sequence[Job], until: float, interrupted: Stop) -> Iterator[tuple[Job, TrainedJob]]:
        if self._pool is None:
            context = multiprocessing.get_context("fork")
            given = (self.networks, self.folder)
            self._pool = ProcessPoolExecutor(self.workers, context, initializer=_begin, initargs=given)
        with warnings.catch_warnings():
            # Threads of other libraries do not live on in a fork; ours works with one thread and needs none of them.
            warnings.filterwarnings("ignore", message=".*fork.*")
            futures: dict[Future[TrainedJob], Job] = {self._pool.submit(_work, job, until): job for job in jobs}
        waiting = set(futures)
        while waiting:
            ended, waiting = wait(waiting, timeout=0.2, return_when=FIRST_COMPLETED)
            try:
                for future in ended:
                    yield futures[future], future.result()
                ends = interrupted()
            except TerminatedError as error:
                self._interrupt()
                interrupted()  # raises where we were told ourselves; else it was a worker alone, which is lost
                raise BrokenProcessPool("a worker was terminated") from error
            if ends:
                self._interrupt()
                return

    def _interrupt(self) -> None:
        """Stop the workers now: the jobs under way save their state, and go on from it another time."""
        processes = {} if self._pool is None else self._pool._processes or {}
        for process in list(processes.values()):
            process.terminate()
        self.close()

    def close(self) -> None:
        """Let the workers go."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=True, cancel_futures=True)


_inherited: dict[str, Any] = {}


def _begin(networks: Networks, folder: Path | None) -> None:
    for name in (signal.SIGINT, signal.SIGHUP):  # the terminal sends them to all: they are the parent's business
        signal.signal(name, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _told_to_end)
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    torch.set_num_threads(1)
    _inherited.update(networks=networks, folder=folder)


def _end_with(parent: int) -> None:
    """End this process when the one that began it is gone, killed for instance: nobody waits for us then."""
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(1)


def _told_to_end(signum: int, frame: object) -> None:
    _inherited["terminated"] = True


def _ends() -> bool:
    """Raise TerminatedError in a worker that was told to end: training saves its state on the way out."""
    if "terminated" in _inherited:
        raise TerminatedError("the worker was terminated")
    return False


def _work(job: Job, until: float) -> TrainedJob:
    return train_job(_inherited["networks"], job, _inherited["folder"], until, _ends)


def executor_for(on: str, networks: Networks, folder: Path | None, workers: int | None) -> Executor:
    """`local`, `ray` (a cluster that is started here, or the one that is running), or a cluster's address."""
    if on == "local":
        count = cores() if workers is None else workers
        return Here(networks, folder) if count == 1 else Processes(networks, folder, count)
    from luthier.search.cluster import OnCluster, cluster_at

    return OnCluster(networks, cluster_at(on, folder, workers))

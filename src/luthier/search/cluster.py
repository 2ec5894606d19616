"""Populations, or pieces of them, as tasks of a Ray cluster: lost workers are replaced, from the checkpoint."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from luthier.errors import InputError, in_a_line
from luthier.messages import Message
from luthier.optional import require
from luthier.search.jobs import ATTEMPTS, Stop, train_job
from luthier.search.network_jobs import Job, Networks, TrainedJob

J = TypeVar("J")  # a job: it has a name
REACHED_WITHIN = 5.0  # seconds
ON_LOOPBACK = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"  # "0": Ray's own way to listen there alone, on any system


def require_cluster(on: str) -> None:
    """InputError where nothing can train `on` this: it is not `ray` or an address, nobody answers there, Ray is not
    installed."""
    if on != "ray" and ":" not in on:
        raise InputError(
            Message("cannot train on '{on}'", on=on), expected="local, ray, or the address of a Ray cluster"
        )
    require("ray", extra="ray", purpose="training on a cluster")
    if on != "ray":
        try:
            host, _, port = on.removeprefix("ray://").rpartition(":")
            socket.create_connection((host, int(port)), timeout=REACHED_WITHIN).close()  # Ray itself waits for minutes
        except (OSError, ValueError) as error:
            raise _out_of_reach(on, error) from error


def cluster_at(on: str, folder: Path | None, workers: int | None) -> Cluster:
    """The Ray cluster of that address; `ray` is the one that is running, or else one that is started here.

    Errors as of `require_cluster`.
    """
    require_cluster(on)
    return Cluster(folder, None if on == "ray" else on, workers)


def _out_of_reach(address: str, error: Exception) -> InputError:
    return InputError(
        Message("the Ray cluster at '{address}' cannot be reached", address=address),
        received=in_a_line(error)[:200],
        remedy="start one with `ray start --head`, or use --on ray for one on this machine",
    )


class Cluster:
    """A Ray cluster: the one at `address`, or one on this machine, that only this machine reaches,
    with so many `workers`.

    The `folder` of checkpoints must be seen by every machine (a shared file system), or lost work is done
    again from its start.
    """

    def __init__(self, folder: Path | None, address: str | None, workers: int | None) -> None:
        if address is None:  # whoever reaches a port of Ray runs code with the rights of its user
            os.environ.setdefault(ON_LOOPBACK, "0")
        self._ray: Any = require("ray", extra="ray", purpose="training on a cluster")
        self._ours = not self._ray.is_initialized()
        if self._ours:
            self._connect(address, workers)
        self.workers = max(1, int(self._ray.cluster_resources().get("CPU", 1)))
        self.folder = None if folder is None else folder.resolve()
        self._task = self._ray.remote(num_cpus=1, max_retries=ATTEMPTS)(_train)

    def _connect(self, address: str | None, workers: int | None) -> None:
        if address is None:
            options = {"log_to_driver": False, "include_dashboard": False, "configure_logging": False}
            self._ray.init(num_cpus=workers, **options)
            return
        try:
            self._ray.init(address=address, log_to_driver=False)
        except (OSError, RuntimeError, ValueError) as error:
            raise _out_of_reach(address, error) from error

    def train(self, shared: Any, jobs: Sequence[J], until: float, interrupted: Stop) -> Iterator[tuple[J, Any]]:
        """Jobs with what `shared.train` makes of each, as they come; `shared` travels once."""
        left, held = until - time.monotonic(), self._ray.put(shared)
        tasks = {self._task.remote(held, job, self.folder, left): job for job in jobs}
        waiting = list(tasks)
        try:
            while waiting:
                ended, waiting = self._ray.wait(waiting, num_returns=1, timeout=0.5)
                for task in ended:
                    yield tasks[task], self._ray.get(task)
                if interrupted():
                    return
        finally:
            for task in waiting:
                self._ray.cancel(task, force=True)

    def close(self) -> None:
        """Leave the cluster; one that was started here ends."""
        if self._ours:
            self._ray.shutdown()


class OnCluster:
    """An executor of a search's jobs on a cluster."""

    def __init__(self, networks: Networks, cluster: Cluster) -> None:
        self._networks, self._cluster = networks, cluster
        self.workers, self.folder = cluster.workers, cluster.folder

    def run(self, jobs: Sequence[Job], until: float, interrupted: Stop) -> Iterator[tuple[Job, TrainedJob]]:
        """Jobs with their results, as they come."""
        yield from self._cluster.train(self._networks, jobs, until, interrupted)

    def close(self) -> None:
        """Leave the cluster."""
        self._cluster.close()


def _train(shared: Any, job: Any, folder: Path | None, left: float) -> Any:
    import torch

    torch.set_num_threads(1)
    return train_job(shared, job, folder, time.monotonic() + left, lambda: False)

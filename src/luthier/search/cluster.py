"""Populations as tasks of a Ray cluster: lost workers are replaced, and go on from the checkpoint."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from luthier.errors import InputError, in_a_line
from luthier.optional import require
from luthier.search.jobs import ATTEMPTS, Stop, train_job
from luthier.search.network_jobs import Job, Networks, TrainedJob

REACHED_WITHIN = 5.0  # seconds
ON_LOOPBACK = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"  # "0": Ray's own way to listen there alone, on any system


class Cluster:
    """A Ray cluster: the one at `address`, or one on this machine, that only this machine reaches,
    with so many `workers`.

    The checkpoint folder must be seen by every machine (a shared file system), or lost work is done
    again from its start.
    """

    def __init__(self, networks: Networks, folder: Path | None, address: str | None, workers: int | None) -> None:
        if address is None:  # whoever reaches a port of Ray runs code with the rights of its user
            os.environ.setdefault(ON_LOOPBACK, "0")
        self._ray: Any = require("ray", extra="ray", purpose="training on a cluster")
        self._ours = not self._ray.is_initialized()
        if self._ours:
            self._connect(address, workers)
        self.workers = max(1, int(self._ray.cluster_resources().get("CPU", 1)))
        self._networks = self._ray.put(networks)
        self.folder = None if folder is None else folder.resolve()
        self._task = self._ray.remote(num_cpus=1, max_retries=ATTEMPTS)(_train)

    def _connect(self, address: str | None, workers: int | None) -> None:
        options: dict[str, Any] = {"log_to_driver": False, "include_dashboard": False, "configure_logging": False}
        if address is None:
            self._ray.init(num_cpus=workers, **options)
            return
        try:
            host, _, port = address.removeprefix("ray://").rpartition(":")
            socket.create_connection((host, int(port)), timeout=REACHED_WITHIN).close()  # Ray itself waits for minutes
            self._ray.init(address=address, log_to_driver=False)
        except (OSError, RuntimeError, ValueError) as error:
            raise InputError(
                f"the Ray cluster at '{address}' cannot be reached",
                received=in_a_line(error)[:200],
                remedy="start one with `ray start --head`, or use --on ray for one on this machine",
            ) from error

    def run(self, jobs: Sequence[Job], until: float, interrupted: Stop) -> Iterator[tuple[Job, TrainedJob]]:
        """Jobs with their results, as they come."""
        left = until - time.monotonic()
        tasks = {self._task.remote(self._networks, job, self.folder, left): job for job in jobs}
        waiting = list(tasks)
        while waiting:
            ended, waiting = self._ray.wait(waiting, num_returns=1, timeout=0.5)
            for task in ended:
                yield tasks[task], self._ray.get(task)
            if interrupted():
                for task in waiting:
                    self._ray.cancel(task, force=True)
                return

    def close(self) -> None:
        """Leave the cluster; one that was started here ends."""
        if self._ours:
            self._ray.shutdown()


def _train(networks: Networks, job: Job, folder: Path | None, left: float) -> TrainedJob:
    import torch

    torch.set_num_threads(1)
    return train_job(networks, job, folder, time.monotonic() + left, lambda: False)

"""Several processes that answer at one address: each has a model of its own, and one that ends is replaced.

They are forked before a model, PyTorch or Polars is loaded, whose threads would not live on in a fork. The system gives
each connection to one that waits.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from types import FrameType

from luthier.errors import InputError
from luthier.serving.readers.limits import SHARED_COUNTS

SOON, TIMES = 5.0, 3  # a worker that ends within so many seconds of its start, so often in a row, is not replaced
FORWARDED = ("SIGTERM", "SIGINT", "SIGHUP")


def in_workers(count: int, serve: Callable[[], None]) -> int:
    """Serve in so many processes, which count together; the exit code. InputError where the system has no fork."""
    if not hasattr(os, "fork"):
        raise InputError("several workers need fork, which this system does not have", remedy="--workers 1")
    with tempfile.TemporaryDirectory(prefix="luthier-counts-") as folder:
        os.environ[SHARED_COUNTS] = folder
        return Workers(count, serve).run()


class Workers:
    """So many processes that `serve`."""

    def __init__(self, count: int, serve: Callable[[], None]) -> None:
        self._count, self._serve = count, serve
        self._running: dict[int, float] = {}  # when each process began
        self._ends = False

    def run(self) -> int:
        """Until SIGTERM or Ctrl-C, or until workers end as soon as they begin; the exit code."""
        for name in FORWARDED:
            signal.signal(getattr(signal, name), self._forward)
        failed = 0
        for _ in range(self._count):
            self._start()
        while self._running:
            process, status = os.wait()
            began = self._running.pop(process, None)
            if began is None or self._ends:
                continue
            failed = failed + 1 if time.monotonic() - began < SOON else 0
            if failed >= TIMES:
                self._end(signal.SIGTERM)
            else:
                print(f"worker {process} ended ({os.waitstatus_to_exitcode(status)}), another begins", file=sys.stderr)
                self._start()
        return int(failed >= TIMES)

    def _start(self) -> None:
        parent = os.getpid()
        process = os.fork()
        if process:
            self._running[process] = time.monotonic()
            return
        code = 1
        try:
            for name in FORWARDED:
                signal.signal(getattr(signal, name), signal.SIG_DFL)
            threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
            self._serve()
            code = 0
        except KeyboardInterrupt:
            code = 0
        except BaseException as error:
            print(f"a worker could not begin: {error}", file=sys.stderr)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def _forward(self, number: int, _: FrameType | None) -> None:
        if number == getattr(signal, "SIGHUP", None):
            for process in self._running:
                os.kill(process, number)
        else:
            self._end(signal.SIGTERM)

    def _end(self, number: int) -> None:
        self._ends = True
        for process in self._running:
            os.kill(process, number)


def _end_with(parent: int) -> None:
    """End this process when the one that began it is gone, killed for instance."""
    while os.getppid() == parent:
        time.sleep(1.0)
    os.kill(os.getpid(), signal.SIGTERM)

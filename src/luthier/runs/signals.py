"""How a run ends when the system or the user asks it to."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from luthier.recipe import Interrupted


@contextmanager
def ended_by_signals(interrupted: Interrupted) -> Iterator[None]:
    """The first Ctrl-C ends training at the next step and delivers the best so far; the second aborts.

    SIGTERM, and SIGHUP unless it was ignored (nohup), save the state at the next step and end the program, at once
    where nothing is trained; what follows them does not hinder that, but a second one of the same kind ends it at once.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {name: signal.getsignal(name) for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}

    def first(signum: int, frame: object) -> None:
        interrupted.raised = True
        signal.signal(signal.SIGINT, before[signal.SIGINT])

    def end(signum: int, frame: object) -> None:
        interrupted.told_to_end = True
        signal.signal(signum, before[signal.Signals(signum)])
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        if not interrupted.is_asked:
            bool(interrupted)

    signal.signal(signal.SIGINT, first)
    for name in (signal.SIGTERM, signal.SIGHUP):
        if before[name] is not signal.SIG_IGN:
            signal.signal(name, end)
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)

"""Another model in place of the one that is served, while requests are answered: on SIGHUP, or when its file changes.

The new one is read beside the old one, and takes its place between two requests; those that began with the old one end
with it. A file that cannot be read, or is not yet whole, changes nothing.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import threading
from collections.abc import Callable
from pathlib import Path

from luthier.errors import LuthierError, in_a_line
from luthier.saved import RunFolder, load
from luthier.serving.served_model import ServedModel

EVERY = 1.0  # seconds between looks at a file that is watched
log = logging.getLogger(__name__)


class Reloader:
    """Puts the model of a file in the place of the one that is served."""

    def __init__(self, path: Path, served: ServedModel, put: Callable[[ServedModel], None], *, watch: bool) -> None:
        self._path, self._served, self._put, self._watch = path, served, put, watch
        self._file = RunFolder(path).bundle if path.is_dir() else path
        self._asked = asyncio.Event()
        self._seen = self._stamp()

    async def run(self) -> None:
        """Until it is cancelled."""
        hangup = getattr(signal, "SIGHUP", None)  # which Windows does not have
        if hangup is not None and threading.current_thread() is threading.main_thread():
            asyncio.get_running_loop().add_signal_handler(hangup, self._asked.set)
        while True:
            try:
                await asyncio.wait_for(self._asked.wait(), EVERY if self._watch else None)
            except TimeoutError:
                if self._stamp() in (None, self._seen):
                    continue
            self._asked.clear()
            self._seen = self._stamp()
            await self._reload()

    async def _reload(self) -> None:
        try:
            served = await asyncio.to_thread(lambda: ServedModel(load(self._path), self._served.runtime))
        except (LuthierError, OSError) as error:
            log.error("the model at %s was not replaced: %s", self._path, in_a_line(error))
            return
        if served.content != self._served.content:
            log.warning("the model at %s takes other columns than the one before", self._path)
        self._served = served
        self._put(served)
        gc.unfreeze()  # else the cycles of the old one would stay for ever
        gc.collect()
        gc.freeze()
        log.info("the model at %s has replaced the one before", self._path)

    def _stamp(self) -> tuple[int, int, int] | None:
        """What changes when the file does; None where there is none."""
        try:
            found = self._file.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino

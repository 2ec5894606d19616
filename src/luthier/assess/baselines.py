"""Baselines beside the network, fitted in a child process that is stopped at its slot."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np

from luthier.assess import baseline_process
from luthier.assess.baseline_process import (
    ENOUGH,
    READY,
    TESTED,
    TREES,
    UNWEIGHED,
    names_for,
    quantile_trees,
    write_arrays,
)
from luthier.data import Task, flat
from luthier.messages import Message
from luthier.records import JsonObject
from luthier.rows import Rows
from luthier.storage import explained

POLL_SECONDS = 0.02
FOLDER = ".baselines-"  # how its name begins, below a run's


class ValueBaselines(NamedTuple):
    """What baselines of values learn: a loss in scikit-learn's words with its quantile, and quantiles, which trees of
    their own learn."""

    loss: tuple[str, float] = ("squared_error", 0.5)
    levels: tuple[float, ...] = ()


OF_MEANS = ValueBaselines()


class BaselineRun:
    """Baselines being fitted beside the training, one thread of their own.

    The test rows reach the process only through `ask`, when they have been opened. Rows go through a pipe: no
    disk holds any, however the program ends. What is predicted lies in a folder below `place` (default: the system's).
    After so many `seconds` no other baseline is begun.
    """

    def __init__(
        self,
        training: Rows,
        validation: Rows,
        task: Task,
        sizes: tuple[int, ...],
        words: tuple[int, int, int] = (0, 0, 0),  # tokens, how many of these are pieces, and vectors
        place: Path | None = None,
        values: ValueBaselines = OF_MEANS,
        seconds: float | None = None,
    ) -> None:
        levels = values.levels
        self.task, self.loss, self._weighed = task, values.loss, training.weights is not None
        usual = names_for(task.traits.baselines, text=words[0] > 0, vectors=words[2] > 0)
        self.names = (*usual, *(quantile_trees(level) for level in levels if TREES in usual))
        with explained(place or Path(tempfile.gettempdir())):
            self.folder = Path(tempfile.mkdtemp(prefix=FOLDER, dir=place))
            self._child = self._begun("pixels" in training.inputs, sizes, words, seconds)
        self._sender = self._sending(_arrays(training), _arrays(validation))

    def _begun(
        self, pictures: bool, sizes: tuple[int, ...], words: tuple[int, int, int], seconds: float | None
    ) -> subprocess.Popen[bytes]:
        task = self.task
        facts: JsonObject = {
            "classes": len(task.classes),
            "log_scale": task.log_scale,
            "bounds": (task.traits.lowest, task.traits.highest),
            "sizes": sizes,
            "loss": self.loss,
            "pictures": pictures,
            "words": words,
            "names": self.names,
            "seconds": seconds,
        }
        (self.folder / "task.json").write_text(json.dumps(facts))
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
            "MKL_NUM_THREADS": "1",
        }
        with (self.folder / "errors.txt").open("wb") as errors:
            return subprocess.Popen(
                # By its path: it needs scikit-learn alone, and PyTorch takes seconds to import.
                [sys.executable, "-P", baseline_process.__file__, str(self.folder)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                env=environment,
                start_new_session=True,  # Ctrl-C is the parent's to handle
            )

    def _sending(self, *parts: dict[str, np.ndarray]) -> threading.Thread:
        """Rows on their way: the process takes them when it is ready for them."""
        result = threading.Thread(target=self._send, args=parts, daemon=True)
        result.start()
        return result

    def _send(self, *parts: dict[str, np.ndarray]) -> None:
        stream = self._child.stdin
        assert stream is not None
        try:
            for part in parts:
                write_arrays(stream, part)
            stream.flush()
        except OSError:  # the process has ended; `failed` says why
            pass

    def unweighed(self) -> tuple[str, ...]:
        """The baselines that rows of any weight count alike for."""
        return tuple(name for name in self.names if name in UNWEIGHED) if self._weighed else ()

    def wait(self, give_up: Callable[[], bool], count: int | None = None) -> dict[str, np.ndarray]:
        """Validation predictions of the baselines, or the first so many, that were ready before `give_up` said so.
        Later ones are not begun: nobody would ask for their test predictions, and the process would answer for none
        until all are fitted.
        """
        result = self._gather("validation", give_up, self.names[:count])
        (self.folder / ENOUGH).touch()
        return result

    def finish(self, give_up: Callable[[], bool]) -> None:
        """Wait until all are fitted; once `give_up` says so, only for the one under way: then the cores are free."""
        while not (self.folder / READY).exists() and self._child.poll() is None:
            if give_up():
                (self.folder / ENOUGH).touch()
            time.sleep(POLL_SECONDS)

    def ask(self, test: Rows) -> None:
        """Hand out the opened test rows: the baselines that are fitted predict them meanwhile."""
        self._sender.join()
        self._sender = self._sending(_inputs(test))

    def predicted(self, give_up: Callable[[], bool]) -> dict[str, np.ndarray]:
        """Their predictions for the test rows that were handed out."""
        return self._gather("test", give_up, self.names)

    def _gather(self, part: str, give_up: Callable[[], bool], names: Sequence[str]) -> dict[str, np.ndarray]:
        paths = {name: self.folder / f"{name}.{part}.npz" for name in names}
        while not all(path.exists() or (self.folder / f"{name}.failed").exists() for name, path in paths.items()):
            over = (self.folder / (READY if part == "validation" else TESTED)).exists()
            if over or give_up() or self._child.poll() is not None:
                break
            time.sleep(POLL_SECONDS)
        result = {}
        for name, path in paths.items():
            if path.exists():
                with np.load(path, allow_pickle=False) as arrays:
                    result[name] = arrays["prediction"]
        return result

    def failed(self) -> dict[str, str]:
        """The baselines that could not be fitted, and why; all that are missing where the process ended."""
        paths = {name: self.folder / f"{name}.failed" for name in self.names}
        reasons: dict[str, str] = {name: _reason(path) for name, path in paths.items() if path.exists()}
        if self._child.poll() in (None, 0):
            return reasons
        lines = (self.folder / "errors.txt").read_text(errors="replace").strip().splitlines()
        code = self._child.returncode
        said = lines[-1] if lines else Message("code {code}", code=code)
        end = Message("the process that fits it ended before it was done ({said})", said=said)
        missing = [name for name in self.names if not (self.folder / f"{name}.validation.npz").exists()]
        return {**dict.fromkeys(missing, end), **reasons}

    @staticmethod
    def clear(place: Path) -> None:
        """Remove what a program that was killed has left below a place."""
        for folder in place.glob(f"{FOLDER}*"):
            shutil.rmtree(folder, ignore_errors=True)

    def close(self) -> None:
        """End the process and remove its files."""
        if self._child.poll() is None:
            self._child.kill()
        self._child.wait()
        self._sender.join()
        if self._child.stdin is not None:
            with suppress(OSError):  # what was not sent yet
                self._child.stdin.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def _reason(path: Path) -> Message:
    """Why one could not be fitted, as its process has written it."""
    return Message.of_data(json.loads(path.read_text(encoding="utf-8")))


def _arrays(rows: Rows) -> dict[str, np.ndarray]:
    weights = {} if rows.weights is None else {"weights": rows.weights.numpy()}
    return {**_inputs(rows), "targets": rows.targets.numpy(), **weights}


def _inputs(rows: Rows) -> dict[str, np.ndarray]:
    tokens = {"tokens": rows.inputs.tokens.numpy()} if "tokens" in rows.inputs else {}
    return {"numbers": flat(rows.inputs).numpy(), "codes": rows.codes.numpy(), **tokens}

"""Baselines beside the network, fitted in a child process that is stopped at its slot."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from luthier.assess import baseline_process
from luthier.assess.baseline_process import ENOUGH, READY, TESTED, UNWEIGHED, names_for
from luthier.data import Dataset, Task, flat

POLL_SECONDS = 0.02


class BaselineRun:
    """Baselines being fitted beside the training, one thread of their own.

    The test rows reach the process only through `predict_test`, when they have been opened.
    """

    def __init__(
        self,
        training: Dataset,
        validation: Dataset,
        task: Task,
        sizes: tuple[int, ...],
        words: tuple[int, int] = (0, 0),  # numbers of a row that are ids, and how many of these are pieces
    ) -> None:
        self.task, self._weighed = task, training.weights is not None
        self.names = names_for(task.kind, text=words[0] > 0)
        self.folder = Path(tempfile.mkdtemp(prefix="luthier-baselines-"))
        facts: dict[str, Any] = {
            "kind": task.kind,
            "classes": len(task.classes),
            "log_scale": task.log_scale,
            "sizes": sizes,
        }
        facts |= {"pictures": training.numbers.ndim == 4, "words": words, "names": self.names}
        (self.folder / "task.json").write_text(json.dumps(facts))
        self._write("training", training)
        self._write("validation", validation)
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
            "MKL_NUM_THREADS": "1",
        }
        with (self.folder / "errors.txt").open("wb") as errors:
            self._child = subprocess.Popen(
                # By its path: it needs scikit-learn alone, and PyTorch takes seconds to import.
                [sys.executable, "-P", baseline_process.__file__, str(self.folder)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                env=environment,
                start_new_session=True,  # Ctrl-C is the parent's to handle
            )

    def _write(self, name: str, part: Dataset) -> None:
        arrays = {"numbers": flat(part.numbers).numpy(), "codes": part.codes.numpy()}
        if part.targets is not None:
            arrays["targets"] = part.targets.numpy()
        if part.weights is not None:
            arrays["weights"] = part.weights.numpy()
        np.savez(self.folder / f"{name}.npz", **arrays)  # type: ignore[arg-type]

    def unweighed(self) -> tuple[str, ...]:
        """The baselines that rows of any weight count alike for."""
        return tuple(name for name in self.names if name in UNWEIGHED) if self._weighed else ()

    def wait(self, give_up: Callable[[], bool]) -> dict[str, np.ndarray]:
        """Validation predictions by baseline, of those that were ready before `give_up` said so."""
        return self._gather("validation", give_up)

    def finish(self, give_up: Callable[[], bool]) -> None:
        """Wait until all are fitted; once `give_up` says so, only for the one under way: then the cores are free."""
        while not (self.folder / READY).exists() and self._child.poll() is None:
            if give_up():
                (self.folder / ENOUGH).touch()
            time.sleep(POLL_SECONDS)

    def predict_test(self, test: Dataset, give_up: Callable[[], bool]) -> dict[str, np.ndarray]:
        """Predictions for the opened test rows by baseline."""
        self._write("test", Dataset(test.numbers, test.codes))
        if self._child.stdin is not None and self._child.poll() is None:
            try:
                self._child.stdin.write(b"test\n")
                self._child.stdin.flush()
            except BrokenPipeError:
                return {}
        return self._gather("test", give_up)

    def _gather(self, part: str, give_up: Callable[[], bool]) -> dict[str, np.ndarray]:
        paths = {name: self.folder / f"{name}.{part}.npz" for name in self.names}
        while not all(path.exists() for path in paths.values()):
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
        reasons = {name: path.read_text(encoding="utf-8") for name, path in paths.items() if path.exists()}
        if self._child.poll() in (None, 0):
            return reasons
        lines = (self.folder / "errors.txt").read_text(errors="replace").strip().splitlines()
        end = lines[-1] if lines else f"its process ended with code {self._child.returncode}"
        missing = [name for name in self.names if not (self.folder / f"{name}.validation.npz").exists()]
        return {**dict.fromkeys(missing, end), **reasons}

    def close(self) -> None:
        """End the process and remove its files."""
        if self._child.poll() is None:
            self._child.kill()
        self._child.wait()
        if self._child.stdin is not None:
            self._child.stdin.close()
        shutil.rmtree(self.folder, ignore_errors=True)

"""ONNX Runtime beside PyTorch where it is installed and faster, while the server answers already.

Making the graph takes seconds the first time, in a process of its own. Then answers are compared with the model's, and
both are timed: of few rows ONNX Runtime is several times as fast, of many it may be slower.
"""

from __future__ import annotations

import asyncio
import logging
import tempfile
import time
from asyncio.subprocess import DEVNULL, PIPE
from pathlib import Path

import numpy as np
import torch

from luthier.errors import LuthierError, in_a_line
from luthier.exporting.exported_rows import exportable
from luthier.exporting.runtime import LIBRARIES, in_runtime, making, rows_to_compare_by
from luthier.optional import has
from luthier.rows import Inputs
from luthier.saved import Model
from luthier.serving.predictions import Answers, Compute, by_torch

SIZES, TIMES = (1, 16, 64, 256), 7  # rows, or pictures, at a time; the quickest of so many calls counts
log = logging.getLogger(__name__)


async def faster_by_onnx(answers: Answers) -> None:
    """Compute few rows by ONNX Runtime from when it is ready; PyTorch alone where it cannot, which the log says."""
    if not all(has(name) for name in LIBRARIES):
        return
    try:
        exportable(answers.model)
        await _made(answers.model)
        most = await asyncio.to_thread(put, answers)
    except (LuthierError, OSError) as error:
        log.info("PyTorch computes all answers: %s", in_a_line(error))
        return
    if most:
        log.info("ONNX Runtime computes up to %d rows at a time, PyTorch more", most)
    else:
        log.info("PyTorch computes all answers: ONNX Runtime is not faster")


async def _made(model: Model) -> None:
    """Wait until the graph is kept. LuthierError where it cannot be made; ends its process when it is cancelled."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "model.luthier"
        await asyncio.to_thread(model.save, copy)
        process = await asyncio.create_subprocess_exec(*making(copy), stdin=DEVNULL, stdout=DEVNULL, stderr=PIPE)
        try:
            _, said = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
        if process.returncode:
            raise LuthierError("the graph was not made", received=said.decode(errors="replace").strip()[-300:])


def put(answers: Answers) -> int:
    """Use ONNX Runtime where it is faster; up to how many rows."""
    model = answers.model
    plain, onnx = by_torch(model), in_runtime(model)
    drawn = rows_to_compare_by(model)[0]
    most = 0
    for size in SIZES:
        places = torch.arange(size) % drawn.rows
        rows = drawn.map(lambda value, places=places: value[places])  # type: ignore[misc]
        if _seconds(onnx, rows) > _seconds(plain, rows):
            break
        most = size

    def compute(inputs: Inputs) -> np.ndarray:
        return (onnx if inputs.rows <= most else plain)(inputs)

    if most:
        answers.compute_by(compute, "onnx")
    return most


def _seconds(compute: Compute, rows: Inputs) -> float:
    """The quickest of several calls."""

    def timed() -> float:
        began = time.perf_counter()
        compute(rows)
        return time.perf_counter() - began

    return min(timed() for _ in range(TIMES))

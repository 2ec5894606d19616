"""ONNX Runtime in place of PyTorch: a model's graph, made once and kept, and the session that computes it.

PyTorch's exporter takes seconds and 200 MB, so it works in a process of its own. The graph is kept under a checksum of
what it was made of.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import torch
from filelock import FileLock

import luthier
from luthier import storage
from luthier.errors import LuthierError
from luthier.exporting.exported_rows import exportable
from luthier.exporting.to_onnx import gap_to, refuse
from luthier.optional import has, require
from luthier.rows import Inputs
from luthier.saved import Model

PURPOSE = "predicting by ONNX Runtime"
LIBRARIES = ("onnx", "onnxscript", "onnxruntime")


def in_runtime(model: Model) -> Callable[[Inputs], np.ndarray]:
    """Encoded rows by ONNX Runtime in place of PyTorch: inputs to probabilities or values.

    It is compared with the model on drawn rows first, gaps and codes never seen among them, and on a typical one; or on
    drawn pictures. InputError for a model that has no graph, MissingExtraError without the libraries, LuthierError
    where the answers differ.
    """
    exportable(model)
    for name in LIBRARIES:
        if not has(name):
            require(name, extra="onnx", purpose=PURPOSE)  # which says how to install it
    runtime = require("onnxruntime", extra="onnx", purpose=PURPOSE)
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = runtime.InferenceSession(_graph_of(model), options, providers=["CPUExecutionProvider"])
    wanted = [given.name for given in session.get_inputs()]

    def compute(inputs: Inputs) -> np.ndarray:
        given = {"pictures" if name == "pixels" else name: value.numpy() for name, value in inputs.items()}
        result: np.ndarray = session.run(None, {name: given[name] for name in wanted})[0]
        return result if model.task.classes else result[:, 0]

    for rows in rows_to_compare_by(model):
        refuse(gap_to(model, compute(rows), rows), model, rows.rows)
    return compute


def making(copy: Path) -> list[str]:
    """The command that makes the graph of a model's file, unless it is kept already."""
    return [sys.executable, "-m", "luthier.exporting.runtime", str(copy)]


def _graph_of(model: Model) -> bytes:
    """The graph of encoded rows, from the cache or made anew."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "model.luthier"
        model.save(copy)
        kept = _kept(copy)
        if not kept.exists():
            done = subprocess.run(making(copy), capture_output=True, text=True)
            if done.returncode:
                reason = done.stderr.strip().rpartition("\n")[2]
                raise LuthierError("PyTorch cannot export this model to ONNX", received=reason)
        return kept.read_bytes()


def _kept(copy: Path) -> Path:
    """Where the graph of a model's file is kept."""
    made_of = storage.sha256(copy.read_bytes()), luthier.__version__, torch.__version__
    return storage.cache_folder("graphs") / f"{storage.sha256(repr(made_of).encode())[:32]}.onnx"


def _make(copy: Path) -> None:
    """Make the graph of a model's file; of processes that want the same one, the first."""
    kept = _kept(copy)
    kept.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(kept.with_suffix(".lock")):
        if not kept.exists():
            model = Model.load(copy)
            core = exportable(model).core(model)
            storage.write_bytes(kept, core.SerializeToString())


def rows_to_compare_by(model: Model) -> list[Inputs]:
    """Rows of every kind, and the typical one."""
    drawn, typical = exportable(model).drawn(model.encoder), model.typical_row()
    return [drawn, model.encode(pl.DataFrame([typical]))] if typical else [drawn]


if __name__ == "__main__":
    if hasattr(os, "nice"):
        os.nice(5)  # a server may be answering meanwhile
    _make(Path(sys.argv[1]))

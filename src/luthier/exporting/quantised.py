"""ONNX with its weights in 8 bits, and what that costs in score."""

from __future__ import annotations

import logging
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl

from luthier import storage
from luthier.assess import Scoring, paired_difference, within_noise
from luthier.exporting.exported_rows import PURPOSE, exportable
from luthier.exporting.to_onnx import export_onnx
from luthier.messages import Message
from luthier.optional import require
from luthier.records import Measure
from luthier.saved import Model


@dataclass(frozen=True)
class Quantised:
    """What 8 bits gained and cost: bytes of the file before and after; change of the score, more is better."""

    before: int
    after: int
    change: Measure

    @property
    def in_words(self) -> Message:
        """It as a message."""
        low, high = (None if end is None else -end for end in (self.change.high, self.change.low))
        worse = replace(self.change, value=-self.change.value, low=low, high=high).figures
        template = "{before:,} bytes are now {after:,}; {metric} is worse by {worse} on {rows:,} validation rows"
        metric = Message(self.change.name.removesuffix(" gained"))
        known = {"before": self.before, "after": self.after, "worse": worse, "rows": self.change.n}
        message = Message(template, **known, metric=metric)
        return Message("{first}, inside the noise", first=message) if within_noise(self.change) else message

    def __str__(self) -> str:
        return self.in_words.spoken()


def export_int8(
    model: Model,
    path: str | Path,
    check: pl.DataFrame,
    y: np.ndarray,
    metric: str,
    weights: np.ndarray | None = None,
) -> Quantised:
    """Write a model as ONNX whose matrices have 8 bits (ONNX Runtime's dynamic quantisation, by column).

    The score of it and of the full model is measured on the rows of `check` with targets y [N] on their own scale, of
    which each counts by its weight.
    Inputs and outputs are those of `export_onnx`.
    """
    quantization, runtime = (
        require(name, extra="onnx", purpose=PURPOSE) for name in ("onnxruntime.quantization", "onnxruntime")
    )
    medium = exportable(model)
    with tempfile.TemporaryDirectory() as place:
        full, small = Path(place) / "full.onnx", Path(place) / "small.onnx"
        export_onnx(model, full, check)
        content = full.read_bytes()
        logging.disable(logging.WARNING)  # it advises to infer the shapes first, which the exporter has done
        try:
            kind = getattr(quantization.QuantType, medium.eight_bits)
            quantization.quantize_dynamic(full, small, per_channel=True, weight_type=kind)
        finally:
            logging.disable(logging.NOTSET)
        smaller = small.read_bytes()
    inputs = medium.inputs_for(model.encoder, check)
    told = []
    for one in (smaller, content):
        session = runtime.InferenceSession(one, providers=["CPUExecutionProvider"])
        result = session.run(None, inputs)[0]
        told.append(model.seen_by(metric, result if model.task.classes else result[:, 0]))
    storage.write_bytes(Path(path), smaller)
    return Quantised(
        len(content), len(smaller), paired_difference(metric, y, told[0], told[1], Scoring(weights, model.task))
    )

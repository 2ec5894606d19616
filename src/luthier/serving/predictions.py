"""What a request is answered: encoded rows through the model, by PyTorch or by ONNX Runtime, and the answer to each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from luthier.errors import ConfigError
from luthier.exporting.to_onnx import in_runtime
from luthier.saved import Model
from luthier.serving.requests import Reader

DIGITS = 9  # of a probability
# numbers [N, F] and codes [N, K] to probabilities [N, C], or values [N]
Compute = Callable[[Tensor, Tensor], np.ndarray]


def by_torch(model: Model) -> Compute:
    """The model as it is."""
    return model.values if model.task.kind == "regression" else model.probabilities


RUNTIMES: dict[str, Callable[[Model], Compute]] = {"torch": by_torch, "onnx": in_runtime}


class Answers:
    """Rows to answers: the prediction, and probabilities, or the ends of its 90 % interval."""

    def __init__(self, model: Model, reader: Reader, runtime: str = "torch") -> None:
        if runtime not in RUNTIMES:
            raise ConfigError([f"runtime must be {' or '.join(RUNTIMES)}, not '{runtime}'"])
        self.model, self._reader, self._compute = model, reader, RUNTIMES[runtime](model)

    def __call__(self, requests: Sequence[Any]) -> list[dict[str, Any]]:
        """The answers to the rows of all requests, in order."""
        result = self._compute(*self._reader.encode(requests))
        return self._values(result) if self.model.task.kind == "regression" else self._classes(result)

    @property
    def content(self) -> Mapping[str, Any]:
        """The answers as OpenAPI describes them."""
        number, classes = {"type": "number"}, list(self.model.task.classes)
        one: dict[str, Any] = {"prediction": number, "low": number, "high": number}
        if classes:
            shares = {"type": "object", "required": classes, "properties": dict.fromkeys(classes, number)}
            one = {"prediction": {"type": "string", "enum": classes}, "probabilities": shares}
        row = {"type": "object", "required": list(one), "properties": one}
        told = {"predictions": {"type": "array", "items": row}}
        return {"application/json": {"schema": {"type": "object", "required": list(told), "properties": told}}}

    def _values(self, values: np.ndarray) -> list[dict[str, Any]]:
        low, high = self.model.interval_around(values)
        rows = zip(values.tolist(), low.tolist(), high.tolist(), strict=True)
        return [{"prediction": value, "low": a, "high": b} for value, a, b in rows]

    def _classes(self, shares: np.ndarray) -> list[dict[str, Any]]:
        names = self.model.task.classes
        told = self.model.classes_of(shares).tolist()
        rows = shares.round(DIGITS).tolist()
        return [
            {"prediction": names[c], "probabilities": dict(zip(names, row, strict=True))}
            for c, row in zip(told, rows, strict=True)
        ]

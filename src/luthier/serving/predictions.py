"""What a request is answered: encoded rows through the model, by PyTorch or ONNX Runtime, and a prediction for each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from luthier.errors import ConfigError
from luthier.exporting.runtime import in_runtime
from luthier.messages import Message
from luthier.records import JsonObject, JsonValue
from luthier.rows import Inputs
from luthier.saved import Model
from luthier.serving.readers.requests import Reader

DIGITS = 9  # of a probability
Compute = Callable[[Inputs], np.ndarray]  # to probabilities [N, C], or values [N]


def by_torch(model: Model) -> Compute:
    """The model as it is."""
    return model.probabilities if model.task.is_classes else model.values


# "auto" begins with PyTorch; `faster_by_onnx` may follow.
RUNTIMES: dict[str, Callable[[Model], Compute]] = {"auto": by_torch, "torch": by_torch, "onnx": in_runtime}


class Answers:
    """Rows to answers: the prediction, and probabilities, or the ends of its 90 % interval.

    None for a row whose prediction is not a finite number, which JSON could not say.
    """

    def __init__(self, model: Model, reader: Reader, runtime: str = "torch") -> None:
        if runtime not in RUNTIMES:
            raise ConfigError(
                [Message("runtime must be {names}, not '{runtime}'", names=", ".join(RUNTIMES), runtime=runtime)]
            )
        self.model, self._reader, self._compute = model, reader, RUNTIMES[runtime](model)
        self.runtime = "onnx" if runtime == "onnx" else "torch"

    def compute_by(self, compute: Compute, runtime: str) -> None:
        """Compute in another way from here on."""
        self._compute, self.runtime = compute, runtime

    def __call__(self, pieces: Sequence[Any]) -> list[JsonObject | None]:
        """The answers to the rows of all pieces, in order."""
        encoded = self._reader.encode(pieces)
        result = self._compute(encoded)
        answers, numbers = self._classes(result) if self.model.task.is_classes else self._values(result, encoded)
        finite = np.isfinite(numbers).all(1)
        if finite.all():
            return list(answers)
        return [answer if known else None for answer, known in zip(answers, finite, strict=True)]

    @property
    def content(self) -> Mapping[str, Any]:
        """The answers as OpenAPI describes them."""
        number: JsonObject
        number, classes = {"type": "number"}, list(self.model.task.classes)
        one: dict[str, JsonValue] = {"prediction": number, "low": number, "high": number}
        if names := self.model.quantile_names:
            levels: JsonObject = {"type": "object", "required": list(names), "properties": dict.fromkeys(names, number)}
            one["quantiles"] = levels
        if classes:
            shares: JsonObject = {"type": "object", "required": classes, "properties": dict.fromkeys(classes, number)}
            name: JsonObject = {"type": "string", "enum": classes}
            of_labels = self.model.task.traits.is_labels
            one = {"prediction": {"type": "array", "items": name} if of_labels else name, "probabilities": shares}
        row = {"type": "object", "required": list(one), "properties": one}
        answers = {"predictions": {"type": "array", "items": row}}
        return {"application/json": {"schema": {"type": "object", "required": list(answers), "properties": answers}}}

    def _values(self, values: np.ndarray, encoded: Inputs) -> tuple[list[JsonObject], np.ndarray]:
        """Answers of the values [N] of encoded rows, and all their numbers [N, 3]."""
        model = self.model
        known = [] if model.row_quantiles is None else [model.quantiles(values, encoded)]
        numbers = np.column_stack([values, *model.intervals(values, encoded), *known])
        return [
            {"prediction": value, "low": low, "high": high}
            | ({"quantiles": dict(zip(model.quantile_names, rest, strict=True))} if rest else {})
            for value, low, high, *rest in numbers.tolist()
        ], numbers

    def _classes(self, shares: np.ndarray) -> tuple[list[JsonObject], np.ndarray]:
        """Answers of probabilities [N, C], and all their numbers."""
        names = self.model.task.classes
        predicted = self.model.classes_of(shares).tolist()
        rows = shares.round(DIGITS).tolist()
        if self.model.task.traits.is_labels:
            predicted = [[name for name, taken in zip(names, row, strict=True) if taken] for row in predicted]
        else:
            predicted = [names[c] for c in predicted]
        return [
            {"prediction": answer, "probabilities": dict(zip(names, row, strict=True))}
            for answer, row in zip(predicted, rows, strict=True)
        ], shares

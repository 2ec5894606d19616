"""From outputs to means and back, for arrays and tensors alike: exact, traceable, exportable."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

Values = TypeVar("Values", np.ndarray, Tensor)
FAR = 30.0  # of outputs: e^30 is 1e13
NEAR = 1e-12  # of a mean, from an end of what it can be
WIDER = 0.05  # of the largest training value: so much farther may a mean be


@dataclass(frozen=True)
class Link:
    """A link by `name`: "identity", "log" (the mean is e^output) or "logit" (1 / (1 + e^-output))."""

    name: str

    def mean(self, outputs: Values) -> Values:
        """The means of outputs.

        >>> LOGIT.mean(np.array([0.0])), LOG.mean(np.array([0.0]))
        (array([0.5]), array([1.]))
        """
        if self.name == "identity":
            return outputs
        known: Any = torch if isinstance(outputs, Tensor) else np
        # e^x for the logistic function too: NumPy has no other, and PyTorch and ONNX then agree with it
        result: Values = known.exp(outputs) if self.name == "log" else 1 / (1 + known.exp(-outputs))
        return result

    def output(self, means: np.ndarray) -> np.ndarray:
        """The outputs of means; a mean at an end counts as one just inside of it."""
        if self.name == "identity":
            return means
        if self.name == "log":
            return np.asarray(np.log(np.maximum(means, 1e-300)))
        inside = np.clip(means, NEAR, 1 - NEAR)
        return np.asarray(np.log(inside) - np.log1p(-inside))

    def bounds(self, highest: float) -> tuple[float, float]:
        """Between which outputs a mean is kept: below a little more than the largest training value.

        >>> LOG.bounds(1.0)[1]  # a twentieth more
        0.04879016416943204
        """
        top = np.log((1 + WIDER) * highest) if self.name == "log" and highest > 0 else FAR
        return -FAR, float(min(top, FAR))


IDENTITY, LOG, LOGIT = Link("identity"), Link("log"), Link("logit")

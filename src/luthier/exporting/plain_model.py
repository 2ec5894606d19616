"""A model without Luthier: this file and `model.safetensors` beside it need only PyTorch.

    import model
    predictor = model.load("model.safetensors")
    predictor.predict([{"bedrooms": 3, "built": "1987-05-01", "kind": "flat"}])

`predict` takes rows as dictionaries (None for missing) and gives classes or values; `predict_proba` gives probabilities
by class. `forward` takes numbers [N, F] and codes [N, K], as `encode` makes them.
"""

from __future__ import annotations

import json
import math
import struct
from datetime import datetime
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

UNKNOWN, MISSING = 0, 1
EPOCH = datetime(1970, 1, 1)
TYPES = {"F64": torch.float64, "F32": torch.float32, "I64": torch.int64, "BOOL": torch.bool}
ACTIVATIONS: dict[str, Any] = {
    "relu": torch.relu,
    "leaky relu": lambda z: F.leaky_relu(z, 0.01),
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "gelu": F.gelu,
    "identity": lambda z: z,
}
TRUE, FALSE = ("true", "yes", "t", "y", "on", "1"), ("false", "no", "f", "n", "off", "0")
FREQUENCIES = [2.0**k / 8 for k in range(8)]
FARTHEST = 5.2


def load(path: str | Path) -> PlainModel:
    """The model of a safetensors file that was exported beside this program."""
    content = Path(path).read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header, body = json.loads(content[8 : 8 + length]), content[8 + length :]
    facts = json.loads(header.pop("__metadata__")["model"])
    tensors = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        raw = bytearray(body[begin:end])
        kind = TYPES[entry["dtype"]]
        flat = torch.frombuffer(raw, dtype=kind) if raw else torch.zeros(0, dtype=kind)
        tensors[name] = flat.reshape(entry["shape"])
    return PlainModel(facts, tensors).eval()


class PlainModel(nn.Module):
    """Numbers [N, F] with NaN for missing, and codes [N, K], to probabilities [N, C] or values [N, 1]."""

    def __init__(self, facts: dict[str, Any], tensors: dict[str, Tensor]) -> None:
        super().__init__()
        self.facts = facts
        for name, value in tensors.items():
            self.register_buffer(name.replace(".", "_"), value)

    def _of(self, name: str) -> Tensor:
        result: Tensor = getattr(self, name.replace(".", "_"))
        return result

    def forward(self, numbers: Tensor, codes: Tensor) -> Tensor:
        """Probabilities, or values on the target's own scale."""
        facts, total = self.facts, torch.zeros((), dtype=torch.float64)
        features = self._features(numbers)
        for place, (spec, weight) in enumerate(zip(facts["specs"], facts["weights"], strict=True)):
            logits = self._net(place, spec, features, codes).double()
            if facts["kind"] == "multiclass":
                logits = torch.softmax(logits, -1)
            elif facts["kind"] == "binary":
                logits = torch.cat([1 - torch.sigmoid(logits), torch.sigmoid(logits)], 1)
            total = total + weight * logits
        if facts["kind"] == "regression":
            values: Tensor = total.clamp(facts["lowest"], facts["highest"]) * facts["target_std"] + facts["target_mean"]
            back: Tensor = values.exp() * facts["smear"]
            return back if facts["log_scale"] else values
        return torch.softmax(total.clamp_min(1e-12).log() / facts["temperature"], 1)

    def _net(self, place: int, spec: dict[str, Any], features: Tensor, codes: Tensor) -> Tensor:
        base = f"nets.{place}."
        tables = [self._of(f"{base}embeddings.{k}.weight")[codes[:, k]] for k in range(len(spec["embeddings"]))]
        a = torch.cat([*tables, features], 1)
        for i, (units, name) in enumerate(zip(spec["hidden"], spec["activations"], strict=True)):
            z = a @ self._of(f"{base}layers.{i}.weight").T
            if spec["layer_norm"] or spec["batch_norm"]:
                scale, shift = self._of(f"{base}norms.{i}.scale"), self._of(f"{base}norms.{i}.shift")
                if spec["layer_norm"]:
                    z = F.layer_norm(z, z.shape[1:], scale, shift, 1e-5)
                else:
                    mean, variance = self._of(f"{base}norms.{i}.mean"), self._of(f"{base}norms.{i}.variance")
                    z = (z - mean) * torch.rsqrt(variance + 1e-5) * scale + shift
            else:
                z = z + self._of(f"{base}layers.{i}.bias")
            out: Tensor = ACTIVATIONS[name](z)
            a = out + a if spec["residual"] and i and spec["hidden"][i - 1] == units else out
        last = len(spec["hidden"])
        return a @ self._of(f"{base}layers.{last}.weight").T + self._of(f"{base}layers.{last}.bias")

    def _features(self, numbers: Tensor) -> Tensor:
        missing = numbers.isnan()
        filled = torch.where(missing, self._of("preprocess.median"), numbers)
        filled = filled.clamp(self._of("preprocess.lowest"), self._of("preprocess.highest"))
        method = self.facts["method"]
        if method == "quantile":
            parts = [self._normal_scores(filled)]
        else:
            parts = [((filled - self._of("preprocess.mean")) / self._of("preprocess.scale")).clamp(-10, 10)]
        if method == "piecewise":
            edges = self._of("preprocess.edges")
            start, end = edges[:, :-1], edges[:, 1:]
            length = torch.where(end > start, end - start, torch.ones_like(start))
            come = ((filled.unsqueeze(2) - start) / length).clamp(0, 1) * self._of("preprocess.distinct")[:, 1:]
            parts.append(come.flatten(1))
        elif method == "periodic":
            angles = 2 * torch.pi * parts[0].unsqueeze(2) * parts[0].new_tensor(FREQUENCIES)
            parts.append(torch.cat([angles.sin(), angles.cos()], 2).flatten(1))
        flags = self._of("preprocess.flags")
        return torch.cat([*parts, missing[:, flags].to(filled.dtype)], 1)

    def _normal_scores(self, filled: Tensor) -> Tensor:
        edges, values = self._of("preprocess.edges"), filled.T.contiguous()
        left, right = torch.searchsorted(edges, values), torch.searchsorted(edges, values, right=True)
        last = edges.shape[1] - 1
        low, high = (left - 1).clamp(0, last), left.clamp(0, last)
        a, b = edges.gather(1, low), edges.gather(1, high)
        share = torch.where(b > a, (values - a) / (b - a), torch.zeros_like(values)).clamp(0, 1)
        rank = torch.where(right > left, 0.5 * (left + right - 1).to(values.dtype) / last, (low + share) / last)
        scores: Tensor = torch.special.ndtri(rank.double()).clamp(-FARTHEST, FARTHEST)
        return scores.to(filled.dtype).T

    def encode(self, rows: list[dict[str, Any]]) -> tuple[Tensor, Tensor]:
        """Numbers [N, F] and codes [N, K] of rows by the names of their columns."""
        numbers, codes = [], []
        for row in rows:
            result: list[float] = []
            for column in self.facts["columns"]:
                value = row[column["name"]]
                if column["kind"] == "date":
                    result += _date(value, column["date_format"])
                elif column["kind"] == "boolean":
                    result.append(_truth(value, column.get("truth")))
                elif column["kind"] == "number":
                    result.append(math.nan if value is None else float(value))
            numbers.append(result)
            codes.append([self._code(row[name], levels) for name, levels in self.facts["vocabularies"].items()])
        return (
            torch.tensor(numbers, dtype=torch.float32).reshape(len(rows), -1),
            torch.tensor(codes, dtype=torch.int64).reshape(len(rows), -1),
        )

    @staticmethod
    def _code(value: Any, levels: dict[str, int]) -> int:
        if value is None:
            return MISSING
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        return levels.get(str(value).lower() if isinstance(value, bool) else str(value), UNKNOWN)

    @torch.no_grad()
    def predict_proba(self, rows: list[dict[str, Any]]) -> list[dict[str, float]]:
        """Probabilities of each row by the names of the classes."""
        shares = self(*self.encode(rows))
        return [dict(zip(self.facts["classes"], row, strict=True)) for row in shares.tolist()]

    @torch.no_grad()
    def predict(self, rows: list[dict[str, Any]]) -> list[Any]:
        """Classes by name, or values."""
        result = self(*self.encode(rows))
        if self.facts["kind"] == "regression":
            return list(result[:, 0].tolist())
        second = result[:, -1] >= self.facts["threshold"]
        indices = second.long() if self.facts["kind"] == "binary" else result.argmax(1)
        return [self.facts["classes"][place] for place in indices.tolist()]


def _truth(value: Any, word: str | None) -> float:
    if value is None:
        return math.nan
    if word is not None:
        return float(str(value) == word)
    text = str(value).lower()
    return 1.0 if text in TRUE else 0.0 if text in FALSE else float(value)


def _date(value: Any, format_: str) -> list[float]:
    if value is None:
        return [math.nan] * 6
    moment = value if isinstance(value, datetime) else datetime.strptime(str(value), format_ or "%Y-%m-%d")
    days = (moment - EPOCH).total_seconds() / 86400
    return [days, moment.year, moment.month, moment.timetuple().tm_yday, moment.isoweekday(), moment.hour]

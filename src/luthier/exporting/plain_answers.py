"""What the programs of exported models have in common: their file, and the way from averaged outputs to answers.

`export_torch` writes it into the program that it exports, in place of the line that imports it.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

TYPES = {"F64": torch.float64, "F32": torch.float32, "I64": torch.int64, "BOOL": torch.bool}
# What is averaged of a network's logits, by its loss, and from the mean of outputs to an answer, by its link.
AVERAGED: dict[str, Callable[[Tensor], Tensor]] = {
    "softmax": lambda z: z.softmax(-1),
    "labels": torch.sigmoid,
    "binary": lambda z: torch.cat([1 - z.sigmoid(), z.sigmoid()], 1),
    "ordinal": lambda z: torch.diff(  # of the chances to lie below each cut
        F.pad(F.pad((F.pad(F.softplus(z[:, 1:]).cumsum(1), (1, 0)) - z[:, :1]).sigmoid(), (1, 0)), (0, 1), value=1.0)
    ),
}
LINKS: dict[str, Callable[[Tensor], Tensor]] = {"identity": torch.positive, "log": torch.exp, "logit": torch.sigmoid}


def contents(path: str | Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What a model's file says of it, and its tensors by name."""
    content = Path(path).read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header, body = json.loads(content[8 : 8 + length]), content[8 + length :]
    facts = json.loads(header.pop("__metadata__")["model"])
    tensors = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        raw, kind = bytearray(body[begin:end]), TYPES[entry["dtype"]]
        tensors[name] = (torch.frombuffer(raw, dtype=kind) if raw else torch.zeros(0, dtype=kind)).reshape(
            entry["shape"]
        )
    return facts, tensors


def answered(facts: dict[str, Any], total: Tensor) -> Tensor:
    """Probabilities, or values on the target's own scale, of the networks' averaged outputs."""
    if not facts["classes"]:
        x = total.clamp(facts["lowest"], facts["highest"])
        bends = (rise * (x.clamp(low, high) - low) for low, high, rise in facts["bends"])
        values = LINKS[facts["link"]](sum(bends, x * facts["target_std"] + facts["target_mean"]))
        return values.round() if facts["rounds"] else values
    if facts["thresholds"]:
        odds = total.clamp_min(1e-12).log() - (1 - total).clamp_min(1e-12).log()
        return torch.sigmoid(odds / facts["temperature"])
    return torch.softmax(total.clamp_min(1e-12).log() / facts["temperature"], 1)


def named(facts: dict[str, Any], result: Tensor) -> list[Any]:
    """Classes by name, lists of labels, or values, of probabilities [N, C] or values [N, 1]."""
    if not facts["classes"]:
        return list(result[:, 0].tolist())
    if facts["thresholds"]:
        taken = (result >= result.new_tensor(facts["thresholds"])).tolist()
        return [[name for name, has in zip(facts["classes"], row, strict=True) if has] for row in taken]
    if decision := facts["decision"]:
        result = result @ result.new_tensor(decision[0]) + result.new_tensor(decision[1])
    second = result[:, -1] >= facts["threshold"]
    indices = second.long() if facts["loss"] == "binary" else result.argmax(1)
    return [facts["classes"][place] for place in indices.tolist()]

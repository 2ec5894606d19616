"""A folder with a program and its weights that need PyTorch alone."""

from __future__ import annotations

import importlib.util
import inspect
import math
import tempfile
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import numpy as np
import polars as pl
import torch
from safetensors.torch import save
from torch import Tensor, nn

from luthier import storage
from luthier.data.target_transform import TargetTransform
from luthier.errors import LuthierError
from luthier.exporting import plain_answers
from luthier.exporting.exported_rows import exportable
from luthier.kinds import KINDS
from luthier.messages import Message
from luthier.nets import NORM_EPSILON, ConvSpec, DenseSpec
from luthier.nets.numbers import SCALE, PiecewiseEmbedding, pieces
from luthier.saved import Model

CLOSE = 1e-6
FAR = 1e30


def _level(transform: TargetTransform) -> float:
    """What is added to predictions on the modelled scale, whatever they are."""
    if transform.shifts:
        return transform.shifts[0]
    return math.log(transform.smear) if transform.log else 0.0


def _bends(transform: TargetTransform) -> list[tuple[float, float, float]]:
    """By which slope more is added between two knots."""
    pieces = zip(pairwise(transform.knots), pairwise(transform.shifts), strict=True)
    return [(low, high, (after - before) / (high - low)) for (low, high), (before, after) in pieces]


def export_torch(model: Model, folder: str | Path, check: pl.DataFrame) -> float:
    """Write `model.py` and `model.safetensors`, and return the largest gap to the model on the rows of `check`.

    InputError for text, and for pictures by networks that have learnt elsewhere.
    """
    medium, place = exportable(model, (DenseSpec, ConvSpec)), Path(folder)
    weights = {f"preprocess.{name}": value for name, value in model.preprocess.state_dict().items()}
    for i, net in enumerate(model.nets):
        weights |= {f"nets.{i}.{name}": value for name, value in _folded(net).items()}
    transform = model.transform
    facts: dict[str, object] = {
        "loss": "labels" if model.task.traits.is_labels else KINDS[model.reading].loss,
        "target": model.task.target,
        "classes": list(model.task.classes),
        "rounds": transform.rounds,
        "link": "log" if transform.log else transform.kind.link.name,
        "weights": list(model.weights),
        **medium.facts(model),
        "lowest": max(transform.lowest, -FAR),
        "highest": min(transform.highest, FAR),
        "target_mean": float(transform.mean) + _level(transform),
        "target_std": float(transform.std),
        "bends": _bends(transform),
        "decision": None
        if model.decision is None
        else [model.decision.matrix.tolist(), model.decision.offset.tolist()],
        "threshold": float(model.threshold),
        "thresholds": list(model.label_thresholds),
        "temperature": float(model.temperature),
    }
    content = save({k: v.contiguous() for k, v in weights.items()}, metadata={"model": storage.json_text(facts)})
    files = {"model.safetensors": content, "model.py": _in_one_file(medium.program).encode()}
    with tempfile.TemporaryDirectory() as trial:
        for name, written in files.items():
            (Path(trial) / name).write_bytes(written)
        gap = _gap(model, Path(trial), check)
    if not gap <= CLOSE:
        raise LuthierError(
            "the exported module's predictions differ from the original's",
            expected=Message("a difference of at most {limit:g}", limit=CLOSE),
            received=f"{gap:.3g}",
        )
    place.mkdir(parents=True, exist_ok=True)
    for name, written in files.items():
        storage.write_bytes(place / name, written)
    return gap


def _in_one_file(program: ModuleType) -> str:
    """A program's text with what programs have in common in place of the line that imports it."""
    text, shared = inspect.getsource(program), inspect.getsource(plain_answers)
    line = next(line for line in text.splitlines(keepends=True) if line.startswith(f"from {plain_answers.__name__} "))
    return text.replace(line, shared.partition("from __future__ import annotations\n\n")[2])


def _folded(net: nn.Module) -> dict[str, Tensor]:
    """A network's weights, what is known before any row worked into them: inputs' factors, batch norm, turns, edges."""
    state, spec = dict(net.state_dict()), getattr(net, "spec", None)
    if not isinstance(spec, DenseSpec):
        return state
    for k, name in enumerate(
        () if spec.target_encoding is None else spec.target_encoding.shapes(), len(spec.embeddings)
    ):
        state[f"embeddings.{k}.weight"] = state.pop(name)
    if SCALE in state:
        state["layers.0.weight"] = state["layers.0.weight"] * state.pop(SCALE)
    for i in range(len(spec.hidden) if spec.batch_norm else 0):
        mean, variance, scale, shift = (
            state.pop(f"norms.{i}.{name}").double() for name in ("mean", "variance", "scale", "shift")
        )
        factor = scale * torch.rsqrt(variance + NORM_EPSILON)
        state[f"layers.{i}.weight"] = (state[f"layers.{i}.weight"] * factor.unsqueeze(1)).float()
        state[f"layers.{i}.bias"] = (shift - mean * factor).float()
    if isinstance(spec.number_embedding, PiecewiseEmbedding):
        state["numbers.0.start"], state["numbers.0.steepness"] = pieces(torch.tensor(spec.number_embedding.edges))
    elif spec.number_embedding is not None:
        state["numbers.0.frequencies"] = 2 * torch.pi * state["numbers.0.frequencies"]
    return state


def _gap(model: Model, folder: Path, frame: pl.DataFrame) -> float:
    spec = importlib.util.spec_from_file_location("exported_model", folder / "model.py")
    assert spec is not None
    assert spec.loader is not None
    module: ModuleType = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    plain = module.load(folder / "model.safetensors")
    inputs = model.encode(frame)
    with torch.no_grad():
        result = plain(*inputs.values()).numpy()
    if model.task.classes:
        return float(np.abs(result - model.probabilities(inputs)).max())
    wanted = model.values(inputs)
    scale = np.maximum(np.abs(wanted), float(np.abs(wanted).mean()) or math.inf)
    return float((np.abs(result[:, 0] - wanted) / scale).max())

"""What stands behind the encoder in the folder of a sentence transformer, as its `modules.json` lists it: pooling,
linear layers with an activation, and vectors scaled to length 1. Names choose from tables here; none is imported.

B texts, D numbers of a vector.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

from luthier.data.sentences.model_files import WEIGHTS, ModelFolder, json_in, object_in, require_files, weights_in
from luthier.errors import InputError
from luthier.messages import Message
from luthier.tensors import ShapesAlone

LISTED = "modules.json"
LIBRARY = "sentence_transformers."  # how the names of its modules begin
TRANSFORMER, POOLING, DENSE, NORMALIZE = "Transformer", "Pooling", "Dense", "Normalize"
READ = f"{TRANSFORMER}, {POOLING}, {DENSE}, {NORMALIZE}"
WIDEST = 1 << 16  # numbers of a vector
VECTOR = "sentence_embedding"  # what the library calls a text's vector
POOLINGS = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls"}
OTHER_POOLINGS = ("max_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens", "lasttoken")
ACTIVATIONS: Mapping[str, Callable[[], nn.Module]] = {
    "torch.nn.modules.linear.Identity": nn.Identity,
    "torch.nn.modules.activation.Tanh": nn.Tanh,
    "torch.nn.modules.activation.ReLU": nn.ReLU,
    "torch.nn.modules.activation.GELU": nn.GELU,
    "torch.nn.modules.activation.SiLU": nn.SiLU,
    "torch.nn.modules.activation.Mish": nn.Mish,
    "torch.nn.modules.activation.ELU": nn.ELU,
    "torch.nn.modules.activation.SELU": nn.SELU,
    "torch.nn.modules.activation.LeakyReLU": nn.LeakyReLU,
    "torch.nn.modules.activation.Sigmoid": nn.Sigmoid,
    "torch.nn.modules.activation.Softplus": nn.Softplus,
}


class UnitLength(nn.Module):
    """Vectors [B, D] scaled to length 1."""

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        """Vectors [B, D]."""
        return F.normalize(vectors, dim=1)


class BehindEncoder(NamedTuple):
    """How vectors of tokens become one (`mean`, or `cls`: the first), what changes that one, and how many numbers come
    out; `digest` is the SHA-256 of what changes it, empty where that is at most its length."""

    pooling: str
    layers: nn.Sequential
    width: int
    digest: str


def behind_encoder(where: ModelFolder, width: int) -> BehindEncoder:
    """What a folder has behind an encoder of so many numbers. InputError for a module that is not known."""
    modules = _listed(where)
    kinds = [kind for kind, _ in modules]
    if kinds[:2] != [TRANSFORMER, POOLING] or any(kind not in (DENSE, NORMALIZE) for kind in kinds[2:]):
        raise InputError(
            Message("the modules of the model in '{where}' are not those that are read here", where=where),
            expected=Message("of {read}: the first two in this order, others behind them", read=READ),
            received=", ".join(kinds) or "none",
            remedy="name the folder of another sentence transformer, or minilm",
        )
    layers, digest = list[nn.Module](), ""
    for kind, place in modules[2:]:
        if kind == NORMALIZE:
            layers.append(UnitLength())
            continue
        layer, width, known = _dense(place, width)
        layers.append(layer)
        digest = sha256(f"{digest} {kinds} {known}".encode()).hexdigest()
    return BehindEncoder(_pooling(modules[1][1], where), nn.Sequential(*layers), width, digest)


def _listed(where: ModelFolder) -> list[tuple[str, ModelFolder]]:
    """Kinds and folders of the modules; without a list those of folders with a number in front."""
    if not (where / LISTED).is_file():
        names = sorted(file.name for file in where.iterdir())
        numbered = (re.fullmatch(r"[1-9]_(\w+)", name) for name in names)
        result = [(found[1], where / found[0]) for found in numbered if found]
        pooling = [] if result and result[0][0] == POOLING else [(POOLING, where / f"1_{POOLING}")]
        return [(TRANSFORMER, where), *pooling, *result]
    listed = json_in(where / LISTED)
    entries = listed if isinstance(listed, list) else [listed]
    result = []
    for entry in entries:
        kind, path = (entry.get("type"), entry.get("path", "")) if isinstance(entry, dict) else (None, None)
        plain = isinstance(path, str) and re.fullmatch(r"\w[\w.-]*|", path)
        if not isinstance(kind, str) or not plain:
            raise InputError(
                Message("'{path}' is not a list of modules", path=where / LISTED),
                expected="a type and the name of a folder beside it for each",
                received=str(entry)[:200],
            )
        known = kind.startswith(LIBRARY)  # a class of that name elsewhere is another one
        result.append((kind.rpartition(".")[2] if known else kind, where / path if path else where))
    return result


def _pooling(place: ModelFolder, where: ModelFolder) -> str:
    config = object_in(place / "config.json")
    others = [f"pooling_mode_{name}" for name in OTHER_POOLINGS]
    asked = [name for name in (*POOLINGS, *others) if config.get(name)] if config else [next(iter(POOLINGS))]
    if len(asked) != 1 or asked[0] not in POOLINGS:
        raise InputError(
            Message("the pooling of the model in '{where}' is not one that is read here", where=where),
            expected="mean or cls",
            received=", ".join(asked) or "none",
        )
    return POOLINGS[asked[0]]


def _dense(place: ModelFolder, width: int) -> tuple[nn.Sequential, int, str]:
    """A linear layer for vectors of so many numbers with its activation, how many it gives, and what tells it from
    others."""
    require_files(place, ("config.json", WEIGHTS))
    config = object_in(place / "config.json")
    inputs, outputs, bias = config.get("in_features"), config.get("out_features"), config.get("bias", True)
    elsewhere = any(config.get(f"module_{end}_name") not in (None, VECTOR) for end in ("input", "output"))
    whole = isinstance(outputs, int) and not isinstance(outputs, bool) and 0 < outputs <= WIDEST
    if inputs != width or not isinstance(outputs, int) or not whole or not isinstance(bias, bool) or elsewhere:
        raise InputError(
            Message("the linear layer in '{place}' does not fit what is before it", place=place),
            expected=Message("in_features {width}, out_features of 1 to {widest}", width=width, widest=WIDEST),
            received=", ".join(f"{name} {config[name]}" for name in sorted(config))[:200],
        )
    activation = config.get("activation_function")
    if not isinstance(activation, str) or activation not in ACTIVATIONS:
        raise InputError(
            Message("the activation in '{place}' is not one that is read here", place=place),
            expected=", ".join(ACTIVATIONS),
            received=str(activation)[:200],
            remedy="name the folder of another sentence transformer, or minilm",
        )
    content = (place / WEIGHTS).read_bytes()
    with ShapesAlone(), torch.device("meta"):
        linear = nn.Linear(width, outputs, bias=bias)
    own = weights_in(content, linear.state_dict(), place, lambda name: name.removeprefix("linear."))
    linear.load_state_dict(own, assign=True)
    layer = nn.Sequential(OrderedDict(linear=linear, activation=ACTIVATIONS[activation]()))
    return layer.requires_grad_(False), outputs, f"{sha256(content).hexdigest()} {activation} {bias}"

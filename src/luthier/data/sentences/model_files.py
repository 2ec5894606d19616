"""Files in the folder of a model: JSON objects, and numbers of known shapes; nothing that could be code."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load

from luthier.errors import InputError
from luthier.messages import Message

WEIGHTS = "model.safetensors"
PICKLED = ("pytorch_model.bin", "model.pt", "model.pth", "model.ckpt")
ModelFolder = Path | zipfile.Path


def require_files(where: ModelFolder, needed: Iterable[str]) -> None:
    """InputError where a file is missing, or the weights are there as a pickle alone."""
    missing = [name for name in needed if not (where / name).is_file()]
    pickled = [name for name in PICKLED if (where / name).is_file()]
    if WEIGHTS in missing and pickled:
        raise InputError(
            Message(
                "the weights in '{where}' are pickled ({pickled}), which may run code when read",
                where=where,
                pickled=pickled[0],
            ),
            expected=WEIGHTS,
            remedy="save it with safe_serialization=True",
        )
    if missing:
        raise InputError(
            Message(
                "the folder '{where}' is not a whole model: {names} missing", where=where, names=", ".join(missing)
            ),
            expected=", ".join(needed),
        )


def json_in(path: ModelFolder) -> Any:
    """What a file of JSON says. InputError for other content."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError, RecursionError) as error:
        raise InputError(
            Message("'{path}' cannot be read", path=path), expected="a JSON object", received=str(error)[:200]
        ) from None


def object_in(path: ModelFolder) -> dict[str, Any]:
    """A JSON object; an empty one where there is no file. InputError for other content."""
    value = json_in(path) if path.exists() else {}
    if not isinstance(value, dict):
        raise InputError(Message("'{path}' is not a JSON object", path=path), received=type(value).__name__)
    return value


def weights_in(
    content: bytes,
    expected: Mapping[str, torch.Tensor],
    where: ModelFolder,
    own_name: Callable[[str], str] = str,
) -> dict[str, torch.Tensor]:
    """The tensors of a safetensors file that have these names and shapes, as float32; others are left out.

    `own_name` is what we call a name of the file. InputError where one is missing, of another shape, or not finite.
    """
    try:
        stored = {own_name(name): value for name, value in load(content).items()}
    except (SafetensorError, ValueError, KeyError) as error:
        raise InputError(
            Message("the weights in '{where}' are damaged", where=where), received=str(error)[:200]
        ) from None
    wrong = [name for name, value in expected.items() if name not in stored or stored[name].shape != value.shape]
    if wrong:
        raise InputError(
            Message(
                "the weights in '{where}' are not those of its config.json: {wrong} and {count} more are "
                "missing or of another shape",
                where=where,
                wrong=wrong[0],
                count=len(wrong) - 1,
            ),
            expected=str(list(expected[wrong[0]].shape)),
            received=str(list(stored[wrong[0]].shape)) if wrong[0] in stored else "nothing",
        )
    kept = {name: stored[name].float() for name in expected}
    broken = [name for name, value in kept.items() if not bool(value.isfinite().all())]
    if broken:
        raise InputError(Message("the weights in '{where}' hold NaN or infinity", where=where), received=broken[0])
    return kept

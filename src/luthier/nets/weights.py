"""Weights from files: safetensors, or PyTorch's own with nothing but tensors in them. No file runs code."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from luthier.errors import InputError, in_a_line

LISTED = 5


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """The named tensors of a file. InputError for one that is damaged, or that wants to run code."""
    path = Path(path)
    if not path.exists():
        raise InputError(f"there is no file '{path}'", expected="a .safetensors, .pt or .pth file")
    if path.suffix == ".safetensors":
        try:
            return load_file(path)
        except (SafetensorError, OSError) as error:
            raise InputError(f"'{path.name}' is not a complete safetensors file", received=str(error)) from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of a pickle's protocol: what cannot be read is refused below
            result = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise InputError(
            f"'{path.name}' holds more than tensors and is refused, because loading it could run code",
            received=in_a_line(error),
            remedy="save the state dict alone, best as safetensors",
        ) from error
    except Exception as error:  # whatever a damaged file leads the reader to
        raise InputError(f"'{path.name}' is not a file of weights", received=in_a_line(error)) from error
    result = result.get("state_dict", result) if isinstance(result, Mapping) else result
    if not isinstance(result, Mapping) or not all(isinstance(value, Tensor) for value in result.values()):
        raise InputError(
            f"'{path.name}' is not a state dict", expected="tensors by name", received=type(result).__name__
        )
    return dict(result)


def load_weights(module: nn.Module, weights: Mapping[str, Tensor], *, but: tuple[str, ...] = ()) -> None:
    """Copy weights into a module, every name and shape matched; names that begin with one of `but` stay as they are.

    InputError that lists what is missing, what is too much, and what has another shape.
    """
    wanted = {name: value for name, value in module.state_dict().items() if not name.startswith(but or ("\0",))}
    given = {name: value for name, value in weights.items() if not name.startswith(but or ("\0",))}
    # How many batches a norm has seen changes nothing, and old files do not say.
    optional = {name for name in wanted if name.endswith("num_batches_tracked")}
    missing = [name for name in wanted if name not in given and name not in optional]
    extra = [name for name in given if name not in wanted]
    shapes = [
        f"{name} {list(given[name].shape)}, not {list(wanted[name].shape)}"
        for name in wanted
        if name in given and given[name].shape != wanted[name].shape
    ]
    if missing or extra or shapes:
        lists = {"missing": missing, "too much": extra, "of another shape": shapes}
        message = "; ".join(f"{len(names)} {what}: {_some(names)}" for what, names in lists.items() if names)
        raise InputError(
            "the weights do not fit the network", expected=f"{len(wanted)} tensors by name", received=message
        )
    with torch.no_grad():
        state = module.state_dict()
        for name, value in given.items():
            state[name].copy_(value)


def _some(names: list[str]) -> str:
    return ", ".join(names[:LISTED]) + (", ..." if len(names) > LISTED else "")

"""Weights from files: safetensors, or PyTorch's own with nothing but tensors in them. No file runs code.

People save them in several ways: alone, or in a checkpoint beside an optimiser's state; with the names of a wrapper
before theirs; in half precision.
"""

from __future__ import annotations

import pickle
import warnings
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from luthier.errors import InputError, in_a_line
from luthier.messages import Message
from luthier.untrusted import open_plain

LISTED = 5
ENTRIES = ("state_dict", "model_state_dict", "model", "net", "weights")  # of checkpoints, where weights lie
WRAPPERS = ("module.", "_orig_mod.")  # before every name: nn.DataParallel, torch.compile
HALVES = (torch.float16, torch.bfloat16)


def read_weights(path: str | Path, *, say: Callable[[str], None] = lambda sentence: None) -> dict[str, Tensor]:
    """The named tensors of a file, from wherever in it they lie; `say` is told what was not simply read.

    InputError for a file that is damaged, or that wants to run code.
    """
    path = Path(path)
    try:
        open_plain(path.resolve()).close()
    except FileNotFoundError:
        raise InputError(
            Message("there is no file '{path}'", path=path), expected="a .safetensors, .pt or .pth file"
        ) from None
    result: Any = _safe(path) if path.suffix == ".safetensors" else _pickled(path)
    while isinstance(result, Mapping) and not all(isinstance(value, Tensor) for value in result.values()):
        entry = _entry_of(result)
        if entry is None:
            break
        result = result[entry]
        say(f"the weights in '{path.name}' are its entry '{entry}'")
    if not isinstance(result, Mapping) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in result.items()
    ):
        received = f"a dictionary of {_some(list(map(str, result)))}" if isinstance(result, Mapping) else ""
        raise InputError(
            Message("'{name}' is not a state dict", name=path.name),
            expected=Message("tensors by name, alone or as {names}", names=", ".join(map(repr, ENTRIES))),
            received=received or type(result).__name__,
        )
    weights = dict(result)
    while prefix := next((one for one in WRAPPERS if weights and all(name.startswith(one) for name in weights)), ""):
        weights = {name.removeprefix(prefix): value for name, value in weights.items()}
        say(f"every name in '{path.name}' began with '{prefix}', which was left out")
    if halves := sorted({str(t.dtype).removeprefix("torch.") for t in weights.values() if t.dtype in HALVES}):
        say(f"the weights in '{path.name}' are {' and '.join(halves)}, half of the usual precision")
    return weights


def _entry_of(checkpoint: Mapping[Any, Any]) -> Any:
    """Where the weights of a checkpoint lie: in an entry of a usual name, else in the only one that holds tensors."""
    named = next((name for name in ENTRIES if isinstance(checkpoint.get(name), Mapping)), None)
    holding = [name for name, value in checkpoint.items() if isinstance(value, Mapping) and _are_tensors(value)]
    return named if named is not None or len(holding) != 1 else holding[0]


def _are_tensors(value: Mapping[Any, Any]) -> bool:
    return bool(value) and all(isinstance(one, Tensor) for one in value.values())


def _safe(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, OSError, KeyError, ValueError, RuntimeError) as error:
        raise InputError(
            Message("'{name}' is not a complete safetensors file", name=path.name), received=str(error)
        ) from error


def _pickled(path: Path) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of a pickle's protocol: what cannot be read is refused below
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise InputError(
            Message(
                "'{name}' holds more than tensors and is refused, because loading it could run code", name=path.name
            ),
            received=in_a_line(error),
            remedy="save the state dict alone, best as safetensors",
        ) from error
    except Exception as error:  # whatever a damaged file leads the reader to
        raise InputError(
            Message("'{name}' is not a file of weights", name=path.name), received=in_a_line(error)
        ) from error


def load_weights(
    module: nn.Module,
    weights: Mapping[str, Tensor],
    *,
    but: tuple[str, ...] = (),
    say: Callable[[str], None] = lambda sentence: None,
) -> None:
    """Copy weights into a module, every name and shape matched; names that begin with one of `but` stay as they are.

    Where all of a module's names stand behind one more, as Lightning's `model.`, that is left out, with whatever does
    not stand behind it; `say` is told. InputError that lists what is missing, too much, and of another shape.
    """
    weights = _without_owner(weights, module.state_dict(), say)
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
            "the weights do not fit the network",
            expected=Message("{count} tensors by name", count=len(wanted)),
            received=message,
        )
    with torch.no_grad():
        state = module.state_dict()
        for name, value in given.items():
            state[name].copy_(value)


def _without_owner(
    weights: Mapping[str, Tensor], wanted: Mapping[str, Tensor], say: Callable[[str], None]
) -> Mapping[str, Tensor]:
    """The weights without the name of the attribute that held the module, where no name is the module's otherwise."""
    owner = Counter(name.partition(".")[0] for name in weights if name.partition(".")[2] in wanted).most_common(1)
    if not owner or any(name in wanted for name in weights):
        return weights
    prefix = f"{owner[0][0]}."
    kept = {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}
    others = [name for name in weights if not name.startswith(prefix)]
    more = f"; {len(others)} others are left out: {_some(others)}" if others else ""
    say(f"names of weights began with '{prefix}', which was left out{more}")
    return kept


def _some(names: list[str]) -> str:
    return ", ".join(names[:LISTED]) + (", ..." if len(names) > LISTED else "")

"""What a step may not do on an accelerator: mix devices, send rows to it, or wait for it. Seen without one.

Tensors on PyTorch's device `meta` have shapes and no numbers. Its kernels take tensors of other devices without a
word, where an accelerator's do not, so calls are looked at as they are made. (Fake tensors on `cuda` would look
themselves, but a build without CUDA cannot slice them.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

META, CPU = torch.device("meta"), torch.device("cpu")
READS = ("cpu", "item", "tolist", "numpy", "equal", "__bool__", "__float__", "__int__")


class OneDevice(TorchDispatchMode):
    """Refuses what would fail on an accelerator, or wait for it. Scalars of the host may take part, as there."""

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        given = [value for value in tree_leaves((args, kwargs)) if isinstance(value, Tensor)]
        name, devices = func.overloadpacket.__name__, {value.device for value in given if value.dim()}
        if len(devices) > 1:
            raise AssertionError(f"{name} is given tensors on {' and '.join(sorted(map(str, devices)))}")
        if META in {value.device for value in given} and name in ("_local_scalar_dense", "nonzero", "equal"):
            raise AssertionError(f"{name} waits for the device")
        result = func(*args, **kwargs or {})
        made = {value.device for value in tree_leaves(result) if isinstance(value, Tensor)}
        if devices and made and made != devices:
            raise AssertionError(f"{name} copies from {devices.pop()} to {made.pop()}")
        return result


class _Reading(TorchFunctionMode):
    """What is read from the device once, before the step that counts: a quarter everywhere."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        name = getattr(func, "__name__", "")
        to_host = name == "to" and len(args) > 1 and isinstance(args[1], torch.device) and args[1] == CPU
        if (name in READS or to_host) and args[0].is_meta:
            args = [torch.full_like(v, 0.25, device=CPU) if isinstance(v, Tensor) else v for v in args]
        return func(*args, **kwargs or {})


class _NothingSent(TorchFunctionMode):
    """Refuses tensors that are made of the host's numbers on the device: it waits for what is sent."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        result, name = func(*args, **kwargs or {}), getattr(func, "__name__", "")
        given = args[1:] if name == "new_tensor" else args
        if name in ("tensor", "as_tensor", "asarray", "new_tensor") and result.is_meta and not _is_meta(given):
            raise AssertionError(f"{name} sends numbers to the device")
        return result


def _is_meta(given: Sequence[Any]) -> bool:
    return bool(given) and isinstance(given[0], Tensor) and given[0].is_meta


@contextmanager
def set_up() -> Iterator[None]:
    """Networks may be laid out here, and their first steps made, as if there were numbers on the device."""
    with _Reading(), _without_casts():
        yield


@contextmanager
def watched() -> Iterator[None]:
    """AssertionError for what a step may not do."""
    with OneDevice(), _NothingSent(), _without_casts():
        yield


@contextmanager
def _without_casts() -> Iterator[None]:
    casting = torch.autocast

    def autocast(kind: str, **asked: Any) -> torch.autocast:
        return casting("cpu", enabled=False) if kind == "meta" else casting(kind, **asked)

    with patch("torch.autocast", autocast):
        yield

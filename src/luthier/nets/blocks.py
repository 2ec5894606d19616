"""The blocks of a module that has learnt elsewhere: what can be frozen, unfrozen and given a head of its own."""

from __future__ import annotations

import copy
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

from luthier.bert import known_of, mean_of_known
from luthier.errors import InputError, users_code
from luthier.messages import Message
from luthier.shapes import Activations, Hidden

SIDE, MOST_NUMBERS = 4, 4096  # places a side that activations are pooled to, while so many numbers come of them


def blocks_of(module: nn.Module) -> list[str]:
    """Names of the parts that learn, first to last: children, and the children of containers and wrappers among them.

    >>> blocks_of(nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 1))))
    ['0', '2.0', '2.1']
    """
    result = []
    learning = [(name, child) for name, child in module.named_children() if any(True for _ in child.parameters())]
    for name, child in learning:  # what wraps another is no block of its own
        wraps = len(learning) == 1 and not any(True for _ in module.parameters(recurse=False))
        inner = blocks_of(child) if wraps or isinstance(child, nn.Sequential | nn.ModuleList) else []
        result += [f"{name}.{one}" for one in inner] or [name]
    return result


class Anatomy(NamedTuple):
    """The name of the linear layer that computes a module's outputs, and its blocks in the order of use, its own last.

    Blocks that the outputs do not depend on, such as other heads, are left out. `readable` are those that give a
    tensor, or several with the first of them for what is above.
    """

    head: str
    blocks: list[str]
    readable: frozenset[str]


def anatomy_of(module: nn.Module, x: torch.Tensor) -> Anatomy:
    """What a pass over a few rows shows; the order in which a module's attributes were made says nothing.

    InputError where no linear layer computes the outputs, or more is done to what one gives.

    >>> class Net(nn.Module):
    ...     def __init__(self) -> None:
    ...         super().__init__()
    ...         self.head, self.body = nn.Linear(3, 2), nn.Linear(4, 3)
    ...     def forward(self, x: torch.Tensor) -> torch.Tensor:
    ...         return self.head(self.body(x))
    >>> anatomy_of(Net(), torch.ones(2, 4))
    Anatomy(head='head', blocks=['body', 'head'], readable=frozenset({'body'}))
    """
    if isinstance(module, torch.jit.ScriptModule):
        raise InputError("the backbone is compiled", expected="an nn.Module in Python", received="a ScriptModule")
    net = copy.deepcopy(module).requires_grad_(True).eval()
    linear = {name: layer for name, layer in net.named_modules() if isinstance(layer, nn.Linear)}
    if not linear:
        raise InputError("the backbone has no linear layer to replace", expected="a module that ends in nn.Linear")
    blocks, given, used, readable = blocks_of(net), dict[str, torch.Tensor](), Counter[str](), set[str]()
    passes = Counter[str]()  # of linear layers
    for name, layer in linear.items():
        layer.register_forward_pre_hook(lambda layer, x, name=name: passes.update([name]))
        layer.register_forward_hook(lambda layer, x, out, name=name: given.__setitem__(name, out.detach().clone()))
    for name in blocks:
        block = net.get_submodule(name)
        block.register_forward_pre_hook(lambda layer, x, name=name: used.update([name]))
        block.register_forward_hook(
            lambda layer, given, out, name=name: readable.update([name] * _is_readable(out, len(x)))
        )
    running = users_code("the backbone fails on the data", expected=f"a pass over rows {list(x.shape[1:])}")
    with running, torch.random.fork_rng(), torch.enable_grad():
        outputs: Any = net(x.clone())
    if not isinstance(outputs, torch.Tensor):
        received = type(outputs).__name__
        raise InputError("the backbone's outputs cannot be learnt from", expected="one tensor", received=received)
    heads = [name for name, result in given.items() if _same_numbers(result, outputs, len(x))]
    if not heads:
        raise InputError(
            "the outputs of the backbone are not those of a linear layer, [B, C]",
            expected=Message("those of {given}, with nothing after it", given=" or ".join(given))
            if given
            else "a linear layer that is used",
            received=Message(
                "outputs of shape {shape} after {operation}",
                shape=list(outputs.shape),
                operation=_last_operation(outputs),
            ),
            remedy="leave out what follows the last layer: losses take logits",
        )
    if passes[heads[-1]] > 1:
        raise InputError(
            Message(
                "the layer `{heads}`, which computes the outputs, is used elsewhere in the backbone too",
                heads=heads[-1],
            ),
            expected="a last layer of its own, which can be replaced",
            received=Message("{passes} uses in one pass", passes=passes[heads[-1]]),
        )
    readable &= {name for name, times in used.items() if times == 1}
    own = [name for name in blocks if heads[-1] == name or heads[-1].startswith(f"{name}.")]
    below = [name for name in used if name not in own and _matters(net.get_submodule(name), outputs)]
    return Anatomy(heads[-1], [*below, *(own or heads[-1:])], frozenset(readable & set(below)))


def first_of(output: Any) -> Any:
    """What a block hands on: of several values the first, as recurrent layers have it."""
    return output[0] if isinstance(output, tuple | list) and output else output


def _is_readable(output: Any, rows: int) -> bool:
    result = first_of(output)
    return isinstance(result, torch.Tensor) and result.is_floating_point() and result.ndim > 1 and len(result) == rows


def _same_numbers(found: torch.Tensor, outputs: torch.Tensor, rows: int) -> bool:
    flat = found.ndim == 2 and len(found) == rows and outputs.ndim < 3 and found.numel() == outputs.numel()
    return (
        flat
        and outputs.is_floating_point()
        and torch.equal(found.flatten(), outputs.detach().flatten().to(found.dtype))
    )


def _matters(block: nn.Module, outputs: torch.Tensor) -> bool:
    """Whether the outputs change with a block's parameters."""
    if not (outputs.requires_grad and outputs.is_floating_point()):
        return False
    slopes = torch.autograd.grad(outputs.sum(), list(block.parameters()), retain_graph=True, allow_unused=True)
    return any(slope is not None for slope in slopes)


def _last_operation(outputs: torch.Tensor) -> str:
    made = outputs.grad_fn
    return "no operation" if made is None else re.sub(r"Backward\d*$", "", made.name()).lower()


def put(module: nn.Module, name: str, layer: nn.Module) -> None:
    """Set a layer by its dotted name."""
    parent, _, last = name.rpartition(".")
    setattr(module.get_submodule(parent), last, layer)


def with_new_head(backbone: nn.Module, name: str, outputs: int) -> nn.Module:
    """A copy of the module whose head, the linear layer of that name, has so many outputs, all zero."""
    net = copy.deepcopy(backbone)
    old = net.get_submodule(name)
    assert isinstance(old, nn.Linear)
    head = nn.Linear(old.in_features, outputs).to(old.weight.dtype)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    put(net, name, head)
    return net


def freeze_all_but(module: nn.Module, learning: Sequence[str], *, norms_follow: bool = True) -> nn.Module:
    """The module, of whose parts only those named learn: the others stay in evaluation mode, whatever is asked for.

    So the averages of a frozen batch norm stay as they are, and a frozen dropout drops nothing. Unless `norms_follow`
    the averages of the others stay too, and normalise in training as well: only their scales and shifts learn.

    >>> net = freeze_all_but(nn.Sequential(nn.BatchNorm1d(2), nn.Linear(2, 1)), ["1"]).train()
    >>> net[0].training, net[1].training, net[0].weight.requires_grad
    (False, True, False)
    """

    def learns(name: str) -> bool:
        return any(name == one or name.startswith(f"{one}.") for one in learning)

    def holds(name: str) -> bool:
        return any(one.startswith(f"{name}.") for one in learning)

    def stays(name: str, layer: nn.Module) -> bool:
        norm = isinstance(layer, nn.modules.batchnorm._BatchNorm) and not norms_follow
        return norm or not (learns(name) or holds(name))

    frozen = [name for name, layer in module.named_modules() if name and stays(name, layer)]

    class PartlyFrozen(type(module)):  # type: ignore[misc]  # so that names stay as they are
        def train(self, mode: bool = True) -> nn.Module:
            super().train(mode)
            for name in frozen:
                self.get_submodule(name).training = False
            return self

    for name, parameter in module.named_parameters():
        parameter.requires_grad_(learns(name))
    module.__class__ = PartlyFrozen
    return module


@torch.no_grad()
def reestimate_norms(module: nn.Module, rows: Sequence[torch.Tensor]) -> nn.Module:
    """A copy of the module whose batch norms' averages are those of these batches of rows; weights stay.

    Li and others 2016: what a network has learnt often holds for pictures of another kind once they are centred anew.
    """
    net = copy.deepcopy(module).eval()
    norms = [layer for layer in net.modules() if isinstance(layer, nn.modules.batchnorm._BatchNorm)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean over all batches
        norm.train()
    for some in rows:
        net(some.clone())
    before = [layer for layer in module.modules() if isinstance(layer, nn.modules.batchnorm._BatchNorm)]
    for norm, old in zip(norms, before, strict=True):
        norm.momentum = old.momentum
    return net.eval()


class _ReachedError(Exception):
    """The block that is asked for has been passed."""


class Truncated(nn.Module):
    """A network up to one of its blocks: what comes out of it, pooled [B, D].

    What lies above is not computed.
    """

    def __init__(self, net: nn.Module, block: str) -> None:
        super().__init__()
        self.net, self.block = net, block

    def forward(self, x: Activations) -> Hidden:
        """Activations [B, D]."""
        result: list[torch.Tensor] = []

        def stop(layer: nn.Module, given: Any, output: Any) -> None:
            result.append(first_of(output))
            raise _ReachedError

        handle = self.net.get_submodule(self.block).register_forward_hook(stop)
        try:
            self.net(x)
        except _ReachedError:
            pass
        finally:
            handle.remove()
        return pooled(result[0])


def pooled(activations: Activations) -> Hidden:
    """Activations as rows [B, D]: pictures averaged to a few places a side, sequences over their steps, without those
    of padding, whose numbers are all 0."""
    if activations.ndim == 4:
        channels, height, width = activations.shape[1:]
        side = next((side for side in range(SIDE, 1, -1) if channels * side * side <= MOST_NUMBERS), 1)
        indices = min(side, height), min(side, width)
        return F.adaptive_avg_pool2d(activations, indices).flatten(1)
    return mean_of_known(activations, known_of(activations)) if activations.ndim == 3 else activations.flatten(1)


def has_norms(module: nn.Module) -> bool:
    """Whether the module has batch norms with averages."""
    return any(isinstance(layer, nn.modules.batchnorm._BatchNorm) for layer in module.modules())

"""A loss as PyTorch has it: any function or module (outputs, targets) -> one number.

It means what it means in a plain loop: it is called with what the module returns and with the targets in the shape in
which they were given. B rows of a batch, C outputs, M members.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils._pytree import tree_leaves

from luthier.errors import InputError, users_code
from luthier.objective.loss_table import loss_by_name
from luthier.objective.row_loss import Loss, looked_at
from luthier.objective.targets import column


@dataclass(frozen=True)
class Criterion:
    """A loss of whole batches, such as `nn.CrossEntropyLoss(label_smoothing=0.1)` or a function of your own.

    It knows no single rows, so it takes no weights of rows, and the score beside it is the loss itself.

    >>> Criterion(F.cross_entropy).mean(torch.zeros(2, 5, 4), torch.zeros(5, dtype=torch.int64))
    tensor([1.3863, 1.3863])
    """

    function: Callable[..., Any]
    _seen: set[Any] = field(default_factory=set, repr=False, compare=False)  # shapes that were looked at

    def value(self, outputs: Any, targets: Tensor) -> Tensor:
        """The loss [] of a batch, from what a module returned. Shapes that are new are looked at closely, once.

        InputError where it fails, gives no number, changes what it is given, or lets PyTorch broadcast outputs and
        targets against each other.
        """
        shapes = [tuple(t.shape[1:]) for t in (*tree_leaves(outputs), targets) if isinstance(t, Tensor)]
        known = repr((shapes, torch.is_grad_enabled()))
        new, version = known not in self._seen, targets._version
        with users_code(
            "the loss cannot be computed",
            expected=f"a function of (outputs, targets), here {_shapes(outputs)} and {_shapes(targets)}",
            remedy="call the loss on what the module returns for a batch yourself, and compare shapes and types",
        ):
            before = self._state() if new else {}
            result = looked_at(self.function, outputs, targets) if new else self.function(outputs, targets)
        if not isinstance(result, Tensor) or result.numel() != 1 or result.is_complex():
            raise InputError(
                "the loss gives no single number",
                expected="one real number for a batch, as a tensor",
                received=_shapes(result),
                remedy='reduction="mean", or .mean() at its end',
            )
        if targets._version != version:
            raise InputError("the loss changes its targets in place", remedy="write `t = t - 1` in place of `t -= 1`")
        if new:
            self._check(result, outputs, before)
            self._seen.add(known)
        return result.reshape(())

    def _state(self) -> dict[str, Tensor]:
        module = self.function
        return {name: b.clone() for name, b in module.named_buffers()} if isinstance(module, nn.Module) else {}

    def _check(self, found: Tensor, outputs: Any, before: dict[str, Tensor]) -> None:
        tensors = [t for t in tree_leaves(outputs) if isinstance(t, Tensor)]
        learns = torch.is_grad_enabled() and any(t.requires_grad for t in tensors)
        if learns and not found.requires_grad:
            raise InputError(
                "the loss has no derivative by the outputs",
                expected="a loss computed from the outputs by PyTorch, without .detach(), .item() or .argmax()",
                received="a number that does not depend on them",
            )
        changed = [name for name, value in self._state().items() if not torch.equal(before[name], value)]
        if changed:
            raise InputError(
                "the loss keeps a state that changes with each call",
                expected="a loss that gives the same for the same outputs",
                received=f"another `{changed[0]}` after one call",
                remedy="keep such averages in the module",
            )

    def mean(self, Z: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
        """Its value for each member [M], from outputs [M, B, ...] as the modules gave them."""
        if weights is not None:
            raise InputError("a loss of your own takes no weights", remedy="use a loss by name, or custom_loss(rows)")
        return torch.stack([self.value(outputs, targets) for outputs in Z])


def _shapes(value: Any) -> str:
    result = [f"{list(t.shape)} {str(t.dtype).split('.')[-1]}" for t in tree_leaves(value) if isinstance(t, Tensor)]
    return " and ".join(result) or type(value).__name__


AnyLoss = str | Loss | Criterion | Callable[..., Any]


def loss_for(targets: Tensor, loss: Any, *, flat: bool = False) -> str | Loss | Criterion:
    """The loss asked for; without one, what the targets' type suggests.

    PyTorch's own losses go by their names here where they mean the same: then members train stacked, and rows may have
    weights. `flat` says that outputs are known to be [B, C].
    """
    if targets.is_complex():
        raise InputError("targets are complex numbers", expected="numbers or classes", remedy="y.real, or y.abs()")
    if loss is None:
        return _usual(targets)
    if isinstance(loss, Criterion | Loss):
        return loss
    if isinstance(loss, str):
        loss_by_name(loss)  # refuses a name that is not one
        return loss
    function = loss
    if not callable(function):
        raise InputError(
            "the loss is not understood",
            expected="a name, a function (outputs, targets) -> number, or a loss of torch.nn",
            received=type(loss).__name__,
        )
    if isinstance(function, type):
        with users_code("the loss cannot be built", remedy="give an instance, such as nn.MSELoss()"):
            function = function()
    parameters = function.named_parameters() if isinstance(function, nn.Module) else ()
    if learnt := [name for name, parameter in parameters if parameter.requires_grad]:
        raise InputError(
            "the loss has parameters that would not learn",
            expected="a loss without parameters: those of the module are trained",
            received=", ".join(learnt[:3]),
            remedy="keep them in the module and return what the loss needs; or freeze them: loss.requires_grad_(False)",
        )
    name = next((name for plain, name in _PLAIN if _is(function, plain)), None)
    return name if name is not None and _means_the_same(name, targets, flat) else Criterion(function)


def _usual(targets: Tensor) -> str | Criterion:
    several = column(targets).ndim > 1
    if targets.is_floating_point():
        return Criterion(F.mse_loss) if targets.ndim > 2 else "mse"
    return Criterion(F.cross_entropy) if several else "softmax"


def _is(loss: Any, plain: Any) -> bool:
    """Whether a loss is PyTorch's plain one: that function, or that module without options and weights."""
    if not isinstance(plain, type):
        return loss is plain
    if type(loss) is not plain or not isinstance(loss, nn.Module) or any(True for _ in loss.buffers()):
        return False
    options = {k: v for k, v in vars(plain()).items() if isinstance(v, int | float | str | bool)}
    return all(getattr(loss, name, None) == value for name, value in options.items())


def _means_the_same(name: str, targets: Tensor, flat: bool) -> bool:
    """Whether a loss by name pairs these targets with outputs as PyTorch's does, whatever outputs come."""
    if name in ("mse", "mae", "huber"):
        return targets.ndim == 2 and (flat or targets.shape[1] > 1)
    if targets.is_floating_point():
        return name == "softmax" and targets.ndim == 2 and targets.shape[1] > 1
    return targets.ndim == 1 and bool((targets >= 0).all())  # PyTorch leaves out rows of a class -100


_PLAIN: tuple[tuple[Any, str], ...] = (
    (nn.CrossEntropyLoss, "softmax"),
    (nn.MSELoss, "mse"),
    (nn.L1Loss, "mae"),
    (nn.HuberLoss, "huber"),
    (nn.NLLLoss, "negative log-likelihood"),
    (F.cross_entropy, "softmax"),
    (F.mse_loss, "mse"),
    (F.l1_loss, "mae"),
)


def loss_named(loss: str | Loss | Criterion) -> Loss | Criterion:
    """The loss of that name, or the loss itself."""
    return loss_by_name(loss) if isinstance(loss, str) else loss


def targets_for(loss: str | Loss | Criterion, targets: Tensor) -> Tensor:
    """Targets as a loss takes them: its own shape and truth values for one of the user's, columns for one by name."""
    if isinstance(loss, Criterion):
        whole = not (targets.is_floating_point() or targets.dtype == torch.bool)
        return targets.long() if whole else targets
    known = targets if targets.is_floating_point() else targets.long()
    return column(known) if isinstance(loss, str) or loss.check is not None else known

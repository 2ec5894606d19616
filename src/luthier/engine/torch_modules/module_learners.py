"""Gradients of any module: one member after another, or all in one program by `torch.func.vmap`.

M members, B batch, P learnable numbers of one member, Q bytes of its buffers.
"""

from __future__ import annotations

import copy
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from luthier.engine.members.batches import Batch, exact
from luthier.engine.members.devices import seeded
from luthier.engine.members.dropout import masks_of, own_dropouts
from luthier.engine.members.flat_rows import fixed_views, parameter_views
from luthier.engine.members.masks import Drop, mask_keys
from luthier.engine.members.module_spec import ModuleSpec
from luthier.engine.members.outputs import mean_of, one_tensor, running
from luthier.engine.members.sharing import current, share_norms
from luthier.engine.members.state import TrainState
from luthier.errors import InputError
from luthier.objective import Criterion, Loss, smoothing_part
from luthier.rows import arguments


def has_own_memory(device: torch.device) -> bool:
    """Elsewhere than on the processor kernels like tensors to begin at even places, and some need it."""
    return device.type != "cpu"


class LoopedLearner:
    """One member after another: each has a module whose parameters and gradients are views of its rows.

    Where `has_own_memory` modules have memory of their own, which their rows are copied to and from.
    """

    def __init__(
        self,
        spec: ModuleSpec,
        state: TrainState,
        seeds: Tensor,
        drops: Tensor,
        loss: Loss | Criterion,
        smoothing: Tensor | None = None,
        *,
        bf16: bool = False,
        compiled: bool = False,
    ) -> None:
        self.state, self.seeds, self.drops, self._loss, self.smoothing = state, seeds, drops, loss, smoothing
        self._smoothing_part = None if smoothing is None else smoothing_part(loss)
        self._spec, self._bf16, self._device = spec, bf16, state.parameters.device
        views = (parameter_views(spec.shapes, state.parameters), parameter_views(spec.shapes, state.gradients))
        fixed = fixed_views(spec.fixed, state.buffers)
        bound = [_bound(spec, m, *views, fixed) for m in range(len(seeds))]
        self._apart = [_Apart(module) for module in bound] if has_own_memory(self._device) else []
        self._dropouts = [list(own_dropouts(module)) for module in bound]
        # One program for each shape of a batch, which all modules share: parameters are among what it is called with.
        self._called = [torch.compile(module, dynamic=False) for module in bound] if compiled else bound
        self._compiled = compiled
        self._shares: list[list[float]] | None = None  # what each layer drops, read once
        self._factors = torch.ones(len(seeds))
        self._host_seeds = seeds.cpu()

    def scale_dropout(self, factors: Tensor) -> None:
        """Drop so many times the members' probabilities [M] from now on."""
        self._factors, self._shares = factors, None

    def gradients(self, batch: Batch, number: int | Tensor, share: float | Tensor = 1.0) -> Tensor:
        """Fill `state.gradients` with `share` times those of a batch's mean loss; returns the losses [M]."""
        self.state.gradients.zero_()
        given = arguments(self._spec.module, batch.inputs)
        versions, shared = [x._version for x in given], None if batch.own else tuple(map(with_layout, given))
        layers = 1 + len(self._dropouts[0])  # the last is of what modules draw themselves
        keys = mask_keys(self.seeds, layers, number)
        drawn = mask_keys(self._host_seeds, layers, number)[-1].tolist() if self._spec.draws else []
        if self._shares is None:
            factors = self._factors.tolist()
            pairs = zip(self._dropouts, factors, strict=True)
            self._shares = [[factor * float(layer.p) for layer in dropouts] for dropouts, factor in pairs]
        result = []
        for m, dropouts in enumerate(self._dropouts):
            if self._apart:
                self._apart[m].load()
            for layer, key, p in zip(dropouts, keys[:, m : m + 1], self._shares[m], strict=False):
                layer.begin(key, p=p)
            own = batch if shared is not None else batch.cut(slice(m, m + 1))
            inputs = tuple(with_layout(x[m]) for x in given) if shared is None else shared
            drawing = _drawing_from(drawn[m], self._device) if drawn else nullcontext()
            with (
                running(inputs, compiled=self._compiled),
                drawing,
                torch.enable_grad(),
                computing(self._device, self._bf16),
            ):
                taken = (with_layout(x, copied=self._spec.changes_inputs) for x in inputs)
                outputs = one_tensor(self._called[m](*taken), batch.rows)
                value = mean_of(self._loss, outputs.unsqueeze(0), own, bf16=self._bf16)[0]
                whole = value
                if self.smoothing is not None and self._smoothing_part is not None:
                    more = mean_of(self._smoothing_part, outputs.unsqueeze(0), own, bf16=self._bf16)[0]
                    whole = value + self.smoothing[m] * more
                (whole * (share[m] if isinstance(share, Tensor) else share)).backward()  # type: ignore[no-untyped-call]
            result.append(value.detach())
            if self._apart:
                self._apart[m].store()
        if [x._version for x in given] != versions:
            raise InputError("the module changes its inputs in place", remedy="write `x = x - 1` in place of `x -= 1`")
        return torch.stack(result).to(exact(self.state.parameters.dtype))


def _bound(
    spec: ModuleSpec, m: int, named: dict[str, Tensor], gradients: dict[str, Tensor], fixed: dict[str, Tensor]
) -> nn.Module:
    """A member's module over its rows."""
    module = share_norms(copy.deepcopy(spec.module)).to(next(iter(named.values())).device)
    for name, tensor in (*module.named_parameters(), *module.named_buffers()):
        if name in named:
            tensor.data, tensor.grad = named[name][m], gradients[name][m]
        else:
            tensor.data = fixed[name][m]
    return module


class _Apart:
    """A bound module's tensors in memory of their own, and the rows that they are copied from and to."""

    def __init__(self, module: nn.Module) -> None:
        buffers = list(module.buffers())
        tensors = [*buffers, *module.parameters()]
        self._rows, self._slopes = [tensor.data for tensor in tensors], [t.grad for t in tensors if t.grad is not None]
        for tensor in tensors:
            tensor.data, slope = tensor.data.clone(), tensor.grad
            tensor.grad = None if slope is None else torch.zeros_like(tensor)
        self._own, self._buffers = [tensor.data for tensor in tensors], len(buffers)
        self._own_slopes = [tensor.grad for tensor in tensors if tensor.grad is not None]

    def load(self) -> None:
        """Take the rows' numbers; gradients become 0."""
        torch._foreach_copy_(self._own, self._rows)
        torch._foreach_zero_(self._own_slopes)

    def store(self) -> None:
        """Give gradients, and what a pass did to buffers, to the rows."""
        torch._foreach_copy_(self._slopes, self._own_slopes)
        if self._buffers:
            torch._foreach_copy_(self._rows[: self._buffers], self._own[: self._buffers])


class VmappedLearner:
    """All members in one program; every parameter is a leaf [M, ...] whose gradient is a view of the rows."""

    def __init__(
        self,
        spec: ModuleSpec,
        state: TrainState,
        seeds: Tensor,
        drops: Tensor,
        loss: Loss | Criterion,
        smoothing: Tensor | None = None,
        *,
        bf16: bool = False,
    ) -> None:
        self.state, self.seeds, self.drops, self._loss, self.smoothing = state, seeds, drops, loss, smoothing
        self._smoothing_part = None if smoothing is None else smoothing_part(loss)
        self._spec, self._bf16 = spec, bf16
        self._drops: list[Drop] | None = None  # what each layer drops, read once
        self._factors = torch.ones(len(seeds), dtype=torch.float64)
        self._module = copy.deepcopy(spec.module)
        self._dropouts = list(own_dropouts(self._module))
        named = parameter_views(spec.shapes, state.parameters)
        # Not `detach`: blocks in other threads write into the same memory, of which autograd would count the changes.
        self._leaves = {name: view.data.requires_grad_() for name, view in named.items()}
        self._gradients = parameter_views(spec.shapes, state.gradients)
        self._fixed = fixed_views(spec.fixed, state.buffers)
        self._shapes: dict[tuple[torch.Size, ...], list[list[torch.Size]]] = {}

    def scale_dropout(self, factors: Tensor) -> None:
        """Drop so many times the members' probabilities [M] from now on."""
        self._factors, self._drops = factors, None

    def gradients(self, batch: Batch, number: int | Tensor, share: float | Tensor = 1.0) -> Tensor:
        """Fill `state.gradients` with `share` times those of a batch's mean loss; returns the losses [M]."""
        given = arguments(self._module, batch.inputs)
        masks = self._masks(tuple(x[0] for x in given) if batch.own else given, int(number))
        inputs = tuple(x.clone() for x in given) if self._spec.changes_inputs else given
        # Of a slice batch norm would update a copy, so buffers go in whole and what became of them is copied back.
        fixed = {name: view.clone(memory_format=torch.contiguous_format) for name, view in self._fixed.items()}
        axes = (0, 0, 0, 0 if batch.own else None)
        with running(given), torch.enable_grad(), computing(batch.targets.device, self._bf16):
            outputs = vmap(self._outputs, in_dims=axes)(self._leaves, fixed, masks, inputs)
            losses = mean_of(self._loss, outputs, batch, bf16=self._bf16)
            whole = losses
            if self.smoothing is not None and self._smoothing_part is not None:
                whole = losses + self.smoothing * mean_of(self._smoothing_part, outputs, batch, bf16=self._bf16)
            total = (whole * share).sum()
            result = torch.autograd.grad(total, list(self._leaves.values()), materialize_grads=True)
        for name, view in self._fixed.items():
            view.copy_(fixed[name])
        for view, gradient in zip(self._gradients.values(), result, strict=True):
            view.copy_(gradient)
        return losses.detach().to(exact(self.state.parameters.dtype))

    def _outputs(
        self, leaves: dict[str, Tensor], fixed: dict[str, Tensor], masks: list[list[Tensor]], inputs: tuple[Tensor, ...]
    ) -> Tensor:
        for layer, calls in zip(self._dropouts, masks, strict=True):
            layer.begin(masks=calls)
        try:
            return one_tensor(functional_call(self._module, {**leaves, **fixed}, inputs), len(inputs[0]))
        finally:
            for layer in self._dropouts:
                layer.begin()

    def _masks(self, inputs: tuple[Tensor, ...], number: int) -> list[list[Tensor]]:
        """The masks [M, ...] of each dropout layer and each of its calls."""
        if not self._dropouts:
            return []
        known = tuple(x.shape for x in inputs)
        if known not in self._shapes:
            self._shapes[known] = self._calls(inputs)
        if self._drops is None:
            shares = [(self._fixed[name].cpu() * self._factors).tolist() for name in self._spec.dropouts]
            self._drops = [Drop.of(share, self.state.parameters.dtype, inputs[0].device) for share in shares]
        keys = mask_keys(self.seeds, 1 + len(self._dropouts), number)
        calls = zip(keys, self._drops, self._shapes[known], strict=False)
        return [[masks_of(key, drop, shape, call) for call, shape in enumerate(shapes)] for key, drop, shapes in calls]

    def _calls(self, inputs: tuple[Tensor, ...]) -> list[list[torch.Size]]:
        """The shapes that each dropout layer is called with, found out by one pass."""
        probe = copy.deepcopy(self._spec.module).to(inputs[0].device)
        for layer in own_dropouts(probe):
            layer.begin(self.seeds[:1])
        with torch.no_grad():
            probe(*inputs)
        return [layer.shapes for layer in own_dropouts(probe)]


def computing(device: torch.device, bf16: bool) -> torch.autocast:
    """Matrix products in bfloat16 where that is asked for."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=bf16)


def _drawing_from(seed: int, device: torch.device) -> AbstractContextManager[None]:
    """Let what a module draws by itself follow from a seed."""
    share = current()
    return seeded(seed ^ (0 if share is None else share.start), device)  # each share of a batch draws anew


def with_layout(inputs: Tensor, *, copied: bool = False) -> Tensor:
    """Inputs as convolutions like them, and in memory of their own where a module writes into them."""
    result = inputs.contiguous(memory_format=torch.channels_last) if inputs.ndim == 4 else inputs
    return result.clone() if copied else result

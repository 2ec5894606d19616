"""Steps of any module: one member after another, or all in one program by `torch.func.vmap`.

M members, B batch, P learnable numbers of one member, Q bytes of its buffers.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from luthier.engine.batches import Batch, exact
from luthier.engine.dropout import own_dropouts
from luthier.engine.flat_rows import fixed_views, parameter_views
from luthier.engine.module_spec import ModuleSpec
from luthier.engine.settings import Settings
from luthier.engine.sharing import current, share_norms
from luthier.errors import InputError, users_code
from luthier.objective import Criterion, Loss


class ModuleStack:
    """M copies of a module over shared rows of parameters, buffers and gradients."""

    def __init__(
        self, spec: ModuleSpec, parameters: Tensor, buffers: Tensor, gradients: Tensor, settings: Settings
    ) -> None:
        self.spec, self.parameters, self.buffers, self.gradients = spec, parameters, buffers, gradients
        self._low = settings.mixed_precision
        self._named, self._fixed = parameter_views(spec.shapes, parameters), fixed_views(spec.fixed, buffers)
        self._gradient_views = parameter_views(spec.shapes, gradients)

    def __len__(self) -> int:
        return len(self.parameters)

    def learn(
        self, batch: Batch, loss: Loss | Criterion, generators: Sequence[torch.Generator], part: float = 1.0
    ) -> Tensor:
        """Fill the gradients of `part` times a batch's mean loss; returns those losses [M]."""
        raise NotImplementedError

    def _computing(self) -> torch.autocast:
        return torch.autocast("cpu", dtype=torch.bfloat16, enabled=self._low)


class LoopedStack(ModuleStack):
    """One member after another: each has a module whose parameters and gradients are views of its rows."""

    def __init__(
        self, spec: ModuleSpec, parameters: Tensor, buffers: Tensor, gradients: Tensor, settings: Settings
    ) -> None:
        super().__init__(spec, parameters, buffers, gradients, settings)
        self._modules = [self._copy(m) for m in range(len(parameters))]
        self._dropouts = [list(own_dropouts(module)) for module in self._modules]

    def _copy(self, m: int) -> nn.Module:
        module = share_norms(copy.deepcopy(self.spec.module))
        for name, tensor in (*module.named_parameters(), *module.named_buffers()):
            if name in self._named:
                tensor.data, tensor.grad = self._named[name][m], self._gradient_views[name][m]
            else:
                tensor.data = self._fixed[name][m]
        return module

    def learn(
        self, batch: Batch, loss: Loss | Criterion, generators: Sequence[torch.Generator], part: float = 1.0
    ) -> Tensor:
        """Fill the gradients of `part` times a batch's mean loss; returns those losses [M]."""
        self.gradients.zero_()
        inputs, version = with_layout(batch.inputs), batch.inputs._version
        result = []
        for module, dropouts, generator in zip(self._modules, self._dropouts, generators, strict=True):
            for layer in dropouts:  # what draws by itself too, draws everything from one stream
                layer.generator = None if self.spec.draws else generator
            drawing = _drawing_from(generator) if self.spec.draws else nullcontext()
            with running(inputs), drawing, torch.enable_grad(), self._computing():
                outputs = one_tensor(module(with_layout(inputs, copied=self.spec.changes_inputs)), len(inputs))
                value = mean_of(loss, outputs.unsqueeze(0), batch, bf16=self._low)[0] * part
                value.backward()  # type: ignore[no-untyped-call]
            result.append(value.detach())
        if batch.inputs._version != version:
            raise InputError("the module changes its inputs in place", remedy="write `x = x - 1` in place of `x -= 1`")
        return torch.stack(result).to(exact(self.parameters.dtype))


class VmappedStack(ModuleStack):
    """All members in one program; every parameter is a leaf [M, ...] whose gradient is a view of the rows."""

    def __init__(
        self, spec: ModuleSpec, parameters: Tensor, buffers: Tensor, gradients: Tensor, settings: Settings
    ) -> None:
        super().__init__(spec, parameters, buffers, gradients, settings)
        self._module = copy.deepcopy(spec.module)
        self._leaves = {name: view.detach().requires_grad_() for name, view in self._named.items()}
        self._shapes: dict[tuple[int, ...], list[torch.Size]] = {}

    def learn(
        self, batch: Batch, loss: Loss | Criterion, generators: Sequence[torch.Generator], part: float = 1.0
    ) -> Tensor:
        """Fill the gradients of `part` times a batch's mean loss; returns those losses [M]."""
        masks = self._masks(batch.inputs, generators)
        inputs = batch.inputs.clone() if self.spec.changes_inputs else batch.inputs
        # Of a slice batch norm would update a copy, so buffers go in whole and what became of them is copied back.
        fixed = {name: view.clone(memory_format=torch.contiguous_format) for name, view in self._fixed.items()}
        with running(batch.inputs), torch.enable_grad(), self._computing():
            outputs = vmap(self._outputs, in_dims=(0, 0, 0, None))(self._leaves, fixed, masks, inputs)
            losses = mean_of(loss, outputs, batch, bf16=self._low) * part
            result = torch.autograd.grad(losses.sum(), list(self._leaves.values()), materialize_grads=True)
        for name, view in self._fixed.items():
            view.copy_(fixed[name])
        for view, gradient in zip(self._gradient_views.values(), result, strict=True):
            view.copy_(gradient)
        return losses.detach().to(exact(self.parameters.dtype))

    def _outputs(self, leaves: dict[str, Tensor], fixed: dict[str, Tensor], masks: list[Tensor], x: Tensor) -> Tensor:
        for layer, mask in zip(own_dropouts(self._module), masks, strict=True):
            layer.mask = mask
        try:
            return one_tensor(functional_call(self._module, {**leaves, **fixed}, (x,)), len(x))
        finally:
            for layer in own_dropouts(self._module):
                layer.mask = None

    def _masks(self, inputs: Tensor, generators: Sequence[torch.Generator]) -> list[Tensor]:
        """A mask [M, ...] for each dropout layer, each member's from its own generator, in the order of use."""
        layers = list(own_dropouts(self._module))
        if not layers:
            return []
        key = tuple(inputs.shape)
        if key not in self._shapes:
            probe = copy.deepcopy(self.spec.module)
            for layer in own_dropouts(probe):
                layer.generator = torch.Generator()
            with torch.no_grad():
                probe(inputs)
            self._shapes[key] = [layer.shape or torch.Size() for layer in own_dropouts(probe)]
        shares = [self._fixed[name].tolist() for name in self.spec.dropouts]
        likes = [torch.empty(shape, dtype=self.parameters.dtype) for shape in self._shapes[key]]
        rows = []
        for m, generator in enumerate(generators):
            for layer in layers:
                layer.generator = generator
            triples = zip(layers, likes, shares, strict=True)
            rows.append([layer.drawn(like, p[m]) for layer, like, p in triples])
        return [torch.stack(masks) for masks in zip(*rows, strict=True)]


def running(inputs: Tensor) -> AbstractContextManager[None]:
    """The module and the loss run inside, on a batch."""
    return users_code(
        "the module fails on the data",
        expected=f"a forward pass and a loss for inputs of shape {list(inputs.shape)}",
        remedy="call module(x) and the loss on a batch yourself, and compare shapes and types",
    )


def one_tensor(outputs: Any, rows: int) -> Tensor:
    """A module's outputs [B, ...]. InputError for anything but one tensor with an entry for each row."""
    if not isinstance(outputs, Tensor):
        raise InputError(
            "the module's outputs cannot be scored",
            expected="one tensor",
            received=type(outputs).__name__,
            remedy="wrap the module in one that returns the tensor to learn from",
        )
    if outputs.ndim == 0 or len(outputs) != rows:
        raise InputError(
            "the module's outputs are not one for each row",
            expected=f"shape [{rows}, ...] for {rows} rows",
            received=f"shape {list(outputs.shape)}",
            remedy="return what the loss is to be computed from, row by row",
        )
    return outputs


def as_rows(outputs: Tensor) -> Tensor:
    """Outputs [M, B] or [M, B, C] of modules as [M, B, C], which losses and metrics by name take."""
    if outputs.ndim > 3 or outputs.is_complex():
        kind = "complex numbers " if outputs.is_complex() else ""
        raise InputError(
            "the module's outputs do not go with a loss by name",
            expected="real numbers of shape [B] or [B, C]",
            received=f"{kind}of shape {list(outputs.shape[1:])}",
            remedy="give the loss as a function: loss=torch.nn.functional.cross_entropy",
        )
    result = outputs.unsqueeze(-1) if outputs.ndim == 2 else outputs
    return result.to(exact(result.dtype))


def mean_of(loss: Loss | Criterion, outputs: Tensor, batch: Batch, *, bf16: bool = False) -> Tensor:
    """The (weighted) mean loss of each member [M] from outputs [M, B, ...] as the modules gave them.

    `low` says that they were computed in bfloat16, and learn in longer numbers.
    """
    if isinstance(loss, Criterion):
        return loss.mean(outputs.float() if bf16 else outputs, batch.targets, batch.weights)
    return loss.mean(as_rows(outputs), batch.targets, batch.weights)


@contextmanager
def _drawing_from(generator: torch.Generator) -> Iterator[None]:
    """Let what a module draws by itself come from a member's generator."""
    outside = torch.random.get_rng_state()
    torch.random.set_rng_state(generator.get_state())
    share = current()
    if share is not None and share.start:  # the rows after the first share must not draw what those drew
        torch.manual_seed(int(torch.randint(1 << 62, (1,))) ^ share.start)
    try:
        yield
    finally:
        generator.set_state(torch.random.get_rng_state())
        torch.random.set_rng_state(outside)


def with_layout(inputs: Tensor, *, copied: bool = False) -> Tensor:
    """Inputs as convolutions like them, and in memory of their own where a module writes into them."""
    result = inputs.contiguous(memory_format=torch.channels_last) if inputs.ndim == 4 else inputs
    return result.clone() if copied else result

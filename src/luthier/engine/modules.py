"""Any module as an architecture: the layouts `vmapped` and `looped`.

M members, B batch, P learnable numbers of one member, Q bytes of its buffers. All parameters lie in
one tensor [M, P] as in a dense stack, so rules, clipping, penalties, checkpoints are the same; the
members' modules hold views of it. Frozen parameters and buffers of every type lie in a tensor of
bytes [M, Q].
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from luthier.engine.batches import Batch
from luthier.engine.dropout import DROPOUTS, OwnDropout, own_dropouts
from luthier.engine.flat_rows import fill, fixed_views, parameter_views, room
from luthier.engine.settings import Part, Settings
from luthier.engine.sharing import current, share_norms
from luthier.errors import InputError, in_a_line
from luthier.nets import chain
from luthier.objective import Criterion, Loss
from luthier.seeds import derive

EVALUATED_ROWS = 512


class ModuleSpec:
    """A module of the user's own as the architecture of a population.

    `start` is a module whose present weights every member begins with, or a function without
    arguments that builds one: it is called once for each member, after PyTorch's generator was seeded
    with the member's seed. The layout `looped` trains one member after another; `vmapped` all in one
    program, by `torch.func.vmap`; `stacked` is the dense path, for chains of dense layers. `variants` are
    functions of single members, by seed, whose modules have the same shapes but other dropout or first weights.
    A module's own method `from_training_rows(rows, targets)` is asked once, before the first step, for what its
    buffers of those names hold: frequencies, prototypes, whatever is counted rather than learnt.
    `built_by(seed=...)` builds a member's module in place of `start`. `groups` are names of submodules that may have
    rates of their own (else the module's children do).
    """

    draws = True  # whether the module draws its own random numbers; `layouts.examine` finds out

    def __init__(
        self,
        start: nn.Module | Callable[[], nn.Module],
        *,
        layout: str = "looped",
        variants: Mapping[int, Callable[[], nn.Module]] | None = None,
        built_by: Callable[..., nn.Module] | None = None,
        groups: Sequence[str] = (),
    ) -> None:
        self.start, self.layout, self.variants, self._built_by = start, layout, variants or {}, built_by
        self._named_groups = tuple(groups)
        self.module = self.built(0)
        self.chain = chain(self._started(0))
        trainable = {name: p for name, p in self.module.named_parameters() if p.requires_grad}
        if not trainable:
            raise InputError(
                "the module has no parameters to train",
                expected="at least one parameter that requires a gradient",
                received=f"{sum(1 for _ in self.module.parameters())} parameters, all frozen or none",
                remedy="unfreeze a layer; run a module with lazy layers once before training",
            )
        kinds = {p.dtype for p in trainable.values()} | {p.device.type for p in trainable.values()}
        if len(kinds) != 2 or "cpu" not in kinds:
            raise InputError(
                "the module's parameters cannot be stored in one tensor",
                expected="parameters of one type, on the CPU",
                received=", ".join(sorted(map(str, kinds))),
            )
        self.dtype = next(iter(trainable.values())).dtype
        self.shapes = {name: tuple(p.shape) for name, p in trainable.items()}
        fixed = {name: p for name, p in self.module.named_parameters() if name not in trainable}
        self.fixed = {name: (tuple(t.shape), t.dtype) for name, t in (*fixed.items(), *self.module.named_buffers())}
        layers = self.module.named_modules()
        self.dropouts = [f"{name}.p" for name, layer in layers if isinstance(layer, OwnDropout)]

    def built(self, seed: int) -> nn.Module:
        """A fresh module for a member, its dropout layers drawing from the member's own generator."""
        try:
            module = self._started(seed)
        except (RuntimeError, TypeError) as error:
            raise InputError(
                "the module cannot be copied or built",
                received=in_a_line(error),
                remedy="detach tensors that it keeps from earlier forward passes, or give a function that builds it",
            ) from error
        for parent in list(module.modules()):
            for name, child in parent.named_children():
                if isinstance(child, nn.modules.dropout._DropoutNd) and type(child) in DROPOUTS:
                    setattr(parent, name, OwnDropout(child.p, spread=DROPOUTS[type(child)]))
        return module.train()

    def _started(self, seed: int) -> nn.Module:
        if self._built_by is not None:
            return self._built_by(seed=seed)
        if isinstance(self.start, nn.Module):
            return copy.deepcopy(self.start)
        with torch.random.fork_rng():
            torch.manual_seed(derive(seed, "module"))
            return self.variants.get(seed, self.start)()

    def with_layout(self, layout: str) -> ModuleSpec:
        """The same spec in another layout."""
        result = ModuleSpec(
            self.start, layout=layout, variants=self.variants, built_by=self._built_by, groups=self._named_groups
        )
        result.draws = self.draws
        return result

    @property
    def hidden(self) -> tuple[int, ...]:
        """Hidden layers whose dropout a member sets: those of the stacked layout; elsewhere it is the module's own."""
        return self.chain.spec.hidden if self.chain is not None and self.layout == "stacked" else ()

    @property
    def layers(self) -> int:
        """How many groups `layer_rates` and `frozen_until` tell apart: children that learn, first to last."""
        return len(self._groups())

    def _groups(self) -> list[str]:
        return list(dict.fromkeys(self.group(name) for name in self.shapes))

    def group(self, parameter: str) -> str:
        """The group that a parameter belongs to: the longest of the named ones, else its first name."""
        result = [one for one in self._named_groups if parameter.startswith(f"{one}.")]
        return max(result, key=len) if result else parameter.split(".")[0]

    def __eq__(self, other: object) -> bool:
        return self is other

    __hash__ = object.__hash__


class Modules:
    """What a population asks of its members' architecture, for any module."""

    has_bias_column = False

    def __init__(self, spec: ModuleSpec) -> None:
        self.spec, self.layout = spec, spec.layout

    def fresh(self, seeds: Sequence[int], dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Initial parameters [M, P] and the bytes of buffers [M, Q]."""
        states = []
        for seed in seeds:
            module = self.spec.built(seed)
            result = {name: tensor.detach() for name, tensor in (*module.named_parameters(), *module.named_buffers())}
            if {name: tuple(result[name].shape) for name in self.spec.shapes} != self.spec.shapes:
                raise InputError("the function builds modules of several shapes; a population has one architecture")
            states.append(result)
        return self.filled(states, dtype)

    def filled(self, states: Sequence[Mapping[str, Tensor]], dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Parameters [M, P] and the bytes of buffers [M, Q] with these named weights, one state a member."""
        spec, many = self.spec, len(states)
        parameters = torch.zeros(many, sum(prod(shape) for shape in spec.shapes.values()), dtype=dtype)
        buffers = torch.zeros(many, sum(room(*fixed) for fixed in spec.fixed.values()), dtype=torch.uint8)
        named = {**parameter_views(spec.shapes, parameters), **fixed_views(spec.fixed, buffers)}
        dropped = {name: dict(spec.module.named_buffers())[name] for name in spec.dropouts}
        for m, state in enumerate(states):
            fill(named, m, {**dropped, **state})
        return parameters, buffers

    def inform(self, buffers: Tensor, training: Part) -> None:
        """Fill those buffers [M, Q] that modules work out from their training rows before the first step."""
        look = getattr(self.spec.module, "from_training_rows", None)
        views = fixed_views(self.spec.fixed, buffers)
        for name, tensor in {} if look is None else look(training.features, training.targets).items():
            if name not in views or tensor.shape != views[name].shape[1:]:
                there = "one of its buffers: " + ", ".join(f"{k} {list(view.shape[1:])}" for k, view in views.items())
                raise InputError(f"from_training_rows returned {name!r} {list(tensor.shape)}", expected=there)
            views[name].copy_(tensor.expand_as(views[name]))

    def weight_mask(self, dtype: torch.dtype, *, biases: bool) -> Tensor:
        """1 where a penalty applies [P]: parameters of two axes or more, with `biases` those named so too."""
        mask = torch.zeros(1, sum(prod(shape) for shape in self.spec.shapes.values()), dtype=dtype)
        for name, view in parameter_views(self.spec.shapes, mask).items():
            view.fill_(float(view.ndim > 2 or (biases and name.endswith("bias"))))
        return mask[0]

    def group_of(self) -> Tensor:
        """Which of the module's children each number belongs to [P]."""
        flat = torch.zeros(1, sum(prod(s) for s in self.spec.shapes.values()), dtype=torch.int64)
        groups = self.spec._groups()
        for name, view in parameter_views(self.spec.shapes, flat).items():
            view.fill_(groups.index(self.spec.group(name)))
        return flat[0]

    def prepared(self, part: Part) -> Part:
        """A part as `evaluate` takes it."""
        return part

    def block_members(self, settings: Settings) -> int:
        """How many members step together."""
        return 64 if self.layout == "vmapped" else 1 << 30

    def stack(self, parameters: Tensor, buffers: Tensor, gradients: Tensor, settings: Settings) -> ModuleStack:
        """The arithmetic over these rows."""
        kind = VmappedStack if self.layout == "vmapped" else LoopedStack
        return kind(self.spec, parameters, buffers, gradients, settings)

    def evaluate(self, parameters: Tensor, buffers: Tensor, part: Part) -> Tensor:
        """Outputs [M, N, ...] in evaluation mode."""
        module = copy.deepcopy(self.spec.module).eval()
        named, fixed = parameter_views(self.spec.shapes, parameters), fixed_views(self.spec.fixed, buffers)
        result = []
        with torch.no_grad():
            for m in range(len(parameters)):
                state = {name: view[m] for name, view in (*named.items(), *fixed.items())}
                pieces = [
                    as_rows(functional_call(module, state, (_laid_out(x),)))
                    for x in torch.split(part.features, EVALUATED_ROWS)
                ]
                result.append(torch.cat(pieces))
        return torch.stack(result)

    def state_dict(self, parameters: Tensor, buffers: Tensor) -> Mapping[str, Tensor]:
        """Named weights and buffers of one member from its rows [1, P] and [1, Q]."""
        named = {**parameter_views(self.spec.shapes, parameters), **fixed_views(self.spec.fixed, buffers)}
        return {
            name: value[0].clone(memory_format=torch.contiguous_format)
            for name, value in named.items()
            if name not in self.spec.dropouts
        }

    def module(self, state: Mapping[str, Tensor]) -> nn.Module:
        """A module of the user's own class with this state, in evaluation mode."""
        start = self.spec.start
        net = copy.deepcopy(start) if isinstance(start, nn.Module) else start()
        with torch.no_grad():
            for name, tensor in (*net.named_parameters(), *net.named_buffers()):
                tensor.copy_(state[name])
        return net.eval()


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
        result, inputs = [], _laid_out(batch.inputs)
        for module, dropouts, generator in zip(self._modules, self._dropouts, generators, strict=True):
            for layer in dropouts:  # what draws by itself too, draws everything from one stream
                layer.generator = None if self.spec.draws else generator
            drawing = _drawing_from(generator) if self.spec.draws else nullcontext()
            with drawing, torch.enable_grad(), self._computing():
                value = mean_of(loss, as_rows(module(inputs)).unsqueeze(0), batch)[0] * part
                value.backward()  # type: ignore[no-untyped-call]
            result.append(value.detach())
        return torch.stack(result).to(self.parameters.dtype)


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
        # Of a slice batch norm would update a copy, so buffers go in whole and what became of them is copied back.
        fixed = {name: view.clone(memory_format=torch.contiguous_format) for name, view in self._fixed.items()}
        with torch.enable_grad(), self._computing():
            outputs = vmap(self._outputs, in_dims=(0, 0, 0, None))(self._leaves, fixed, masks, batch.inputs)
            losses = mean_of(loss, outputs, batch) * part
            result = torch.autograd.grad(losses.sum(), list(self._leaves.values()), materialize_grads=True)
        for name, view in self._fixed.items():
            view.copy_(fixed[name])
        for view, gradient in zip(self._gradient_views.values(), result, strict=True):
            view.copy_(gradient)
        return losses.detach().to(self.parameters.dtype)

    def _outputs(self, leaves: dict[str, Tensor], fixed: dict[str, Tensor], masks: list[Tensor], x: Tensor) -> Tensor:
        for layer, mask in zip(own_dropouts(self._module), masks, strict=True):
            layer.mask = mask
        try:
            return as_rows(functional_call(self._module, {**leaves, **fixed}, (x,)))
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


def as_rows(outputs: Any) -> Tensor:
    """A module's outputs as [B, C]: one number a row becomes one column."""
    if not isinstance(outputs, Tensor):
        raise InputError(
            "the module's outputs cannot be scored",
            expected="one tensor",
            received=type(outputs).__name__,
            remedy="wrap the module in one that returns only the output tensor",
        )
    return outputs.unsqueeze(-1) if outputs.ndim == 1 else outputs


def mean_of(loss: Loss | Criterion, outputs: Tensor, batch: Batch) -> Tensor:
    """The (weighted) mean loss of each member [M] from outputs [M, B, C]."""
    outputs = outputs.to(batch.targets.dtype) if batch.targets.is_floating_point() else outputs
    outputs = outputs.float() if outputs.dtype == torch.bfloat16 else outputs
    return loss.mean(outputs, batch.targets, batch.weights)


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


def _laid_out(inputs: Tensor) -> Tensor:
    return inputs.contiguous(memory_format=torch.channels_last) if inputs.ndim == 4 else inputs

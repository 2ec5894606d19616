"""Any module as an architecture: the layouts `vmapped` and `looped`.

M members, B batch, P learnable numbers of one member, Q bytes of its buffers. All parameters lie in
one tensor [M, P] as in a dense stack, so rules, clipping, penalties, checkpoints are the same; the
members' modules hold views of it. Frozen parameters and buffers of every type lie in a tensor of
bytes [M, Q].
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from functools import partial
from math import prod

import torch
from torch import Tensor, nn
from torch.func import functional_call

from luthier.engine.members.devices import sent
from luthier.engine.members.flat_rows import KINDS, fill, fixed_views, parameter_views, room
from luthier.engine.members.module_spec import ModuleSpec, bare
from luthier.engine.members.outputs import one_tensor
from luthier.engine.members.settings import Settings
from luthier.engine.members.state import TrainState
from luthier.engine.torch_modules.module_learners import LoopedLearner, VmappedLearner, with_layout
from luthier.errors import InputError, users_code
from luthier.objective import Criterion, Loss
from luthier.rows import Rows, arguments

EVALUATED_ROWS, EVALUATED_NUMBERS = 512, 2**21  # at once: the layers of pictures hold many times their numbers


class Modules:
    """What a population asks of its members' architecture, for any module."""

    has_bias_column = fuses = False

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

    def inform(self, buffers: Tensor, training: Rows) -> None:
        """Fill those buffers [M, Q] that modules work out from their training rows before the first step."""
        look = getattr(self.spec.module, "from_training_rows", None)
        views = fixed_views(self.spec.fixed, buffers)
        given = (*arguments(self.spec.module, training.inputs), training.targets)
        for name, tensor in {} if look is None else look(*(one.cpu() for one in given)).items():
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

    def kinds_of(self) -> Tensor:
        """Which of KINDS each number is [P], by its layer and name."""
        layers, flat = dict(self.spec.module.named_modules()), self._flat(torch.int64)
        for name, view in parameter_views(self.spec.shapes, flat).items():
            layer = layers.get(name.rpartition(".")[0])
            kind = "biases" if name.endswith("bias") else "norms" if view.ndim == 2 else "weights"
            view.fill_(KINDS.index("embeddings" if isinstance(layer, nn.Embedding | nn.EmbeddingBag) else kind))
        return flat[0]

    def inputs_of(self) -> Tensor:
        """How many inputs each weight of two axes or more has [P], by its shape; 1 for biases, norms, embeddings."""
        flat, kinds = self._flat(torch.float64), self.kinds_of()
        for view in parameter_views(self.spec.shapes, flat).values():
            view.fill_(prod(view.shape[2:]))
        return torch.where(kinds == KINDS.index("weights"), flat[0], 1)

    def _flat(self, dtype: torch.dtype) -> Tensor:
        return torch.zeros(1, sum(prod(shape) for shape in self.spec.shapes.values()), dtype=dtype)

    def hidden_matrices(self, flat: Tensor) -> list[Tensor]:
        """The weights of linear layers [M, units, inputs] but the last of all, as views of rows [M, P]."""
        layers = dict(self.spec.module.named_modules())
        linear = [name for name in self.spec.shapes if isinstance(layers.get(name.rpartition(".")[0]), nn.Linear)]
        named = parameter_views(self.spec.shapes, flat)
        return [named[name] for name in linear if named[name].ndim == 3][:-1]

    def prepared(self, part: Rows) -> Rows:
        """A part as `evaluate` takes it."""
        return part

    def block_members(self, settings: Settings) -> int:
        """How many members step together."""
        return 64 if self.layout == "vmapped" else 1 << 30

    def learner(
        self,
        state: TrainState,
        seeds: Tensor,
        drops: Tensor,
        loss: Loss | Criterion,
        settings: Settings,
        smoothing: Tensor | None = None,
    ) -> LoopedLearner | VmappedLearner:
        """What computes gradients over these rows, masks by `seeds` [M], labels smoothed by `smoothing` [M]."""
        given, bf16 = (self.spec, state, seeds, drops, loss, smoothing), settings.mixed_precision
        if self.layout == "vmapped":
            return VmappedLearner(*given, bf16=bf16)
        return LoopedLearner(*given, bf16=bf16, compiled=settings.compile)

    def evaluate(self, parameters: Tensor, buffers: Tensor, part: Rows) -> Tensor:
        """Outputs [M, N, ...] in evaluation mode, as the modules give them."""
        spec = self.spec
        module = copy.deepcopy(spec.module).eval()
        named, fixed = parameter_views(spec.shapes, parameters), fixed_views(spec.fixed, buffers)
        result, at_once = [], min(EVALUATED_ROWS, part.inputs.rows_within(EVALUATED_NUMBERS))
        with torch.no_grad(), users_code("the module does not run in evaluation mode", remedy="try module.eval()(x)"):
            for m in range(len(parameters)):
                state = {name: view[m] for name, view in (*named.items(), *fixed.items())}
                if parameters.device.type != "cpu":  # kernels elsewhere like tensors to begin at even places
                    state = {name: value.clone() for name, value in state.items()}
                pieces = []
                for start in range(0, len(part), at_once):
                    rows = part.span(start, start + at_once)
                    some = rows.inputs.map(partial(sent, device=parameters.device))
                    given = tuple(with_layout(x, copied=spec.changes_inputs) for x in arguments(module, some))
                    pieces.append(one_tensor(functional_call(module, state, given), some.rows))
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
        net = copy.deepcopy(start) if isinstance(start, nn.Module) else bare(start())
        with torch.no_grad():
            for name, tensor in (*net.named_parameters(), *net.named_buffers()):
                tensor.copy_(state[name])
        return net.eval()

"""Dense networks as an architecture: the layout `stacked`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from luthier.engine.dense.dense_learner import DenseLearner
from luthier.engine.dense.dense_rows import (
    buffer_views,
    fresh_buffers,
    fresh_parameters,
    group_of,
    inputs_of,
    kinds_of,
    matrices,
    views,
    weight_mask,
    with_ones,
)
from luthier.engine.dense.stack import Stack
from luthier.engine.members.batches import exact
from luthier.engine.members.flat_rows import fill
from luthier.engine.members.masks import LayerMasks
from luthier.engine.members.module_spec import ModuleSpec
from luthier.engine.members.settings import Settings
from luthier.engine.members.state import TrainState
from luthier.engine.torch_modules.modules import Modules
from luthier.nets import Chain, DenseSpec, build
from luthier.objective import Criterion, Loss
from luthier.rows import Rows

BLOCK_BYTES = 1 << 21  # of parameters and activations that are stepped together: more would fall out of the cache
BLOCK_MEMBERS = 64
EVALUATED_AT_ONCE, ON_DEVICE_AT_ONCE = 1 << 20, 1 << 27  # numbers of one layer's activations held while evaluating
EVALUATED_MEMBERS = 32  # in blocks that a processor's cache holds


class DenseArchitecture:
    """What a population asks of its members' architecture, for dense networks."""

    layout = "stacked"

    def __init__(self, spec: DenseSpec) -> None:
        self.spec = spec
        self.has_bias_column = spec.biased(0)
        # Plain descent needs no stored gradients.
        more = spec.normalised or spec.constant_outputs or spec.parametric or spec.ensemble
        self.fuses = spec.plain_inputs and not more

    def fresh(self, seeds: Sequence[int], dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Initial parameters [M, P] and buffers [M, Q]."""
        return fresh_parameters(self.spec, seeds, dtype), fresh_buffers(self.spec, len(seeds), dtype)

    def filled(self, states: Sequence[Mapping[str, Tensor]], dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Parameters [M, P] and buffers [M, Q] with these named weights, one state a member."""
        parameters, buffers = self.fresh([0] * len(states), dtype)
        named = {**views(self.spec, parameters), **buffer_views(self.spec, buffers)}
        for m, state in enumerate(states):
            fill(named, m, state)
        return parameters, buffers

    def weight_mask(self, dtype: torch.dtype, *, biases: bool) -> Tensor:
        """1 where a penalty applies [P]."""
        return weight_mask(self.spec, dtype, biases=biases)

    def group_of(self) -> Tensor:
        """Which layer each number belongs to [P]."""
        return group_of(self.spec)

    def kinds_of(self) -> Tensor:
        """Which of KINDS each number is [P]."""
        return kinds_of(self.spec)

    def inputs_of(self) -> Tensor:
        """How many inputs the layer of each weight has [P]; 1 elsewhere."""
        return inputs_of(self.spec)

    def hidden_matrices(self, flat: Tensor) -> list[Tensor]:
        """The hidden layers' weights [M, units, inputs], biases left out, as views of rows [M, P]."""
        layers = enumerate(matrices(self.spec, flat)[:-1])
        return [matrix[:, :, : self.spec.fan_in(i)] for i, matrix in layers]

    def prepared(self, part: Rows) -> Rows:
        """A part as `evaluate` takes it."""
        return part.with_inputs(numbers=with_ones(self.spec, part.numbers))

    def block_members(self, settings: Settings) -> int:
        """How many members step together."""
        row = fresh_parameters(self.spec, [], settings.dtype).shape[1]
        waves = self.spec.number_embedding
        units = sum(self.spec.hidden) + (0 if waves is None else waves.inner)
        activations = 3 * settings.batch_size * units  # with their sums and derivatives
        member_bytes = (row + activations) * settings.dtype.itemsize
        return min(max(1, BLOCK_BYTES // member_bytes), BLOCK_MEMBERS)

    def learner(
        self,
        state: TrainState,
        seeds: Tensor,
        drops: Tensor,
        loss: Loss | Criterion,
        settings: Settings,
        smoothing: Tensor | None = None,
    ) -> DenseLearner:
        """What computes gradients over these rows, masks by `seeds` [M] and probabilities `drops` [M, L].

        `smoothing` [M] is that of each member's labels.
        """
        masks = LayerMasks(seeds, drops, self.spec.hidden, exact(settings.dtype))
        return DenseLearner(self.spec, state, masks, loss, smoothing, bf16=settings.mixed_precision)

    def evaluate(self, parameters: Tensor, buffers: Tensor, part: Rows) -> Tensor:
        """Outputs [M, N, C] in evaluation mode, in blocks of members and rows so that memory stays bounded.

        On the networks' device; rows that lie elsewhere are sent block by block.
        """
        spec, device = self.spec, parameters.device
        waves = 0 if spec.number_embedding is None else spec.number_embedding.inner
        widest, cached = max((*spec.hidden, spec.learned_width, spec.outputs, waves)), device.type == "cpu"
        at_once, some = (EVALUATED_AT_ONCE, EVALUATED_MEMBERS) if cached else (ON_DEVICE_AT_ONCE, len(parameters))
        result = parameters.new_empty(len(parameters), len(part), spec.outputs)
        for first in range(0, len(parameters), some):
            members = slice(first, first + some)
            stack = Stack(spec, parameters[members], buffers[members], parameters[members])
            block = max(1, at_once // (len(stack) * widest))
            for row in range(0, len(part), block):
                rows = slice(row, row + block)
                block_inputs = part.inputs.map(lambda value, rows=rows: value[rows].to(device))  # type: ignore[misc]
                result[members, rows] = stack.logits(block_inputs)
        return result

    def state_dict(self, parameters: Tensor, buffers: Tensor) -> Mapping[str, Tensor]:
        """Named weights and buffers of one member from its rows [1, P] and [1, Q]."""
        named = {**views(self.spec, parameters), **buffer_views(self.spec, buffers)}
        return {name: value[0].clone(memory_format=torch.contiguous_format) for name, value in named.items()}

    def module(self, state: Mapping[str, Tensor]) -> nn.Module:
        """A module of its own with this state, in evaluation mode."""
        net = build(self.spec, seed=0).to(next(iter(state.values())).dtype)
        net.load_state_dict(state)
        return net.eval()


class SequentialAdapter(DenseArchitecture):
    """A module that is a chain of dense layers, trained by the dense path and handed back as it came."""

    def __init__(self, spec: ModuleSpec, chain: Chain) -> None:
        super().__init__(chain.spec)
        self.names, self._own = chain.names, Modules(spec)

    def fresh(self, seeds: Sequence[int], dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """The modules' own initial weights [M, P], and no buffers [M, 0]."""
        return self.filled([self._own.spec.built(seed).state_dict() for seed in seeds], dtype)

    def filled(self, states: Sequence[Mapping[str, Tensor]], dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Parameters [M, P] with these weights under the module's own names, and no buffers [M, 0]."""
        parameters, buffers = super().fresh([], dtype)
        parameters = parameters.new_zeros(len(states), parameters.shape[1])
        named = {theirs: views(self.spec, parameters)[ours] for ours, theirs in self.names.items()}
        for m, state in enumerate(states):
            fill(named, m, state)
        return parameters, buffers.new_zeros(len(states), 0)

    def state_dict(self, parameters: Tensor, buffers: Tensor) -> Mapping[str, Tensor]:
        """Named weights of one member under the module's own names."""
        result = super().state_dict(parameters, buffers)
        return {theirs: result[ours] for ours, theirs in self.names.items()}

    def prepared(self, part: Rows) -> Rows:
        """A part as `evaluate` takes it, every row flat."""
        return super().prepared(part.with_inputs(numbers=part.numbers.flatten(1)))

    def module(self, state: Mapping[str, Tensor]) -> nn.Module:
        """A module of the user's own with this state, in evaluation mode."""
        return self._own.module(state)

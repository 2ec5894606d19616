"""What a step reads and writes, and what learns on it.

M members that step together, P numbers of one member's row, Q of its buffers, B rows of a batch, C outputs.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from torch import Tensor

from luthier.engine.members.batches import Batch
from luthier.optimise import State


class TrainState(NamedTuple):
    """Tensors on one device, a row a member; a step writes into them in place.

    `parameters` [M, P], of which named weights are views; `buffers` [M, Q]; `gradients` of the same layout as the
    parameters; `rule`, what the update keeps [M, P] by name.
    """

    parameters: Tensor
    buffers: Tensor
    gradients: Tensor
    rule: State

    @property
    def weights(self) -> Tensor:
        """What is evaluated and kept [M, P]: the parameters, or their moving average where members ask for it."""
        return self.rule.get("average", self.parameters).to(self.parameters.dtype)

    def rows(self, places: slice | Tensor) -> TrainState:
        """The state of some members: views by a slice, copies by numbers. Gradients are anyone's for a step."""
        rule = {
            name: value[places if isinstance(places, slice) else places.to(value.device)]
            for name, value in self.rule.items()
        }  # an optimiser of PyTorch's may count its steps on the CPU
        parameters = self.parameters[places]
        return TrainState(parameters, self.buffers[places], self.gradients[: len(parameters)], rule)


class Learner(Protocol):
    """Computes gradients for members whose state it is bound to: making views costs a small network as much as a step.

    `seeds` [M] and probabilities `drops` [M, L] are what the members' masks follow from; modules keep those themselves.
    `smoothing` [M] is that of their labels, where one has any.
    """

    state: TrainState
    seeds: Tensor
    drops: Tensor
    smoothing: Tensor | None

    def gradients(self, batch: Batch, number: int | Tensor, share: float | Tensor = 1.0) -> Tensor:
        """Fill `state.gradients` with `share` (or each its own [M]) times those of a batch's mean loss.

        The batch is the `number`-th of all.

        Returns the losses [M], or the outputs [M, B, C] that they follow from: a step need not wait for its losses, and
        many steps' are worked out at once (`LossBuffer`).
        """
        ...

    def scale_dropout(self, factors: Tensor) -> None:
        """Drop so many times the members' probabilities [M] from now on."""
        ...

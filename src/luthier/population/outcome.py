"""What comes of a population: its kept weights, and how each member got there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from luthier.nets import DenseNet, build
from luthier.population.history import History
from luthier.population.member import Member
from luthier.population.stack import Stack, views
from luthier.records import Finding

EVALUATED_AT_ONCE = 2**23  # numbers of one layer's activations held while evaluating


@dataclass
class Outcome:
    """What came of a population, by the members' original order.

    `best_*` belong to the weights with the lowest validation loss, which are the ones kept; without
    a validation part they are the last. `status` is "finished", "early stopped", "cut at rung",
    "cut" or "retired: ...".
    """

    members: tuple[Member, ...]
    history: History
    steps_done: int
    status: list[str]
    findings: list[Finding]
    best_validation_loss: np.ndarray
    best_validation_score: np.ndarray
    best_train_loss: np.ndarray
    best_step: np.ndarray
    parameters: Tensor
    buffers: Tensor

    def state_dict(self, member: int) -> dict[str, Tensor]:
        """The kept weights and buffers of one member, under the names of its module."""
        spec = self.members[member].spec
        rows = slice(member, member + 1)
        named = {
            **views(self.parameters[rows], spec.shapes()),
            **views(self.buffers[rows], spec.buffer_shapes()),
        }
        return {name: value[0].clone() for name, value in named.items()}

    def module(self, member: int) -> DenseNet:
        """One member, cut out as an ordinary module in evaluation mode."""
        net = build(self.members[member].spec, seed=self.members[member].seed).to(self.parameters.dtype)
        net.load_state_dict(self.state_dict(member))
        return net.eval()

    def logits(self, features: Tensor, codes: Tensor) -> Tensor:
        """Outputs of all members' kept weights [M, N, C]."""
        return evaluate(Stack(self.members[0].spec, self.parameters, self.buffers), features, codes)


def evaluate(stack: Stack, features: Tensor, codes: Tensor) -> Tensor:
    """Outputs [M, N, C] in evaluation mode, in blocks of rows so that memory stays bounded."""
    widest = max((*stack.spec.hidden, stack.spec.inputs + stack.spec.embedding_width, stack.spec.outputs))
    block = max(1, EVALUATED_AT_ONCE // (len(stack) * widest))
    rows = range(0, len(features), block)
    return torch.cat([stack.logits(features[i : i + block], codes[i : i + block]) for i in rows], 1)

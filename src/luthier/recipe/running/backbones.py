"""Networks that have learnt elsewhere, as the recipe begins with them: of pictures, and of texts."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor, nn

from luthier.data.sentences import transformer_named
from luthier.messages import Message
from luthier.nets.backbone import AUTO, BackboneSpec, shown
from luthier.nets.blocks import anatomy_of
from luthier.nets.efficientnet import LITE
from luthier.nets.text_backbone import SentenceNet, TextBackboneSpec
from luthier.nets.weights import load_weights, read_weights
from luthier.pretrained.feature_heads import ROWS
from luthier.pretrained.sentence_modules import spec_of
from luthier.pretrained.unfreezing import RANGE_STEPS
from luthier.recipe.decisions.backbone_use import BackboneEvidence
from luthier.recipe.planning.plan import Method
from luthier.recipe.preparing.problem import Problem
from luthier.recipe.rows.computed_once import LEAST_SIDE, weights_of

BATCH = 32
PASSES = 3.0  # what a step costs beside a pass without gradients
DEPTHS = (1, 2, 4)  # blocks of text: what lies deeper is most of the weights, and the least that few texts can teach
RATES = 2  # ways that a depth is trained, by rates that were tested and by the rule of thumb
ANSWERS = 6.0  # passes of the training rows, however few blocks learn, as counted in runs
WARM = 8  # rows before a pass is timed


@dataclass(frozen=True)
class Unfreezing:
    """At most so many blocks are unfrozen (None: all), and what that takes: `trainings` of all depths; in epochs of the
    whole network what one epoch of all of these takes, and what comes before and after them."""

    most: int | None
    trainings: int
    epochs: float
    beside: float


@dataclass(frozen=True)
class KnownPictures:
    """A backbone of pictures: how they are preprocessed, what it is as a whole, and how far it may be unfrozen: the
    farthest, and nearer `ways` for less time."""

    problem: Problem
    method: Method = "pixels"
    ways: tuple[Unfreezing, ...] = (Unfreezing(None, 21, 21.0, 1.0),)  # about seven depths, three trainings each

    @property
    def spec(self) -> BackboneSpec:
        """At the side of the pictures, small ones enlarged."""
        asked = self.problem.asked
        channels, height, width = self.problem.data.training.inputs["pixels"].shape[1:]
        name = LITE if asked.backbone == AUTO else asked.backbone
        side = max(LEAST_SIDE, height, width)
        return BackboneSpec(name, (channels, height, width), self.problem.outputs, side=side)

    def evidence(self) -> BackboneEvidence:
        """Its name, its side in pixels and the file of its weights."""
        name = self.spec.backbone
        file = self.problem.asked.backbone_weights or Path(weights_of(name, "")).name  # a package lies elsewhere
        return BackboneEvidence(name, self.spec.side, file)

    def module(self, rows: Tensor, say: Callable[[str], None]) -> nn.Module:
        """With its weights, behind what shows pictures to it; `say` is told how they were read."""
        result = shown(self.spec)
        if path := weights_of(self.spec.backbone, self.problem.asked.backbone_weights):
            last = anatomy_of(result, rows).head.removeprefix("body.")
            weights = read_weights(path, say=say)
            load_weights(result.get_submodule("body"), weights, but=(f"{last}.",), say=say)
            say(Message("the last layer, `{last}`, is replaced: nothing is read for it", last=last))
        return result


@dataclass(frozen=True)
class KnownTexts:
    """A sentence transformer."""

    problem: Problem
    method: Method = "standardise"

    @cached_property
    def spec(self) -> TextBackboneSpec:
        """As long as the texts of training."""
        name, (words,) = self.problem.asked.backbone, self.problem.data.encoder.texts
        return spec_of(transformer_named(name), name, words.length, self.problem.outputs)

    @property
    def ways(self) -> tuple[Unfreezing, ...]:
        """Up to four, two or one block."""
        return tuple(self._way(DEPTHS[: k + 1]) for k in reversed(range(len(DEPTHS))))

    def _way(self, depths: tuple[int, ...]) -> Unfreezing:
        """What is frozen below passes once for each depth, what learns passes in each epoch. Beside them heads on all
        blocks, of the weights that were read and of fresh ones, and the answers of all parts."""
        learnt = sum(depths) / (self.spec.sizes.layers + 1)
        tests = learnt * RANGE_STEPS * BATCH / max(1, len(self.problem.data.training))
        passes = ANSWERS + len(depths) - learnt
        return Unfreezing(depths[-1], RATES * len(depths), RATES * learnt, passes / PASSES + tests)

    def evidence(self) -> BackboneEvidence:
        """Its name, and how much of a text it reads."""
        return BackboneEvidence(self.spec.backbone, tokens=self.spec.length)

    def module(self, rows: Tensor, say: Callable[[str], None]) -> nn.Module:
        """With the weights of its package or folder."""
        encoder = copy.deepcopy(transformer_named(self.problem.asked.backbone).encoder)
        return SentenceNet(self.spec, encoder.requires_grad_(True))


KnownNetwork = KnownPictures | KnownTexts


def known_network(problem: Problem) -> KnownNetwork:
    """The network that was asked for."""
    return KnownTexts(problem) if problem.medium == "text" else KnownPictures(problem)


@torch.no_grad()
def seconds_of_pass(net: nn.Module, rows: Tensor, count: int) -> float:
    """About how long so many rows take through a module, by a pass of some of them."""
    some = rows[:ROWS]
    net.eval()(some[:WARM])
    began = time.perf_counter()
    net(some)
    return (time.perf_counter() - began) * count / len(some)

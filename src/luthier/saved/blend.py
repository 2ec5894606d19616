"""From several networks' logits to one answer: activated, averaged, tempered, brought back to the target's scale."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional as F

from luthier.data import Task
from luthier.data.target_transform import TargetTransform
from luthier.kinds import KINDS, JointKind
from luthier.objective.loss_table import loss_by_name

SMALLEST = 1e-12  # of a probability, before its logarithm


@dataclass(frozen=True)
class Blend:
    """What `Model` does with its networks' outputs, in operations that gradients pass and other runtimes have."""

    kind: str
    weights: tuple[float, ...]
    temperature: float
    transform: TargetTransform = field(default_factory=TargetTransform)

    def __call__(self, logits: Sequence[Tensor]) -> Tensor:
        """Probabilities [N, C], tempered; or values [N, 1] on the target's own scale; in float64."""
        result = torch.stack([w * activate(one, self.kind) for one, w in zip(logits, self.weights, strict=True)]).sum(0)
        if not KINDS[self.kind].is_classes:
            return self.transform.answer(self.transform.bounded(result))
        if KINDS[self.kind].is_labels:
            return torch.sigmoid(_log_odds(result) / self.temperature)
        return torch.softmax(result.clamp_min(SMALLEST).log() / self.temperature, 1)

    def margins(self, logits: Sequence[Tensor]) -> Tensor:
        """Log-odds of each class against all others, or of each label [N, C], where probabilities saturate; or values.

        >>> blend = Blend("multiclass", (0.5, 0.5), 2.0)
        >>> logits = [torch.tensor([[1.0, 0.0, -1.0]]), torch.tensor([[0.0, 2.0, -1.0]])]
        >>> torch.allclose(torch.sigmoid(blend.margins(logits)), blend(logits))
        True
        """
        if not KINDS[self.kind].is_classes:
            return self(logits)
        if KINDS[self.kind].is_labels:
            yes, no = (
                self._mixed([F.logsigmoid(sign * one.double()) for one in logits]) / self.temperature
                for sign in (1, -1)
            )
            return yes - no
        logs = [
            torch.log_softmax(one.double(), 1)
            if KINDS[self.kind].loss == "softmax"
            else activate(one, self.kind).clamp_min(SMALLEST).log()
            if KINDS[self.kind].is_ordered
            else torch.cat([F.logsigmoid(-one.double()), F.logsigmoid(one.double())], 1)
            for one in logits
        ]
        result = self._mixed(logs) / self.temperature
        whole = torch.logsumexp(result, 1, keepdim=True)
        others = whole + torch.log1p(-(result - whole).exp().clamp(max=0.75))  # at most a half but for the largest
        first = result.argmax(1, keepdim=True)
        rest = torch.logsumexp(result.scatter(1, first, -torch.inf), 1, keepdim=True)
        return result - others.scatter(1, first, rest)

    def _mixed(self, logs: Sequence[Tensor]) -> Tensor:
        """The logarithm of the weighted mean of networks' probabilities, from their logarithms."""
        return torch.logsumexp(torch.stack([math.log(w) + one for one, w in zip(logs, self.weights, strict=True)]), 0)


def _log_odds(p: Tensor) -> Tensor:
    """Log-odds of probabilities."""
    return p.clamp_min(SMALLEST).log() - (1 - p).clamp_min(SMALLEST).log()


def read_as(task: Task, outputs: int) -> str:
    """The kind by which so many outputs of a network are read: those of ordered levels may be those of classes.

    >>> [read_as(Task("ordered", "y", ("low", "mid", "high")), outputs) for outputs in (2, 3)]
    ['ordered', 'multiclass']
    """
    return "multiclass" if task.traits.is_ordered and outputs == len(task.classes) else task.kind


def activate(logits: Tensor, kind: str | JointKind) -> Tensor:
    """Logits [..., C] as what is averaged, in float64: class probabilities, or the value of a regression.

    A binary network's one logit becomes two probabilities; of several targets the answers lie side by side.
    """
    if isinstance(kind, JointKind):
        heads = zip(kind.kinds, kind.places, strict=True)
        return torch.cat([activate(logits[..., place], one) for one, place in heads], -1)
    family, logits = KINDS[kind].family, logits.double()
    if family == "multiclass":
        answer = loss_by_name(KINDS[kind].loss).answer
        assert answer is not None
        return answer(logits)
    if family == "binary":
        p = torch.sigmoid(logits)
        return torch.cat([1 - p, p], -1)
    return torch.sigmoid(logits) if family == "labels" else logits

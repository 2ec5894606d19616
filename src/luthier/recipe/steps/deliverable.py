"""What could be delivered: one network, the mean of five seeds, or an ensemble of the best members.

All are compared on the validation part alone. N validation rows, C outputs, P components.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from luthier.recipe.evidence import row_losses
from luthier.recipe.work import Trained, Work
from luthier.saved import activate
from luthier.seeds import numpy_generator

FOLDS = 5  # the greedy choice is judged on validation rows that it was not made on
ROUNDS = 25
CANDIDATES = 24
CLEARLY = 2.0  # standard errors
FOLDED = "mean over folds of all open rows"


@dataclass(frozen=True)
class Component:
    """A trained member that may become a part of the deliverable, with its weight in the average."""

    trained: Trained
    member: int
    weight: float = 1.0

    @property
    def label(self) -> str:
        """Where it comes from."""
        return f"{self.trained.name} / {self.trained.members[self.member].label}"


@dataclass(frozen=True)
class Folds:
    """The networks of all folds, and what each said of the rows that it had left out [N, C], validation rows last."""

    components: tuple[Component, ...]
    outputs: Tensor
    targets: Tensor


def greedy_weights(outputs: Tensor, targets: Tensor, kind: str, rounds: int = ROUNDS) -> np.ndarray:
    """Weights [P] of a greedy ensemble with replacement (Caruana and others, 2004).

    Each round adds the component that lowers the mean loss of the running average most.
    """
    counts = np.zeros(outputs.shape[0])
    total = torch.zeros_like(outputs[0])
    for done in range(rounds):
        tried = (total + outputs) / (done + 1)
        best = int(row_losses(tried, targets, kind).mean(-1).argmin())
        counts[best] += 1
        total = total + outputs[best]
    return np.asarray(counts / counts.sum())


@dataclass(frozen=True)
class Choice:
    """What is delivered: components with weights that sum to one, and how the options compared.

    `held_out` [N, C] are outputs for rows that the components did not learn from, `targets` [N] theirs: the
    validation rows come last. None where the validation rows themselves are such rows.
    """

    name: str
    components: tuple[Component, ...]
    losses: dict[str, float]  # mean validation loss of each option, the greedy one cross-fitted
    gain: np.ndarray  # per validation row: loss of the single network minus that of the choice
    allowed: float = 0.0  # how much worse the mean over folds may look
    held_out: Tensor | None = None
    targets: Tensor | None = None


def choose_deliverable(work: Work, seeds: Trained | None, method: str, folds: Folds | None = None) -> Choice:
    """The option with the lowest validation loss; more networks only where they gain.

    The mean over folds is judged by single networks' predictions of the rows that they left out, which are
    worse than the mean's: it is taken unless even those are clearly worse than the best of the others.
    """
    validation, kind = work.prepared(method)[2], work.data.task.kind
    targets, weights = validation.targets, validation.weights
    options: dict[str, tuple[list[Component], Tensor]] = {}
    everyone = _best_members(work, method)
    family = [Component(seeds, i) for i in seeds.usable()] if seeds is not None else everyone[:1]
    options["one network"] = (family[:1], row_losses(_averaged(family[:1], kind), targets, kind, weights))
    if len(family) > 1:
        options[f"mean of {len(family)} seeds"] = (family, row_losses(_averaged(family, kind), targets, kind, weights))
    if len(everyone) > 1:
        components, losses = _greedy(everyone, targets, kind, work.seed)
        losses = losses if weights is None else losses * (weights / weights.mean()).double()
        options["ensemble of the best members"] = (components, losses)
    if folds is not None:
        losses = row_losses(folds.outputs[-len(targets) :], targets, kind, weights)
        best = min((rows for _, rows in options.values()), key=lambda rows: float(rows.mean()))
        behind = losses - best
        allowed = CLEARLY * float(behind.std()) / len(behind) ** 0.5
        if float(behind.mean()) <= allowed:
            gain = options["one network"][1] - losses
            means = {name: float(rows.mean()) for name, (_, rows) in options.items()}
            means[FOLDED] = float(losses.mean())
            folded = tuple(_normalised(list(folds.components)))
            return Choice(FOLDED, folded, means, gain.numpy(), allowed, folds.outputs, folds.targets)
    means = {name: float(losses.mean()) for name, (_, losses) in options.items()}
    name = min(means, key=lambda option: means[option])
    gain = options["one network"][1] - options[name][1]
    return Choice(name, tuple(_normalised(options[name][0])), means, gain.numpy())


def _best_members(work: Work, method: str) -> list[Component]:
    """Members behind the same preprocessing whose weights were kept, best first."""
    found = [
        Component(trained, i)
        for trained in work.trained
        if trained.method == method and trained.stage != "folds"  # they were judged by other rows
        for i in trained.usable()
        if i in trained.weights
    ]
    found.sort(key=lambda component: float(component.trained.validation_loss[component.member]))
    return found[:CANDIDATES]


def _outputs(components: Sequence[Component], kind: str) -> Tensor:
    return activate(torch.stack([component.trained.logits[component.member] for component in components]), kind)


def _averaged(components: Sequence[Component], kind: str) -> Tensor:
    weights = torch.tensor([component.weight for component in components], dtype=torch.float64)
    return torch.einsum("p,pnc->nc", weights / weights.sum(), _outputs(components, kind))


def _greedy(components: list[Component], targets: Tensor, kind: str, seed: int) -> tuple[list[Component], Tensor]:
    """The greedy ensemble on all validation rows, and its row losses on folds it was not chosen on."""
    outputs = _outputs(components, kind)
    rows = numpy_generator(seed, "ensemble folds").permutation(outputs.shape[1])
    losses = torch.empty(outputs.shape[1], dtype=torch.float64)
    for fold in np.array_split(rows, min(FOLDS, len(rows))):
        held_out = torch.as_tensor(np.sort(fold))
        rest = torch.as_tensor(np.sort(np.setdiff1d(rows, fold)))
        weights = torch.as_tensor(greedy_weights(outputs[:, rest], targets[rest], kind))
        mixed = torch.einsum("p,pnc->nc", weights, outputs[:, held_out])
        losses[held_out] = row_losses(mixed, targets[held_out], kind)
    weights_all = greedy_weights(outputs, targets, kind)
    chosen = [
        Component(component.trained, component.member, float(weight))
        for component, weight in zip(components, weights_all, strict=True)
        if weight > 0
    ]
    return chosen, losses


def _normalised(components: list[Component]) -> list[Component]:
    total = sum(component.weight for component in components)
    return [Component(c.trained, c.member, c.weight / total) for c in components]

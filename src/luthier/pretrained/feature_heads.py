"""Heads: last layers for what a frozen network makes of the rows, many of them trained at once.

S seeds, N rows, D features below the head, C outputs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from luthier.engine import Member, train
from luthier.nets import DenseSpec
from luthier.objective import loss_by_name
from luthier.optimise import Schedule
from luthier.pretrained.unfreezing import UnfreezingJob
from luthier.rows import Inputs, Rows

RATES, DECAYS = (1e-3, 3e-3, 1e-2, 3e-2), (0.0, 0.1, 1.0)
LEAST_SPREAD = 0.1  # of the mean deviation of all features, by which one is divided at least
STEPS = 300  # a step of a head costs next to nothing
ROWS = 128


@dataclass(frozen=True)
class FeatureHeads:
    """The best heads on some features: weights [S, C, D] and biases [S, C], and validation losses [S, N]."""

    weights: Tensor
    biases: Tensor
    rows: np.ndarray
    score: float
    rate: float

    def state(self, net: nn.Module, name: str, k: int) -> dict[str, Tensor]:
        """The network's state with one of the heads under its name."""
        state = {key: value.clone() for key, value in net.state_dict().items()}
        state[f"{name}.weight"], state[f"{name}.bias"] = self.weights[k], self.biases[k]
        return state


def heads_on(job: UnfreezingJob, below: Tensor, above: Tensor) -> FeatureHeads:
    """Train heads of several rates and penalties, all at once, on features of training and validation rows [N, D]."""
    mean, std = below.mean(0), below.std(0, correction=0)
    std = std.clamp_min(LEAST_SPREAD * float(std.mean()) + 1e-12)  # what hardly varied here may vary elsewhere
    parts = [
        Rows(Inputs(numbers=(features - mean) / std), part.targets, part.weights)
        for features, part in ((below, job.training), (above, job.validation))
    ]
    spec = DenseSpec(inputs=below.shape[1], hidden=(), outputs=job.outputs)
    settings = [(rate, decay) for rate in RATES for decay in DECAYS]
    members = [
        Member(spec, s, rate, schedule=Schedule("cosine"), weight_decay=decay)
        for rate, decay in settings
        for s in job.seeds
    ]
    outcome = train(members, parts[0], parts[1], job.settings(max(STEPS, job.steps)))
    losses = np.where(np.isfinite(outcome.best_validation_loss), outcome.best_validation_loss, np.inf)
    best = int(losses.reshape(len(settings), -1).mean(1).argmin())
    indices = range(best * len(job.seeds), (best + 1) * len(job.seeds))
    named = [outcome.state_dict(place) for place in indices]
    weights = torch.stack([one["layers.0.weight"] for one in named]) / std
    biases = torch.stack([one["layers.0.bias"] for one in named]) - weights @ mean
    logits = torch.einsum("nd,scd->snc", above, weights) + biases.unsqueeze(1)
    rows = loss_by_name(job.loss).rows(logits, job.validation.targets).double().numpy()
    score = float(np.mean([score_of(one, job.validation) for one in logits]))
    return FeatureHeads(weights, biases, rows, score, settings[best][0])


@torch.no_grad()
def score_of(outputs: Tensor, part: Rows) -> float:
    """The share that is right, or the root mean squared error, of outputs [N, C]."""
    if part.targets.is_floating_point():
        return float((outputs.reshape(part.targets.shape) - part.targets).square().mean().sqrt())
    if part.targets.ndim > 1:
        return float(((outputs > 0) == (part.targets > 0)).all(1).double().mean())
    predictions = (outputs[:, 0] > 0).long() if outputs.shape[1] == 1 else outputs.argmax(1)
    return float((predictions == part.targets).double().mean())

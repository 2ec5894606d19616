"""Every loss as PyTorch has it, row by row, in float64."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import mpmath
import numpy as np
import torch
from scipy import special, stats
from sklearn.metrics import mean_pinball_loss, mean_tweedie_deviance
from torch import Tensor
from torch.nn import functional as F

from luthier.objective import (
    Loss,
    contrastive,
    custom_loss,
    focal,
    huber,
    label_smoothing,
    negative_binomial,
    quantiles,
    triplet,
    tweedie,
)
from luthier.seeds import torch_generator

M, B, C = 3, 11, 4


G = torch_generator(0, "losses")


Z = torch.randn(M, B, C, generator=G, dtype=torch.float64) * 3


ONE = Z[..., :1]


LABELS = torch.randint(0, C, (B,), generator=G)


SIDES = torch.randint(0, 2, (B,), generator=G)


MANY = torch.randint(0, 2, (B, C), generator=G)


VALUES = torch.randn(B, generator=G, dtype=torch.float64)


VECTORS = torch.randn(B, C, generator=G, dtype=torch.float64)


SHARES = torch.tensor([0.0, 1.0, 0.3, 0.5, 0.99, 0.01, 0.7, 0.2, 1.0, 0.4, 0.6], dtype=torch.float64)


COUNTS = torch.tensor([0, 1, 0, 3, 17, 2, 0, 0, 5, 1, 400])


AMOUNTS = torch.tensor([0.0, 1.5, 0.0, 0.003, 17.0, 2.0, 0.0, 40.0, 5.0, 1.0, 0.7], dtype=torch.float64)


LEVELS = torch.tensor([0, 1, 2, 3, 4, 0, 2, 2, 1, 4, 3])


# name: (loss, logits, targets, PyTorch's rows for one member)
CASES: dict[str, tuple[str | Loss, Tensor, Tensor, Callable[[Tensor, Tensor], Tensor]]] = {
    "softmax": ("softmax", Z, LABELS, lambda z, y: F.cross_entropy(z, y, reduction="none")),
    "smoothed": (
        "smoothed softmax",
        Z,
        LABELS,
        lambda z, y: F.cross_entropy(z, y, reduction="none", label_smoothing=0.1),
    ),
    "smoothed more": (
        label_smoothing(0.3),
        Z,
        LABELS,
        lambda z, y: F.cross_entropy(z, y, reduction="none", label_smoothing=0.3),
    ),
    "focal": ("focal", Z, LABELS, lambda z, y: _focal(z, y, 2.0)),
    "focal 3": (focal(3.0), Z, LABELS, lambda z, y: _focal(z, y, 3.0)),
    "binary": (
        "binary",
        ONE,
        SIDES,
        lambda z, y: F.binary_cross_entropy_with_logits(z[:, 0], y.double(), reduction="none"),
    ),
    "sigmoid outputs": (
        "binary",
        Z,
        MANY,
        lambda z, y: F.binary_cross_entropy_with_logits(z, y.double(), reduction="none").sum(1),
    ),
    "sigmoid outputs of classes": (
        "binary",
        Z,
        LABELS,
        lambda z, y: F.binary_cross_entropy_with_logits(z, F.one_hot(y, C).double(), reduction="none").sum(1),
    ),
    "quadratic": (
        "quadratic",
        Z,
        LABELS,
        lambda z, y: F.mse_loss(z.sigmoid(), F.one_hot(y, C).double(), reduction="none").sum(1) / 2,
    ),
    "mse": ("mse", ONE, VALUES, lambda z, y: F.mse_loss(z[:, 0], y, reduction="none")),
    "mse of vectors": ("mse", Z, VECTORS, lambda z, y: F.mse_loss(z, y, reduction="none").mean(1)),
    "mae": ("mae", ONE, VALUES, lambda z, y: F.l1_loss(z[:, 0], y, reduction="none")),
    "mae of vectors": ("mae", Z, VECTORS, lambda z, y: F.l1_loss(z, y, reduction="none").mean(1)),
    "huber": ("huber", ONE, VALUES, lambda z, y: F.huber_loss(z[:, 0], y, reduction="none")),
    "huber of vectors": ("huber", Z, VECTORS, lambda z, y: F.huber_loss(z, y, reduction="none").mean(1)),
    "huber, wide": (huber(2.5), ONE, VALUES, lambda z, y: F.huber_loss(z[:, 0], y, reduction="none", delta=2.5)),
    "fractional": ("fractional", ONE, SHARES, lambda z, y: _numpy(_papke_wooldridge, z[:, 0].sigmoid(), y)),
    "poisson": (
        "poisson",
        ONE,
        COUNTS,
        lambda z, y: _numpy(lambda m, k: -stats.poisson.logpmf(k, m), z[:, 0].exp(), y),
    ),
    "poisson of vectors": (
        "poisson",
        Z,
        VECTORS.abs().round(),
        lambda z, y: F.poisson_nll_loss(z, y, reduction="none").add(torch.lgamma(y + 1)).mean(1),
    ),
    "negative binomial": ("negative binomial", Z[..., :2], COUNTS, lambda z, y: _nb2(z, y)),
    "negative binomial, hardly spread": (
        "negative binomial",
        Z[..., :2] - torch.tensor([0.0, 6.0]),
        COUNTS,
        lambda z, y: _nb2(z, y),
    ),
    "negative binomial 0.7": (negative_binomial(0.7), ONE, COUNTS, lambda z, y: _nb2(_with(z, 0.7), y)),
    "negative binomial 0.001": (negative_binomial(1e-3), ONE, COUNTS, lambda z, y: _nb2(_with(z, 1e-3), y)),
    "gamma": ("gamma", ONE, 0.1 + AMOUNTS, lambda z, y: _numpy(_exponential, z[:, 0].exp(), y)),
    "tweedie": ("tweedie", ONE, AMOUNTS, lambda z, y: _deviances(z[:, 0].exp(), y, 1.5)),
    "tweedie 1.2": (tweedie(1.2), ONE, AMOUNTS, lambda z, y: _deviances(z[:, 0].exp(), y, 1.2)),
    "ordinal": ("ordinal", Z, LEVELS, lambda z, y: _ordinal(z, y)),
    "ordinal, two levels": (
        "ordinal",
        ONE,
        SIDES,
        lambda z, y: F.binary_cross_entropy_with_logits(z[:, 0], y.double(), reduction="none"),
    ),
    "quantiles": ("quantiles", Z[..., :3], VALUES, lambda z, y: _pinball(z, y, (0.1, 0.5, 0.9), 1)),
    "quantiles, lopsided": (
        quantiles(0.2, 0.6, 0.7, 0.95),
        Z,
        VALUES,
        lambda z, y: _pinball(z, y, (0.2, 0.6, 0.7, 0.95), 1),
    ),
    "soft targets": ("softmax", Z, VECTORS.softmax(1), lambda z, y: F.cross_entropy(z, y, reduction="none")),
    "negative log-likelihood": (
        "negative log-likelihood",
        Z.log_softmax(-1),
        LABELS,
        lambda z, y: F.nll_loss(z, y, reduction="none"),
    ),
    "contrastive": ("contrastive", Z / 4, LABELS, lambda z, y: _contrastive(z, y, 1.0)),
    "contrastive, wide": (contrastive(4.0), Z, LABELS, lambda z, y: _contrastive(z, y, 4.0)),
    "triplet": ("triplet", Z / 4, LABELS, lambda z, y: _triplet(z, y, 1.0)),
    "triplet, wide": (triplet(4.0), Z, LABELS, lambda z, y: _triplet(z, y, 4.0)),
    "custom": (custom_loss(lambda z, y: (z[..., 0] - y) ** 4), ONE, VALUES, lambda z, y: (z[:, 0] - y) ** 4),
}


def _numpy(function: Callable[..., Any], *tensors: Tensor) -> Tensor:
    return torch.from_numpy(np.asarray(function(*(tensor.numpy() for tensor in tensors))))


def _papke_wooldridge(p: Any, y: Any) -> Any:
    return -special.xlogy(y, p) - special.xlog1py(1 - y, -p)


def _with(z: Tensor, dispersion: float) -> Tensor:
    """Outputs [N, 1] beside the logarithm of one dispersion for all rows [N, 2]."""
    return torch.cat([z, torch.full_like(z, np.log(dispersion))], 1)


@mpmath.workdps(40)
def _nb2(z: Tensor, y: Tensor) -> Tensor:
    """With r successes of chance r / (r + mean), r = 1 / dispersion; SciPy's own loses ten digits where r is large."""
    rows = []
    for (a, b), count in zip(z.tolist(), y.tolist(), strict=True):
        mean, r = mpmath.exp(a), mpmath.exp(-mpmath.mpf(b))
        ways = mpmath.loggamma(count + r) - mpmath.loggamma(r) - mpmath.loggamma(count + 1)
        rows.append(float(-ways - r * mpmath.log(r / (r + mean)) - count * mpmath.log(mean / (r + mean))))
    return torch.tensor(rows, dtype=torch.float64)


def _poisson(mean: Any, y: Any) -> Any:
    return -stats.poisson.logpmf(y, mean)


def _exponential(mean: Any, y: Any) -> Any:
    return -stats.gamma.logpdf(y, 1.0, scale=mean)


def _deviances(mean: Tensor, y: Tensor, power: float) -> Tensor:
    rows = [mean_tweedie_deviance([float(a)], [float(b)], power=power) / 2 for a, b in zip(y, mean, strict=True)]
    return torch.tensor(rows, dtype=torch.float64)


def _ordinal(z: Tensor, y: Tensor) -> Tensor:
    """From the difference of two cumulative probabilities."""
    cuts = [0.0]
    for step in F.softplus(z[:, 1:]).T:
        cuts.append(cuts[-1] + step)
    ends = [torch.zeros(len(y)), *((cut - z[:, 0]).sigmoid() for cut in cuts), torch.ones(len(y))]
    chances = [above - below for below, above in pairwise(ends)]
    return -torch.stack(chances, 1).gather(1, y.unsqueeze(1)).squeeze(1).log()


def _pinball(z: Tensor, y: Tensor, levels: tuple[float, ...], middle: int) -> Tensor:
    """Quantile by quantile, as scikit-learn's."""
    values = {middle: z[:, middle]}
    for place in range(middle + 1, len(levels)):
        values[place] = values[place - 1] + F.softplus(z[:, place])
    for place in range(middle - 1, -1, -1):
        values[place] = values[place + 1] - F.softplus(z[:, place])
    rows = [
        [mean_pinball_loss([float(t)], [float(q)], alpha=level) for t, q in zip(y, values[place], strict=True)]
        for place, level in enumerate(levels)
    ]
    return torch.tensor(rows, dtype=torch.float64).mean(0)


def _contrastive(z: Tensor, y: Tensor, margin: float) -> Tensor:
    """Pair by pair, with PyTorch's distances."""
    rows = []
    for i in range(len(y)):
        total = z.new_zeros(())
        for j in range(len(y)):
            if i != j:
                d = F.pairwise_distance(z[i], z[j], eps=0.0)
                total = total + (d**2 if y[i] == y[j] else F.relu(margin - d) ** 2) / 2
        rows.append(total / (len(y) - 1))
    return torch.stack(rows)


def _triplet(z: Tensor, y: Tensor, margin: float) -> Tensor:
    """Row by row over every triplet: the worst of PyTorch's own losses."""
    rows = []
    for i in range(len(y)):
        same = [j for j in range(len(y)) if j != i and y[j] == y[i]]
        other = [j for j in range(len(y)) if y[j] != y[i]]
        losses = [
            F.triplet_margin_loss(z[i], z[p], z[n], margin=margin, eps=0.0, reduction="none")
            for p in same
            for n in other
        ]
        rows.append(torch.stack(losses).max() if losses else z.new_zeros(()))
    return torch.stack(rows)


def _focal(z: Tensor, y: Tensor, gamma: float) -> Tensor:
    cross_entropy = F.cross_entropy(z, y, reduction="none")
    return (1 - torch.exp(-cross_entropy)) ** gamma * cross_entropy

"""Muon: hidden layers' weight matrices move along their momentum made orthogonal (Jordan and others, 2024).

M members, r rows and c columns of a matrix, P numbers of one member's row. The stack's matrices of one layer are
orthogonalised together: a handful of batched products for all members.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from luthier.averages import follow
from luthier.optimise.rules import Hyper, State
from luthier.optimise.updates import Step, Update
from luthier.shapes import Flat

COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of the quintic: steep at 0, singular values end between 0.7 and 1.2
ITERATIONS = 5
SMALLEST_NORM = 1e-7
RMS_OF_ADAM = 0.2  # steps of this size a number are Adam's, so that one rate serves both (Liu and others, 2025)

Matrices = Callable[[Tensor], Sequence[Tensor]]


def orthogonal(X: Tensor) -> Tensor:
    """The matrices [M, r, c] with their singular values brought near 1, by five Newton-Schulz iterations.

    >>> Q = orthogonal(torch.tensor([[[3.0, 0.0], [0.0, 0.5]]]))
    >>> [round(value, 2) for value in torch.linalg.svdvals(Q)[0].tolist()]
    [1.04, 0.71]
    """
    tall = X.shape[1] > X.shape[2]
    X = X.mT if tall else X
    X = X / torch.linalg.matrix_norm(X, keepdim=True).clamp_min(SMALLEST_NORM)
    a, b, c = COEFFICIENTS
    for _ in range(ITERATIONS):
        gram = X @ X.mT
        X = torch.baddbmm(X, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), X, beta=a)
    return X.mT if tall else X


def muon(matrices: Matrices, hyper: Hyper) -> Update:
    """Move the `matrices` of rows [M, P], views [M, r, c], and leave their gradients zero for the rule that follows.

    m = momentum m + (1 - momentum) g; w -= 0.2 sqrt(max(r, c)) rate orthogonal((1 - momentum) g + momentum m): the
    steps of `torch.optim.Muon` with `adjust_lr_fn="match_rms_adamw"`, in the weights' own precision.
    """
    momentum = hyper["momentum"].unsqueeze(-1)

    def init(P: Flat) -> State:
        return {f"momentum.{i}": torch.zeros_like(view).flatten(1) for i, view in enumerate(matrices(P))}

    def update(P: Flat, G: Flat, state: State, step: Step) -> Step:
        rates = matrices(step.rates) if step.rates.shape[1] > 1 else [step.rates.unsqueeze(-1)] * len(state)
        for i, (W, gradient, rate) in enumerate(zip(matrices(P), matrices(G), rates, strict=False)):
            mean = follow(state[f"momentum.{i}"].view_as(gradient), gradient, momentum)
            size = RMS_OF_ADAM * max(W.shape[1:]) ** 0.5
            W.addcmul_(orthogonal(gradient.lerp(mean, momentum.expand_as(mean))), rate, value=-size)
            gradient.zero_()
        return step

    return Update(init, update)

"""Attributions of a prediction to its inputs: integrated gradients (Sundararajan, Taly and Yan 2017), by Captum."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from luthier.optional import require

STEPS = 64


def integrated_gradients(
    answer: Callable[..., Tensor], inputs: Sequence[Tensor], typical: Sequence[Tensor], told: Tensor, *, at_once: int
) -> list[Tensor]:
    """Shares of `answer(*inputs)[n, told[n]] - answer(*typical)[n, told[n]]` [N, ...] for every number of the inputs.

    The gradient is integrated along the straight line from the typical row to the row itself, at 64 points of
    Gauss-Legendre, so the shares add up to the difference but for the rule's error; `at_once` points (at least one
    for each row) go through `answer` together.

    >>> import torch
    >>> x, y = torch.tensor([[3.0, 1.0]]), torch.tensor([[0.0, 0.0]])
    >>> integrated_gradients(lambda x: (x[:, :1] ** 2 + x[:, 1:]), [x], [y], torch.tensor([0]), at_once=64)[0]
    tensor([[9.0000, 1.0000]])
    """
    captum = require("captum.attr", extra="explain", purpose="explaining a prediction")
    if not len(told):
        return [torch.zeros_like(x) for x in inputs]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of inputs that need a gradient, which Captum asks for itself
        result = captum.IntegratedGradients(answer).attribute(
            tuple(inputs), tuple(typical), target=told, n_steps=STEPS, internal_batch_size=max(at_once, len(told))
        )
    return [share.detach() for share in result]

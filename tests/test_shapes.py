"""The shapes of numeric functions are assertions while the tests run."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from jaxtyping import TypeCheckError

from luthier.nets import AugmentSignals, DenseSpec, build
from luthier.objective import LOSSES, mean_gradient
from luthier.optimise import clip_by_norm

Z = torch.zeros(2, 5, 3)
NET = build(DenseSpec(4, (3,), 2), seed=0)


@pytest.mark.parametrize(
    "call",
    [
        lambda: LOSSES["softmax"].mean(Z, torch.zeros(4, dtype=torch.int64)),  # a target is missing
        lambda: LOSSES["softmax"].residual(Z[0], torch.zeros(5, dtype=torch.int64)),  # no axis of members
        lambda: LOSSES["softmax"].rows(Z[0], torch.zeros(5, dtype=torch.int64)),
        lambda: mean_gradient(Z, torch.ones(3)),
        lambda: clip_by_norm(torch.zeros(2, 7), torch.ones(3, 1)),
        lambda: NET(torch.zeros(4)),  # no axis of rows
        lambda: NET(torch.zeros(2, 4, dtype=torch.int64)),  # numbers, not codes
        lambda: AugmentSignals({"noise": 0.1})(torch.zeros(2, 50)),
    ],
)
def test_a_wrong_shape_is_refused(call: Callable[[], object]) -> None:
    with pytest.raises(TypeCheckError):
        call()

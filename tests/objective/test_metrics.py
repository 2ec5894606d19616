"""Metrics of a whole stack against scikit-learn, member by member."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn import metrics as sk

from luthier.objective import METRICS
from luthier.seeds import torch_generator

M, N = 3, 200
G = torch_generator(0, "metrics")
LOGITS, CLASSES = torch.randn(M, N, 4, generator=G, dtype=torch.float64), torch.randint(0, 4, (N,), generator=G)
ONE, SIDES = LOGITS[..., :1].round(decimals=1), torch.randint(0, 2, (N,), generator=G)
VALUES = torch.randn(N, generator=G, dtype=torch.float64)
WEIGHTS = torch.rand(N, generator=G, dtype=torch.float64)


def probabilities(logits: np.ndarray) -> np.ndarray:
    z = torch.from_numpy(logits)
    return z.softmax(-1).numpy() if z.shape[-1] > 1 else z.sigmoid().squeeze(-1).numpy()


ORACLES = {
    "accuracy": lambda z, y, w: sk.accuracy_score(y, z.argmax(-1), sample_weight=w),
    "error rate": lambda z, y, w: 1 - sk.accuracy_score(y, z.argmax(-1), sample_weight=w),
    "log loss": lambda z, y, w: sk.log_loss(y, probabilities(z), sample_weight=w),
    "auc": lambda z, y, w: sk.roc_auc_score(y, z[:, 0], sample_weight=w),
    "mae": lambda z, y, w: sk.mean_absolute_error(y, z[:, 0], sample_weight=w),
    "rmse": lambda z, y, w: sk.root_mean_squared_error(y, z[:, 0], sample_weight=w),
    "r2": lambda z, y, w: sk.r2_score(y, z[:, 0], sample_weight=w),
}
DATA = {
    **dict.fromkeys(("accuracy", "error rate"), (LOGITS, CLASSES)),
    "log loss": (LOGITS, CLASSES),
    "auc": (ONE, SIDES),  # rounded, so that there are ties
    **dict.fromkeys(("mae", "rmse", "r2"), (ONE, VALUES)),
}


def test_every_metric_has_an_oracle() -> None:
    assert set(ORACLES) == set(METRICS)


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["equal", "weighted"])
@pytest.mark.parametrize("name", METRICS)
def test_a_metric_equals_scikit_learns(name: str, weights: torch.Tensor | None) -> None:
    Z, y = DATA[name]
    result = METRICS[name](Z, y, weights)
    oracle = [ORACLES[name](z, y.numpy(), None if weights is None else weights.numpy()) for z in Z.numpy()]
    np.testing.assert_allclose(result.numpy(), oracle, rtol=1e-10)


def test_one_output_stands_for_two_classes() -> None:
    result = METRICS["accuracy"](ONE, SIDES, None)[0].item()
    assert result == pytest.approx(((ONE[0, :, 0] > 0).long() == SIDES).double().mean().item(), abs=0.05)
    assert METRICS["log loss"](ONE, SIDES, None)[0].item() == pytest.approx(
        sk.log_loss(SIDES.numpy(), probabilities(ONE[0].numpy()))
    )

"""Every schedule against its counterpart in PyTorch."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch.optim import lr_scheduler as ls

from luthier.errors import ConfigError
from luthier.optimise import RULES, Schedule


def constant(rule: str, steps: int, **hyper: float) -> list[float]:
    """The sizes of the steps under a constant gradient of 1, in units of the rate."""
    P, G = torch.zeros(1, 1, dtype=torch.float64), torch.ones(1, 1, dtype=torch.float64)
    given = {"rate": 1.0, "momentum": 0.9, "beta1": 0.9, "beta2": 0.999, "epsilon": 0.0, "rho": 0.9, **hyper}
    columns = {name: torch.tensor([[value]], dtype=torch.float64) for name, value in given.items()}
    state, indices = RULES[rule].init(P), [0.0]
    for step in range(1, steps + 1):
        RULES[rule].update(P, G, state, columns, step)
        indices.append(P.item())
    return [-float(d) for d in np.diff(indices)]


def torch_factors(
    make: Callable[[torch.optim.Optimizer], torch.optim.lr_scheduler.LRScheduler], steps: int
) -> list[float]:
    optimiser = torch.optim.SGD([torch.zeros(1)], 1.0)
    scheduler, factors = make(optimiser), []
    for _ in range(steps):
        factors.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        scheduler.step()
    return factors


TOTAL = 60


COUNTERPARTS = {
    "constant": (Schedule(), lambda o: ls.ConstantLR(o, 1.0)),
    "cosine": (Schedule("cosine"), lambda o: ls.CosineAnnealingLR(o, TOTAL)),
    "restarts": (Schedule("restarts", period=4, multiplier=2.0), lambda o: ls.CosineAnnealingWarmRestarts(o, 4, 2)),
    "exponential": (Schedule("exponential", decay=0.9), lambda o: ls.ExponentialLR(o, 0.9)),
    "staircase": (Schedule("staircase", decay=0.5, period=7), lambda o: ls.StepLR(o, 7, 0.5)),
    "inverse": (Schedule("inverse", decay=0.3, period=5), lambda o: ls.LambdaLR(o, lambda t: 1 / (1 + 0.3 * t / 5))),
    "linear": (Schedule("linear"), lambda o: ls.LinearLR(o, 1.0, 0.0, TOTAL)),
    "one-cycle": (Schedule("one-cycle"), lambda o: ls.OneCycleLR(o, 1.0, TOTAL, cycle_momentum=False)),
    "warm-up": (Schedule("constant", warmup=5), lambda o: ls.LinearLR(o, 0.2, 1.0, 4)),
}


@pytest.mark.parametrize("name", COUNTERPARTS)
def test_a_schedule_is_its_counterpart_in_torch(name: str) -> None:
    schedule, make = COUNTERPARTS[name]
    result = [schedule.factor(step, TOTAL) for step in range(TOTAL)]
    np.testing.assert_allclose(result, torch_factors(make, TOTAL), rtol=1e-9, atol=1e-12)


def test_a_wrong_schedule_is_refused_with_all_its_mistakes() -> None:
    with pytest.raises(ConfigError) as caught:
        Schedule("cosin", period=0)
    assert "did you mean 'cosine'" in str(caught.value)
    assert "period" in str(caught.value)

"""Modules of one's own with several inputs: a dictionary of arrays, of which the module names those that it takes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import luthier
from luthier.errors import InputError

ROWS, LEVELS = 120, 4


class Mixed(nn.Module):
    """Numbers beside embedded codes."""

    takes = ("numbers", "codes")

    def __init__(self, units: int = 6) -> None:
        super().__init__()
        self.embedding = nn.Embedding(LEVELS, 2)
        self.hidden, self.last = nn.Linear(3 + 2, units), nn.Linear(units, 2)

    def forward(self, numbers: Tensor, codes: Tensor) -> Tensor:
        joined = torch.cat([numbers, self.embedding(codes[:, 0])], 1)
        return self.last(torch.tanh(self.hidden(joined)))


@pytest.fixture
def data() -> tuple[dict[str, np.ndarray], np.ndarray]:
    g = np.random.default_rng(0)
    numbers, codes = g.normal(size=(ROWS, 3)), g.integers(0, LEVELS, (ROWS, 1))
    return {"numbers": numbers, "codes": codes}, (numbers[:, 0] + 2.0 * (codes[:, 0] == 2) > 0.5).astype(int)


@pytest.mark.parametrize("layout", ["looped", "vmapped"])
def test_training_is_a_plain_loop_s(data: tuple[dict[str, np.ndarray], np.ndarray], layout: str) -> None:
    """Full batches of plain gradient descent, written by hand in float64."""
    (inputs, y), module, rate, steps = data, Mixed().double(), 0.1, 20
    start = {name: value.clone() for name, value in module.state_dict().items()}
    found = luthier.train(
        module,
        data,
        rule="sgd",
        momentum=0.0,
        learning_rate=[rate, rate / 2],
        steps=steps,
        batch_size=ROWS,
        layout=layout,
    )
    by_hand = Mixed().double()
    by_hand.load_state_dict(start)
    optimiser = torch.optim.SGD(by_hand.parameters(), rate)
    x, c, targets = torch.tensor(inputs["numbers"]), torch.tensor(inputs["codes"]), torch.tensor(y)
    for _ in range(steps):
        optimiser.zero_grad()
        nn.functional.cross_entropy(by_hand(x, c), targets).backward()
        optimiser.step()
    outputs = found.logits({"numbers": x, "codes": c})[0]
    assert (outputs - by_hand(x, c)).abs().max() < 1e-9
    assert not torch.equal(outputs, by_hand(x, torch.zeros_like(c)))


def test_single_precision_takes_double_numbers_and_keeps_codes_whole(
    data: tuple[dict[str, np.ndarray], np.ndarray],
) -> None:
    found = luthier.train(Mixed, data, validation=data, epochs=2)
    assert np.isfinite(found.best_validation_loss).all()


def test_a_rate_is_found_and_searched(data: tuple[dict[str, np.ndarray], np.ndarray]) -> None:
    assert 1e-5 < luthier.find_lr(Mixed(), data, steps=30).pick < 10
    space = {"learning_rate": [1e-2, 1e-4], "units": [4]}
    study = luthier.tune(
        lambda setting: Mixed(int(setting["units"])), data, space, trials=2, epochs=6, confirm=1, workers=1
    )
    assert study.best["learning_rate"] == 1e-2


@pytest.mark.parametrize(
    ("module", "change", "said"),
    [
        (lambda: nn.Linear(3, 2), {}, r"takes = \('numbers', 'codes'\)"),
        (Mixed, {"codes": np.zeros((5, 1), dtype=int)}, r"5 of X\['codes'\]"),
        (Mixed, {"numbers": np.full((ROWS, 3), np.nan)}, r"X\['numbers'\] of data has values that are not finite"),
        (Mixed, {"codes": np.zeros(ROWS, dtype=int)}, r"X\['codes'\] of shape \[N, ...\]"),
    ],
)
def test_what_does_not_fit_is_said(
    data: tuple[dict[str, np.ndarray], np.ndarray], module: Callable[[], nn.Module], change: dict, said: str
) -> None:
    with pytest.raises(InputError, match=said):
        luthier.train(module(), ({**data[0], **change}, data[1]), epochs=1)


def test_an_input_that_is_not_there_is_named(data: tuple[dict[str, np.ndarray], np.ndarray]) -> None:
    module = Mixed()
    module.takes = ("numbers", "photo")  # type: ignore[assignment]
    with pytest.raises(InputError, match="'photo', which the rows lack"):
        luthier.train(module, data, epochs=1)


def test_an_empty_dictionary_validation_of_other_inputs_and_a_diagnosis_are_refused(
    data: tuple[dict[str, np.ndarray], np.ndarray],
) -> None:
    with pytest.raises(InputError, match="at least one"):
        luthier.train(Mixed(), ({}, data[1]))
    with pytest.raises(InputError, match="other inputs"):
        luthier.train(Mixed(), data, validation=(data[0]["numbers"], data[1]))
    with pytest.raises(InputError, match="diagnose takes one array"):
        luthier.diagnose(Mixed(), data)

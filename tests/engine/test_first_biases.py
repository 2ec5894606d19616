"""First biases from the rows: the best constant answer of the rows learnt from, and units that bend among them."""

from __future__ import annotations

import pytest
import torch

from luthier.engine import Member, Settings, Stream, train
from luthier.nets import DenseSpec, build
from luthier.objective import best_constant
from luthier.rows import Inputs, Rows

ROWS, DEALT = 120, torch.arange(120) % 3
X = 5 + torch.randn(ROWS, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))  # far from 0
TARGETS = {
    "softmax": (torch.arange(ROWS) % 7).clamp_max(2),
    "binary": (torch.arange(ROWS) % 4 == 0).long(),
    "mse": X[:, 0] + 100,
    "poisson": torch.arange(ROWS).double() % 9,
    "ordinal": (torch.arange(ROWS) % 7).clamp_max(2),
}
OUTPUTS = {"softmax": 3, "ordinal": 2}


def started(loss: str, **options: object) -> tuple[DenseSpec, list[dict[str, torch.Tensor]]]:
    """Three folds' networks before their first step."""
    outputs = OUTPUTS.get(loss, 1)
    shared = (1,) if loss == "ordinal" else ()
    spec = DenseSpec(4, (64, 8), outputs, biases_from_data=True, constant_outputs=shared, **options)  # type: ignore[arg-type]
    members = [Member(spec, seed=k, learning_rate=0.0, fold=k) for k in range(3)]
    settings = Settings(loss, "sgd", 30, 1, 1, dtype=torch.float64, keep_last=True)
    outcome = train(members, Rows(Inputs(numbers=X), TARGETS[loss]), None, settings, folds=DEALT)
    return spec, [outcome.state_dict(k) for k in range(3)]


@pytest.mark.parametrize("loss", TARGETS)
def test_the_last_layer_begins_at_the_best_constant_of_the_rows_learnt_from(loss: str) -> None:
    spec, states = started(loss)
    for k, state in enumerate(states):
        expected = best_constant(loss, TARGETS[loss][k != DEALT], None, spec.outputs).flatten()
        torch.testing.assert_close(state["layers.2.bias"], expected, rtol=1e-12, atol=1e-12)


def test_units_bend_among_the_rows() -> None:
    """Of rows far from 0 most units of zero biases are on for all rows or off for all; here none is."""
    spec, states = started("mse", activation="tanh")
    for k, state in enumerate(states):
        own = X[k != DEALT]
        z = own @ state["layers.0.weight"].T
        bends = -state["layers.0.bias"]
        assert bool(((z.min(0).values < bends) & (bends < z.max(0).values)).all())
        above = torch.tanh(z - bends) @ state["layers.1.weight"].T + state["layers.1.bias"]
        assert bool(((above.min(0).values < 0) & (above.max(0).values > 0)).all())
        plain = (build(spec, seed=k).double().state_dict()["layers.0.weight"] @ own.T).sign()
        assert float((plain.min(1).values == plain.max(1).values).double().mean()) > 0.5


def test_a_member_does_not_depend_on_its_company() -> None:
    spec = DenseSpec(4, (8,), 1, biases_from_data=True)
    settings = Settings("mse", "adam", 30, 5, 5, dtype=torch.float64)
    rows, members = Rows(Inputs(numbers=X), TARGETS["mse"]), [Member(spec, seed=k, learning_rate=0.01) for k in (3, 4)]
    both, alone = train(members, rows, None, settings), train(members[1:], rows, None, settings)
    torch.testing.assert_close(both.parameters[1], alone.parameters[0], rtol=1e-9, atol=1e-12)


def test_normed_layers_have_no_bias_to_write() -> None:
    _, states = started("softmax", batch_norm=True)
    assert "layers.0.bias" not in states[0]
    assert bool(states[0]["norms.0.shift"].eq(0).all())


class Kept:
    """Rows that are read piece by piece."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def read(self, start: int, stop: int) -> Rows:
        return self._rows.span(start, stop)


def test_rows_on_the_disk_are_read_in_a_few_spans() -> None:
    spec = DenseSpec(4, (8,), 1, biases_from_data=True)
    rows = Rows(Inputs(numbers=X), TARGETS["mse"])
    settings = Settings("mse", "sgd", 30, 1, 1, dtype=torch.float64)
    outcome = train([Member(spec, seed=0, learning_rate=0.0)], Stream(Kept(rows)), None, settings)
    read = torch.cat([torch.arange(start, start + 7) for start in (place * 113 // 15 for place in range(16))])
    torch.testing.assert_close(outcome.state_dict(0)["layers.1.bias"], TARGETS["mse"][read].mean().view(1))

"""Recurrent cells over signals: their gradients, their padding, and what only a gate remembers."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import luthier
from luthier.errors import ConfigError
from luthier.nets import SIGNAL_CHANGES, AugmentSignals, ConvSpec, RecurrentNet, TextSpec, build
from luthier.nets.recurrent import CELLS


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("pool", ["last", "mean"])
def test_gradients_agree_with_finite_differences(cell: str, pool: str) -> None:
    torch.manual_seed(0)
    net = RecurrentNet(2, 3, 2, cell=cell, pool=pool).double()
    x = torch.randn(3, 5, 2, dtype=torch.float64)
    x[1, 3:] = 0
    names, values = zip(*net.named_parameters(), strict=True)

    def outputs(*given: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(net, dict(zip(names, given, strict=True)), (x,))

    assert torch.autograd.gradcheck(outputs, tuple(v.detach().clone().requires_grad_() for v in values))


def test_gradients_of_a_residual_block() -> None:
    torch.manual_seed(0)
    net = build(ConvSpec((1, 4, 4), (2, 2), 2, convolutions=2, residual=True), seed=0).double().train()
    nn.init.normal_(net.head[-1].weight)
    x = torch.rand(3, 1, 4, 4, dtype=torch.float64)
    names, values = zip(*net.named_parameters(), strict=True)

    def outputs(*given: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(net, dict(zip(names, given, strict=True)), (x,))

    assert torch.autograd.gradcheck(outputs, tuple(v.detach().clone().requires_grad_() for v in values), eps=1e-7)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("pool", ["last", "mean"])
def test_padding_changes_nothing(cell: str, pool: str) -> None:
    torch.manual_seed(0)
    net = RecurrentNet(2, 4, 1, cell=cell, pool=pool)
    x = torch.randn(2, 6, 2)
    longer = torch.cat([x, torch.zeros(2, 9, 2)], 1)
    torch.testing.assert_close(net(longer), net(x))
    torch.testing.assert_close(net(longer[:1]), net(x)[:1])  # whatever the company


def test_a_text_is_read_by_any_cell() -> None:
    tokens = torch.zeros(4, 6 + 5, dtype=torch.int32)
    tokens[:, :3] = 2
    none = torch.zeros(4, 0)
    for reader in CELLS:
        net = build(TextSpec(numbers=0, pieces=9, length=6, outputs=2, reader=reader, width=4), seed=0)
        assert net(none, tokens, none).shape == (4, 2)


@pytest.mark.labs
def test_what_came_first_is_remembered_by_gates() -> None:
    """The first of a hundred steps tells the class, the others are noise (S4-39): an LSTM keeps it, a plain network
    does not at any rate that is tried."""
    generator = torch.Generator().manual_seed(0)
    X = torch.randn(1500, 100, 2, generator=generator) * 0.5
    y = torch.randint(2, (1500,), generator=generator)
    X[:, 0, 0] = torch.where(y == 1, 2.0, -2.0)

    def right(cell: str, rate: float, seed: int) -> float:
        torch.manual_seed(seed)
        result = luthier.train(
            RecurrentNet(2, 16, 2, cell=cell),
            (X[:1000], y[:1000]),
            validation=(X[1000:], y[1000:]),
            epochs=20,
            learning_rate=rate,
            batch_size=32,
            clip_norm=1.0,
        )
        return float(result.best_validation_score[0])

    gated = [right("lstm", 3e-3, seed) for seed in range(3)]
    plain = [right("rnn", rate, seed) for seed, rate in enumerate((1e-3, 3e-3, 1e-2))]
    assert sum(gated) / 3 > 0.85
    assert max(plain) < 0.65


def test_unknown_cells_are_refused() -> None:
    with pytest.raises(ConfigError, match="lstm"):
        RecurrentNet(2, 3, 1, cell="lstn")


@pytest.mark.parametrize("name", SIGNAL_CHANGES)
def test_signals_are_changed_in_training_only(name: str) -> None:
    torch.manual_seed(0)
    signals = torch.sin(torch.linspace(0, 20, 200)).expand(5, 1, 200) + 0
    change = AugmentSignals({name: 0.2})
    assert change.eval()(signals) is signals
    changed = change.train()(signals)
    assert changed.shape == signals.shape
    assert not torch.allclose(changed, signals, atol=1e-3)
    assert not torch.allclose(changed[0], changed[1], atol=1e-3)


def test_speed_is_what_it_says() -> None:
    """A wave played faster by a share has that share more periods in the same time."""
    torch.manual_seed(1)
    steps = torch.linspace(-1, 1, 2000)
    wave = torch.sin(40 * steps).expand(20, 1, 2000) + 0
    changed = AugmentSignals({"speed": 0.3}).train()(wave)
    crossings = (changed[:, 0, 200:1800].sign().diff() != 0).sum(1) / (wave[:, 0, 200:1800].sign().diff() != 0).sum(1)
    torch.manual_seed(1)
    wanted = 1 + (torch.rand(20) * 2 - 1) * 0.3
    torch.testing.assert_close(crossings, wanted, atol=0.1, rtol=0)

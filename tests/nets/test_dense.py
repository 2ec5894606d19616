"""Dense specs: what they promise, and what they refuse."""

from __future__ import annotations

import pytest
import torch

from luthier.errors import ConfigError
from luthier.nets import DenseSpec, build


def test_a_spec_survives_json() -> None:
    spec = DenseSpec(5, (4, 3), 2, activation=("tanh", "leaky relu"), initialiser="normal", deviation=0.5)
    assert DenseSpec.from_json(spec.to_json()) == spec


def test_a_wrong_spec_is_refused_with_all_its_mistakes() -> None:
    with pytest.raises(ConfigError) as caught:
        DenseSpec(0, (4,), 2, activation=("tanh", "rellu"), initialiser="hee")
    message = str(caught.value)
    assert "2 activations for 1 hidden layers" in message
    assert "did you mean 'relu'?" in message
    assert "did you mean 'he'?" in message


def test_a_layer_before_batch_norm_has_no_bias() -> None:
    """Batch norm takes a bias away with the mean, and has a shift of its own."""
    spec = DenseSpec(3, (5, 4), 2, batch_norm=True)
    assert [spec.biased(layer) for layer in range(3)] == [False, False, True]
    assert not {"layers.0.bias", "layers.1.bias"} & set(spec.shapes())
    assert spec.shapes()["norms.1.shift"] == (4,)
    assert spec.parameter_count() == (3 * 5 + 2 * 5) + (5 * 4 + 2 * 4) + (4 * 2 + 2)


def test_layer_norm_needs_no_batch_and_excludes_batch_norm() -> None:
    net = build(DenseSpec(4, (8, 8), 2, layer_norm=True, residual=True), seed=0)
    X = torch.randn(5, 4)
    torch.testing.assert_close(net(X)[:1], net(X[:1]))
    with pytest.raises(ConfigError, match="not both"):
        DenseSpec(4, (8,), 2, layer_norm=True, batch_norm=True)


def test_a_deferred_spec_reads_its_sizes_off_the_data() -> None:
    import luthier

    X, y = torch.randn(50, 2, 3), torch.arange(50) % 4
    assert luthier.train(DenseSpec.deferred((5,), activation="tanh"), (X, y), steps=2).members[0].spec == DenseSpec(
        6, (5,), 4, activation="tanh"
    )

"""Networks that share their weights: their factors, their rows of a batch, and the mean that they answer with."""

from __future__ import annotations

import pytest
import torch

from luthier.engine import Batch, Member, Settings, Stack, train
from luthier.engine.dense.dense_rows import fresh_buffers, fresh_parameters, views, with_ones
from luthier.engine.members.sharing import BatchShare, sharing
from luthier.errors import ConfigError
from luthier.nets import DenseSpec, build
from luthier.objective import LOSSES
from luthier.rows import Inputs, Rows

SPEC = DenseSpec(4, (6, 5), 3, ensemble=3, activation="tanh")


def stack_of(members: int) -> Stack:
    parameters = fresh_parameters(SPEC, range(members), torch.float64)
    for name, value in views(SPEC, parameters).items():
        if name.startswith("ensemble."):
            value.add_(0.1 * torch.arange(value.numel()).view_as(value))
    return Stack(SPEC, parameters, fresh_buffers(SPEC, members, torch.float64))


def rows(count: int) -> Rows:
    g = torch.Generator().manual_seed(0)
    X = torch.randn(count, 4, generator=g, dtype=torch.float64)
    return Rows(Inputs(numbers=X), torch.arange(count) % 3)


def test_the_answer_is_the_mean_of_networks_with_weights_of_rank_one_between_them() -> None:
    stack, part = stack_of(1), rows(7)
    named = {name: value[0] for name, value in views(SPEC, stack.parameters).items()}
    X = part.numbers
    total = torch.zeros(7, 3, dtype=torch.float64)
    for k in range(3):
        sums, outputs = ([named[f"ensemble.{i}.{what}"][k] for i in range(2)] for what in ("sums", "outputs"))
        first = torch.tanh(sums[0] * (X @ named["layers.0.weight"].T + named["layers.0.bias"]))
        W = torch.outer(sums[1], outputs[0]) * named["layers.1.weight"]
        second = torch.tanh(first @ W.T + sums[1] * named["layers.1.bias"])
        total += second @ (named["layers.2.weight"] * outputs[1]).T + named["layers.2.bias"]
    ours = stack.logits(Inputs(numbers=with_ones(SPEC, X)))[0]
    torch.testing.assert_close(ours, total / 3, rtol=1e-12, atol=1e-12)


def test_networks_begin_apart_by_the_signs_of_the_first_sums() -> None:
    fresh = SPEC.fresh_parameters(0)
    assert set(fresh["ensemble.0.sums"].flatten().tolist()) == {-1.0, 1.0}
    assert len({tuple(row.tolist()) for row in fresh["ensemble.0.sums"]}) == 3
    others = [fresh[name] for name in ("ensemble.0.outputs", "ensemble.1.sums", "ensemble.1.outputs")]
    assert all(bool((value == 1).all()) for value in others)


def test_each_row_teaches_the_network_of_its_place_alone() -> None:
    stack, part = stack_of(2), rows(8)
    batch = Batch(part.inputs.replaced(numbers=with_ones(SPEC, part.numbers)), part.targets)
    Z = stack.forward(batch, [None, None])
    derivative = LOSSES["softmax"].residual(Z, batch.targets)
    derivative[:, 1::3] = 0  # no row of the second network says anything
    stack.backward(batch, derivative, [None, None])
    for name, gradient in views(SPEC, stack.gradients).items():
        if name.startswith("ensemble."):
            assert bool((gradient[:, 1] == 0).all())
            assert bool((gradient[:, [0, 2]] != 0).any(-1).all())


def test_shares_of_a_batch_add_up_to_the_whole() -> None:
    stack, part = stack_of(2), rows(10)
    whole = Batch(part.inputs.replaced(numbers=with_ones(SPEC, part.numbers)), part.targets)

    def gradients(batch: Batch) -> torch.Tensor:
        Z = stack.forward(batch, [None, None])
        stack.backward(batch, LOSSES["softmax"].residual(Z, batch.targets), [None, None])
        return stack.gradients.clone()

    together, parts = gradients(whole), []
    for place in range(2):
        share = BatchShare.of(place, 2, 10)
        with sharing(share):
            parts.append(gradients(whole.cut(share.slice)))
    torch.testing.assert_close(sum(parts), together, rtol=1e-12, atol=1e-12)


def test_four_networks_that_share_weights_learn_and_every_one_of_them() -> None:
    g = torch.Generator().manual_seed(1)
    X = torch.randn(400, 4, generator=g)
    part = Rows(Inputs(numbers=X), (X[:, 0] * X[:, 1] > 0).long())
    spec = DenseSpec(4, (32, 32), 2, ensemble=4)
    outcome = train([Member(spec, 0, 0.01)], part, None, Settings("softmax", "adam", 64, 300, 300))
    net = build(spec, seed=0)
    net.load_state_dict(dict(outcome.state_dict(0)))
    net.eval()
    right = [
        (net.from_embedded([], X, torch.tensor(k)).argmax(1) == part.targets).float().mean().item() for k in range(4)
    ]
    assert min(right) > 0.9
    torch.testing.assert_close(outcome.logits(X)[0], net(X), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("wrong", [{"ensemble": 1}, {"hidden": ()}, {"batch_norm": True}])
def test_what_cannot_be_an_ensemble_is_refused(wrong: dict[str, object]) -> None:
    options: dict[str, object] = {"hidden": (8,), "ensemble": 3, **wrong}
    with pytest.raises(ConfigError, match="of 2 networks or more"):
        DenseSpec(3, outputs=2, **options)

"""Several targets of mixed kinds with gaps in one network, against a loop written by hand in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import luthier
from luthier.engine import Member, Settings, train
from luthier.errors import InputError
from luthier.nets import DenseSpec, build
from luthier.objective import Loss, TargetHead, outputs_for, several, shared_outputs, split
from luthier.rows import Inputs, Rows
from luthier.testing import check_loss

RNG = np.random.default_rng(0)
N, BATCH, STEPS, RATE = 120, 20, 18, 0.05
X = torch.from_numpy(RNG.normal(size=(N, 3)))
NAN = float("nan")


def targets() -> Tensor:
    """A number, a count, three classes and four ordered levels; a third of each missing, one batch without counts."""
    values = [
        X[:, 0] + torch.from_numpy(RNG.normal(size=N)),
        torch.from_numpy(RNG.poisson(np.exp(X[:, 1].numpy()))).double(),
        torch.from_numpy(np.digitize(X[:, 2].numpy(), [-0.5, 0.6])).double(),
        torch.from_numpy(np.digitize(X[:, 0].numpy() + RNG.normal(size=N), [-1, 0, 1])).double(),
    ]
    Y = torch.stack(values, 1)
    Y[torch.from_numpy(RNG.random(Y.shape) < 0.33)] = NAN
    return Y


Y = targets()
HEADS = ["mse", "poisson", TargetHead("softmax", weight=2.0), "ordinal"]
LOSS = several(HEADS, Y)
C = 1 + 1 + 3 + 3
WEIGHTS = torch.from_numpy(RNG.random(N)) + 0.1


def by_hand(Z: Tensor, Y: Tensor, weights: Tensor | None = None) -> Tensor:
    """The formula, head by head, in plain PyTorch: deviances over the best constants', means over rows that count."""
    known = ~Y.isnan()
    W = torch.ones(len(Y), dtype=Z.dtype) if weights is None else weights
    total = Z.new_zeros(())
    for t, share in enumerate((0.2, 0.2, 0.4, 0.2)):
        rows = known[:, t]
        if rows.any():
            own = deviance(t, Z[rows], Y[rows, t])
            total = total + share * (own * W[rows]).sum() / W[rows].sum() / SCALES[t]
    return total


def deviance(t: int, Z: Tensor, y: Tensor) -> Tensor:
    if t == 0:
        return (Z[:, 0] - y) ** 2
    if t == 1:
        return Z[:, 1].exp() - y * Z[:, 1] - (y - torch.xlogy(y, y))
    if t == 2:
        return F.cross_entropy(Z[:, 2:5], y.long(), reduction="none")
    cuts = torch.stack([torch.zeros(len(Z)), F.softplus(Z[:, 6]), F.softplus(Z[:, 6]) + F.softplus(Z[:, 7])], 1)
    below = F.pad(F.pad((cuts - Z[:, 5:6]).sigmoid(), (1, 0)), (0, 1), value=1.0)
    return -below.diff(dim=1).gather(1, y.long()[:, None])[:, 0].log()


def constants_deviances() -> list[float]:
    """Of the mean, the logarithm of the mean count, the classes' and the levels' frequencies."""
    found = []
    for t in range(4):
        y = Y[:, t][~Y[:, t].isnan()]
        if t == 0:
            found.append(float(y.var(correction=0)))
        elif t == 1:
            found.append(float((torch.xlogy(y, y / y.mean()) - y + y.mean()).mean()))
        else:
            shares = torch.bincount(y.long()).double() / len(y)
            found.append(float(-(shares * shares.log()).sum()))
    return found


SCALES = constants_deviances()


@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_it_is_the_formula(weights: Tensor | None) -> None:
    Z = torch.from_numpy(RNG.normal(size=(2, N, C)))
    expected = torch.stack([by_hand(z, Y, weights) for z in Z])
    torch.testing.assert_close(LOSS.mean(Z, Y, weights), expected, rtol=1e-12, atol=1e-12)
    leaf = Z.clone().requires_grad_()
    torch.stack([by_hand(z, Y, weights) for z in leaf]).sum().backward()
    torch.testing.assert_close(LOSS.slopes(Z, Y, weights), leaf.grad, rtol=1e-10, atol=1e-12)


def test_it_keeps_the_contract_of_losses() -> None:
    check_loss(LOSS, Y, outputs=C, scale=2.0)


def test_best_constants_cost_one() -> None:
    assert LOSS.constant is not None
    best = LOSS.constant(Y, None, C)
    assert float(LOSS.mean(best.expand(1, N, C), Y)) == pytest.approx(1.0, abs=1e-9)


def test_a_batch_without_a_target_has_no_gradient_of_it() -> None:
    some = Y[:10].clone()
    some[:, 1] = NAN
    Z = torch.from_numpy(RNG.normal(size=(1, 10, C)))
    slopes = LOSS.slopes(Z, some)
    assert not slopes[..., 1].any()
    assert slopes.isfinite().all()
    some[:] = NAN
    assert float(LOSS.mean(Z, some)) == 0.0
    assert not LOSS.slopes(Z, some).any()


def _batches() -> list[Tensor]:
    from luthier.seeds import torch_generator

    orders = [torch.randperm(N, generator=torch_generator(0, "order", epoch)) for epoch in range(3)]
    return [rows for order in orders for rows in torch.split(order, BATCH)]


def test_a_stack_learns_what_a_loop_by_hand_learns() -> None:
    """Two members of different rates by plain descent, weighted rows, cuts alike for all rows; 1e-9 in float64."""
    spec = DenseSpec(3, (6,), C, "tanh", constant_outputs=shared_outputs(LOSS, C))
    assert spec.constant_outputs == (6, 7)
    part = Rows(Inputs(numbers=X), Y, WEIGHTS)
    for rule in ("sgd", "adam"):
        members = [Member(spec, seed=k, learning_rate=RATE / (1 + k), momentum=0.0) for k in range(2)]
        outcome = train(members, part, None, Settings(rule=rule, loss=LOSS, batch_size=BATCH, steps=STEPS,
                        evaluate_every=STEPS, dtype=torch.float64))  # fmt: skip
        for k, member in enumerate(members):
            net = build(spec, seed=k).double()
            net.load_state_dict(spec.fresh_parameters(k), strict=False)
            plain: Any = torch.optim.SGD if rule == "sgd" else torch.optim.Adam
            optimiser = plain(net.parameters(), member.learning_rate)
            losses = []
            for rows in _batches()[:STEPS]:
                optimiser.zero_grad()
                loss = by_hand(net(X[rows]), Y[rows], WEIGHTS[rows])
                loss.backward()
                optimiser.step()
                losses.append(float(loss.detach()))
            state = outcome.state_dict(k)
            for name, value in net.state_dict().items():
                torch.testing.assert_close(state[name], value, rtol=1e-9, atol=1e-9, msg=name)
            assert outcome.history.to_frame()["train_loss"][k] == pytest.approx(np.mean(losses), rel=1e-9)


@pytest.mark.parametrize("layout", ["stacked", "vmapped", "looped"])
def test_every_layout_learns_the_same(layout: str) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 6), nn.Tanh(), nn.Linear(6, C)).double()
    options: dict[str, Any] = {"learning_rate": [0.01, 0.03], "steps": 12, "batch_size": BATCH, "loss": LOSS}
    found = luthier.train(net, (X, Y), validation=(X, Y), layout=layout, **options)
    first = luthier.train(net, (X, Y), validation=(X, Y), layout="stacked", **options)
    torch.testing.assert_close(found.logits(X), first.logits(X), rtol=1e-9, atol=1e-9)
    expected = float(by_hand(first.logits(X)[0], Y))
    assert first.best_validation_loss[0] == pytest.approx(expected, rel=1e-9)


def test_folds_have_their_own_means() -> None:
    """Members with rows of their own, in one stack, learn what each learns alone."""
    spec, folds = DenseSpec(3, (4,), C, "tanh"), torch.arange(N) % 3
    part = Rows(Inputs(numbers=X), Y)
    settings = Settings(LOSS, "adam", BATCH, 8, 8, dtype=torch.float64)
    members = [Member(spec, seed=1, learning_rate=0.02, fold=k) for k in range(3)]
    together = train(members, part, None, settings, folds=folds)
    alone = train(members[1:2], part, None, settings, folds=folds)
    torch.testing.assert_close(together.parameters[1], alone.parameters[0], rtol=1e-9, atol=1e-9)
    assert together.history.to_frame()["train_loss"][1] == pytest.approx(
        alone.history.to_frame()["train_loss"][0], rel=1e-9
    )


def test_heads_are_taken_apart() -> None:
    assert outputs_for(LOSS, Y) == C
    Z = torch.arange(float(C)).expand(2, C)
    assert [part.shape[1] for part in split(LOSS, Z)] == [1, 1, 3, 3]
    found = luthier.train(DenseSpec.deferred((4,)), (X, Y), loss=LOSS, steps=2)
    assert found.logits(X.float()).shape[2] == C


def test_one_head_without_gaps_is_its_own_loss() -> None:
    y = X[:, :1] ** 2
    one = several(["mse"], y)
    Z = torch.from_numpy(RNG.normal(size=(2, N, 1)))
    torch.testing.assert_close(one.mean(Z, y), ((Z - y) ** 2).mean((1, 2)) / y.var(correction=0))


@pytest.mark.parametrize(
    ("heads", "values", "message"),
    [
        (["mse"], [[1.0, 2.0]], "a head for each"),
        (["mse", "mse"], [[1.0, NAN], [2.0, NAN]], "target 2 of 2: no row"),
        (["mse", "poisson"], [[1.0, 3.0], [2.0, 3.0]], "target 2 of 2: this target is the same"),
        (["poisson"], [[1.0], [-3.0]], "below 0"),
        (["triplet"], [[1.0], [0.0]], "loss of rows"),
        ([TargetHead("mse", weight=0.0)], [[1.0], [0.0]], "above 0"),
        (["softmaxx"], [[1.0], [0.0]], "softmax"),
    ],
)
def test_targets_that_do_not_fit_are_said(heads: Any, values: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        several(heads, torch.tensor(values))


def test_what_heads_cannot_do_is_said() -> None:
    for options, message in (({"metrics": ["rmse"]}, "metrics"), ({"mixup": 0.2}, "mixup")):
        with pytest.raises(InputError, match=message):
            luthier.train(nn.Linear(3, C), (X, Y), loss=LOSS, steps=2, **options)
    with pytest.raises(InputError, match="8 outputs"):
        luthier.train(nn.Linear(3, 4), (X, Y), loss=LOSS, steps=2)
    with pytest.raises(InputError, match="not finite"):
        luthier.train(nn.Linear(3, 4), (X, Y), loss="mse", steps=2)


def test_a_loss_of_several_is_plain() -> None:
    assert isinstance(LOSS, Loss)
    assert LOSS.parts is not None

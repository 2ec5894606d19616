"""The engine against autograd, torch.optim and itself in other company."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from luthier.engine import Batch, Member, Schedule, Settings, Snapshot, Stack, train
from luthier.engine.dense.dense_rows import fresh_buffers, fresh_parameters, views, with_ones
from luthier.nets import DenseSpec, NumberEmbedding, PiecewiseEmbedding, build
from luthier.objective import LOSSES, mean_gradient, outputs_for
from luthier.optimise import RULES
from luthier.rows import Inputs, Rows
from luthier.seeds import torch_generator

ROWS, NUMBERS, LEVELS, CLASSES = 70, 5, 4, 3


def data(loss: str, rows: int = ROWS) -> Rows:
    g = torch_generator(0, "data", loss)
    X = torch.randn(rows, NUMBERS, generator=g, dtype=torch.float64)
    codes = torch.randint(0, LEVELS, (rows, 2), generator=g)
    score = X @ torch.randn(NUMBERS, CLASSES, generator=g, dtype=torch.float64) + codes[:, :1]
    targets = {"softmax": score.argmax(1), "binary": (score[:, 0] > 0).long(), "mse": score[:, 0]}[loss]
    return Rows(Inputs(numbers=X, codes=codes), targets)


def spec(loss: str = "softmax", **changes: object) -> DenseSpec:
    outputs = CLASSES if loss == "softmax" else 1
    base = DenseSpec(NUMBERS, (7, 6), outputs, embeddings=((LEVELS, 2), (LEVELS, 3)))
    return replace(base, **changes)


OPTIONS = {
    "plain": {},
    "batch norm": {"spec": {"batch_norm": True}},
    "linear": {"spec": {"hidden": ()}},
    "tanh": {"spec": {"activation": "tanh"}},
    "sigmoid": {"spec": {"activation": "sigmoid"}},
    "gelu": {"spec": {"activation": "gelu"}},
    "selu, mish": {"spec": {"activation": ("selu", "mish")}},
    "no categories": {"spec": {"embeddings": ()}},
    "dropout": {"member": {"dropout": (0.2, 0.5)}},
    "l2": {"member": {"l2": 0.7}},
    "weight decay": {"member": {"weight_decay": 0.01}},
    "l1": {"member": {"l1": 0.7}},
    "clip": {"member": {"clip_norm": 0.1}},
    "clip by value": {"member": {"clip_value": 0.02}},
    "plateau": {"member": {"schedule": Schedule("plateau", decay=0.5, period=1)}},
    "one cycle": {"member": {"schedule": Schedule("one-cycle")}},
    "cosine": {"member": {"schedule": Schedule("cosine", warmup=3)}},
    "restarts": {"member": {"schedule": Schedule("restarts", period=5, multiplier=2.0)}},
    "layer norm": {"spec": {"layer_norm": True}},
    "residual": {"spec": {"hidden": (6, 6, 6), "residual": True}},
    "residual and norm": {"spec": {"hidden": (7, 6, 6), "residual": True, "batch_norm": True, "activation": "tanh"}},
    "residual and dropout": {
        "spec": {"hidden": (6, 6), "residual": True, "activation": "tanh"},
        "member": {"dropout": (0.2, 0.5)},
    },
    "embedded numbers": {"spec": {"number_embedding": NumberEmbedding(2, frequencies=5, width=3, deviation=0.5)}},
    "embedded numbers alone": {"spec": {"number_embedding": NumberEmbedding(3, frequencies=4), "embeddings": ()}},
    "lines between quantiles": {"spec": {"number_embedding": PiecewiseEmbedding(((-1.0, 0.0, 0.5, 2.0),) * 2, 3)}},
    "parametric": {"spec": {"parametric": True, "activation": "mish", "residual": True}},
    "weights shared by three": {"spec": {"hidden": (6, 6, 5), "ensemble": 3, "residual": True, "activation": "tanh"}},
    "weights shared, norm, dropout": {
        "spec": {"ensemble": 2, "layer_norm": True, "parametric": True},
        "member": {"dropout": (0.2, 0.5), "rate_factors": (("ensemble", 0.3),)},
    },
    "scaled inputs": {"spec": {"input_scale": True, "number_embedding": NumberEmbedding(2)}},
    "scaled inputs alone": {"spec": {"input_scale": True, "embeddings": ()}},
    "wide first layer": {"spec": {"hidden": (9,), "embeddings": ()}},
    "wide first layer, plain descent": {
        "spec": {"hidden": (9,), "embeddings": ()},
        "member": {"momentum": 0.0, "l2": 0.7, "weight_decay": 0.01},
    },
    "penalised biases": {"member": {"l2": 0.7, "l1": 0.1, "penalise_biases": True}},
    "rates by depth": {"member": {"layer_rates": (0.1, 0.5, 1.0)}},
    "rates by kind": {
        "spec": {"number_embedding": NumberEmbedding(2), "layer_norm": True},
        "member": {"rate_factors": (("biases", 0.1), ("numbers", 0.2), ("embeddings", 0.5)), "width_scaled": True},
    },
    "frozen layers": {"member": {"frozen_until": (10, 0, 5), "weight_decay": 0.1}},
    "averaged weights": {"member": {"ema_decay": 0.9}},
    "batch norm and dropout": {"spec": {"batch_norm": True}, "member": {"dropout": (0.3, 0.3)}},
}


def members(option: str, loss: str = "softmax", count: int = 4) -> list[Member]:
    chosen = OPTIONS[option]
    shape = spec(loss, **chosen.get("spec", {}))
    rates = [0.003 * (1 + k) for k in range(count)]
    return [Member(shape, seed=k, learning_rate=r, **chosen.get("member", {})) for k, r in enumerate(rates)]


def settings(loss: str = "softmax", **changes: object) -> Settings:
    base = Settings(loss, "adam", batch_size=16, steps=23, evaluate_every=4, dtype=torch.float64)
    return replace(base, **changes)


def by_autograd(shape: DenseSpec, row: torch.Tensor, part: Rows, rows: torch.Tensor | slice) -> torch.Tensor:
    """Logits [B, C] of one member's row of parameters, from the ordinary module in training mode."""
    named = {name: value[0] for name, value in views(shape, row.unsqueeze(0)).items()}
    net = build(shape, seed=0).to(row.dtype).train()
    return torch.func.functional_call(net, named, (part.numbers[rows], part.codes[rows]))


@pytest.mark.parametrize("loss", ["softmax", "binary", "mse"])
@pytest.mark.parametrize(
    "option",
    [
        "plain",
        "layer norm",
        "residual",
        "residual and norm",
        "batch norm",
        "linear",
        "tanh",
        "sigmoid",
        "gelu",
        "selu, mish",
        "embedded numbers",
        "embedded numbers alone",
        "scaled inputs",
        "scaled inputs alone",
        "no categories",
        "weights shared by three",
        "weights shared, norm, dropout",
    ],
)
def test_hand_written_backward_equals_autograd(option: str, loss: str) -> None:
    stack_members, part = members(option, loss), data(loss)
    shape = stack_members[0].spec
    stack = Stack(shape, fresh_parameters(shape, range(4), torch.float64), fresh_buffers(shape, 4, torch.float64))
    weights = torch.rand(ROWS, generator=torch_generator(1), dtype=torch.float64)
    batch = Batch(part.inputs.replaced(numbers=with_ones(shape, part.numbers)), part.targets, weights)
    masks = [None] * len(shape.hidden)
    Z = stack.forward(batch, masks)
    stack.backward(batch, mean_gradient(LOSSES[loss].residual(Z, batch.targets), weights), masks)

    flat = stack.parameters.clone().requires_grad_()
    Z2 = [by_autograd(shape, row, part, slice(None)) for row in flat]
    torch.testing.assert_close(Z, torch.stack(Z2), rtol=1e-9, atol=1e-12)
    oracle = {
        "softmax": lambda z: F.cross_entropy(z, part.targets, reduction="none"),
        "binary": lambda z: F.binary_cross_entropy_with_logits(z[:, 0], part.targets.double(), reduction="none"),
        "mse": lambda z: F.mse_loss(z[:, 0], part.targets, reduction="none"),
    }[loss]
    sum((oracle(z) * weights / weights.sum()).sum() for z in Z2).backward()
    torch.testing.assert_close(stack.gradients, flat.grad, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("rule", ["sgd", "adam"])
def test_rules_equal_torch_optim_over_200_steps(rule: str) -> None:
    part, shape = data("softmax"), spec()
    stack_members = [
        Member(shape, seed=k, learning_rate=0.002 * (k + 1), momentum=0.5 + 0.1 * k, betas=(0.8 + 0.05 * k, 0.99))
        for k in range(3)
    ]
    outcome = train(stack_members, part, None, settings(rule=rule, batch_size=ROWS, steps=200, evaluate_every=200))
    for k, member in enumerate(stack_members):
        flat = fresh_parameters(shape, [member.seed], torch.float64).requires_grad_()
        optimiser = (
            torch.optim.SGD([flat], lr=member.learning_rate, momentum=member.momentum)
            if rule == "sgd"
            else torch.optim.Adam([flat], lr=member.learning_rate, betas=member.betas, eps=1e-8)
        )
        for step in range(200):
            order = torch.randperm(ROWS, generator=torch_generator(0, "order", step))
            optimiser.zero_grad()
            F.cross_entropy(by_autograd(shape, flat[0], part, order), part.targets[order]).backward()
            optimiser.step()
        # Two orders of summation, 200 steps apart: far below a hyper-parameter's effect, above rounding.
        torch.testing.assert_close(outcome.parameters[k], flat.detach()[0], rtol=1e-10, atol=1e-12)


PAIRS = [(option, rule) for option in OPTIONS for rule in RULES if option == "plain" or rule in ("sgd", "adam")]


@pytest.mark.parametrize(("option", "rule"), PAIRS)
def test_a_member_does_not_depend_on_its_company(option: str, rule: str) -> None:
    part, everyone, chosen = data("softmax"), members(option), settings(rule=rule)
    together = train(everyone, part, part, chosen)
    permuted = train(everyone[::-1], part, part, chosen)
    for k, member in enumerate(everyone):
        alone = train([member], part, part, chosen)
        for other, place in ((alone, 0), (permuted, len(everyone) - 1 - k)):
            torch.testing.assert_close(together.parameters[k], other.parameters[place], rtol=1e-9, atol=1e-9)
            assert together.best_step[k] == other.best_step[place]
            curves = [
                o.history.to_frame().filter(member=i)["train_loss"].to_numpy()
                for o, i in ((together, k), (other, place))
            ]
            np.testing.assert_allclose(*curves, rtol=1e-9)


def test_halving_changes_no_survivor() -> None:
    part, everyone = data("softmax"), members("dropout", count=6)
    whole = train(everyone, part, part, settings(steps=40))
    halved = train(everyone, part, part, settings(steps=40, rungs=((12, 3), (24, 1))))
    survivors = [k for k, status in enumerate(halved.status) if status == "finished"]
    assert len(survivors) == 1
    assert sorted(set(halved.status)) == ["cut at rung", "finished"]
    torch.testing.assert_close(halved.parameters[survivors], whole.parameters[survivors], rtol=1e-9, atol=1e-9)


def test_nan_in_one_member_changes_no_other() -> None:
    part, everyone = data("mse"), members("plain", "mse")
    bad = [*everyone[:1], replace(everyone[1], learning_rate=1e200), *everyone[2:]]
    healthy = train(everyone, part, part, settings("mse", rule="sgd"))
    result = train(bad, part, part, settings("mse", rule="sgd"))
    assert result.status[1].startswith("diverged")
    assert [finding.code for finding in result.findings] == ["diverged"]
    for k in (0, 2, 3):
        torch.testing.assert_close(result.parameters[k], healthy.parameters[k], rtol=1e-9, atol=1e-9)


class Kept:
    """A checkpointer that saves after every step and can be told to forget the later ones."""

    def __init__(self, start: Snapshot | None = None) -> None:
        self.start, self.saved = start, []

    def load(self) -> Snapshot | None:
        return self.start

    def due(self) -> bool:
        return True

    def save(self, snapshot: Snapshot) -> None:
        self.saved.append(snapshot)


@pytest.mark.parametrize(("step", "rule"), [(11, rule) for rule in RULES] + [(s, "adam") for s in (1, 5, 17, 22)])
def test_resume_from_any_step_is_bit_exact(step: int, rule: str) -> None:
    part, everyone = data("softmax"), members("batch norm and dropout")
    chosen = settings(rule=rule, rungs=((10, 2),), dtype=torch.float32)
    recorder = Kept()
    whole = train(everyone, part, part, chosen, checkpoint=recorder)
    resumed = train(everyone, part, part, chosen, checkpoint=Kept(recorder.saved[step - 1]))
    assert torch.equal(resumed.parameters, whole.parameters)
    assert torch.equal(resumed.buffers, whole.buffers)
    assert resumed.history.rows == whole.history.rows
    assert resumed.status == whole.status


def test_best_weights_are_kept_and_cut_out_as_a_module() -> None:
    part = data("softmax")
    outcome = train(members("batch norm"), part, part, settings(steps=60, dtype=torch.float32))
    logits = outcome.logits(Inputs(numbers=part.numbers.float(), codes=part.codes))
    for k in range(4):
        rows = outcome.history.to_frame().filter(member=k)
        assert outcome.best_validation_loss[k] == rows["validation_loss"].min()
        result = F.cross_entropy(logits[k].double(), part.targets).item()
        assert result == pytest.approx(outcome.best_validation_loss[k], rel=1e-5)  # float32
        torch.testing.assert_close(outcome.module(k)(part.numbers.float(), part.codes), logits[k], rtol=1e-5, atol=1e-5)


def test_early_stopping_waits_for_its_patience_and_its_tolerance() -> None:
    part = data("softmax")
    still = [Member(spec(), seed=0, learning_rate=0.0), Member(spec(), seed=1, learning_rate=0.01)]
    outcome = train(still, part, part, settings(steps=80, patience=3, tolerance=1e-6))
    assert outcome.status == ["early stopped", "finished"]
    # The first evaluation sets the reference; three more without improvement end it.
    assert outcome.history.to_frame().filter(member=0).height == 4


def test_a_rate_falls_when_its_member_stalls_and_only_then() -> None:
    """As `torch.optim.lr_scheduler.ReduceLROnPlateau` with the same losses."""
    part = data("softmax")
    schedule = Schedule("plateau", decay=0.5, period=3)
    both = [Member(spec(), seed=k, learning_rate=rate, schedule=schedule) for k, rate in enumerate((0.0, 1.0))]
    result = train(both, part, part, settings(steps=120)).history.to_frame()
    assert result.filter(member=0)["learning_rate"].unique().to_list() == [0.0]
    rows = result.filter(member=1)
    optimiser = torch.optim.SGD([torch.zeros(1)], 1.0)
    oracle = torch.optim.lr_scheduler.ReduceLROnPlateau(optimiser, factor=0.5, patience=2, threshold=0.0)
    for loss, rate in zip(rows["validation_loss"], rows["learning_rate"], strict=True):
        assert rate == optimiser.param_groups[0]["lr"]
        oracle.step(loss)
    assert optimiser.param_groups[0]["lr"] < 1


def test_l1_pulls_weights_towards_zero_and_leaves_biases() -> None:
    part = data("mse")
    free = Member(spec("mse", hidden=(), embeddings=()), seed=0, learning_rate=0.002)
    bound = replace(free, l1=float(ROWS))
    outcome = train([free, bound], part, None, settings("mse", rule="sgd", steps=3000, batch_size=ROWS))
    sizes = [outcome.state_dict(k)["layers.0.weight"].abs().sum().item() for k in range(2)]
    assert sizes[1] < 0.7 * sizes[0]
    # The optimum of a penalised least-squares fit: |gradient of the loss| = lambda / n on weights, 0 on the bias.
    state = outcome.state_dict(1)
    W, b = state["layers.0.weight"][0], state["layers.0.bias"][0]
    residual = part.numbers @ W + b - part.targets
    assert (2 * residual.mean()).abs() < 1e-2
    active = W.abs() > 0.05
    gradient = 2 * (residual.unsqueeze(1) * part.numbers).mean(0)
    torch.testing.assert_close(gradient[active], -W[active].sign(), atol=0.05, rtol=0)


def test_a_cut_leaves_the_best_so_far() -> None:
    part = data("softmax")
    outcome = train(members("plain"), part, part, settings(), stop=lambda step: step >= 9)
    assert outcome.steps_done == 9
    assert outcome.status == ["cut"] * 4
    assert (outcome.best_step == 8).all()


def test_a_short_last_batch_counts_over_its_own_length() -> None:
    part = data("mse", rows=5)
    one = Member(spec("mse"), seed=0, learning_rate=0.1, momentum=0.0)
    outcome = train([one], part, None, settings("mse", rule="sgd", batch_size=4, steps=2, evaluate_every=2))
    flat = fresh_parameters(one.spec, [0], torch.float64).requires_grad_()
    order = torch.randperm(5, generator=torch_generator(0, "order", 0))
    for rows in (order[:4], order[4:]):
        Z = by_autograd(one.spec, flat[0], part, rows)
        (gradient,) = torch.autograd.grad(F.mse_loss(Z[:, 0], part.targets[rows]), flat)
        flat = (flat - 0.1 * gradient).detach().requires_grad_()
    torch.testing.assert_close(outcome.parameters, flat.detach(), rtol=1e-10, atol=1e-12)


def test_dropout_keeps_the_expected_share_and_scale() -> None:
    from luthier.engine.members.masks import LayerMasks, mask_seeds

    shape = replace(spec(), hidden=(400,))
    seeds, drops = mask_seeds([0, 1]), torch.full((2, 1), 0.25)
    (mask,) = LayerMasks(seeds, drops, shape.hidden, torch.float64)(number=3, rows=500)
    assert mask is not None
    assert set(mask.unique().tolist()) == {0.0, 1 / 0.75}
    # 200,000 draws a member: the standard error of the share is 0.001.
    assert ((mask > 0).double().mean((1, 2)) - 0.75).abs().max() < 0.005


SHAPES = ("linear", "plain", "batch norm", "layer norm", "residual and norm", "no categories", "wide first layer")


@pytest.mark.parametrize("loss", sorted(LOSSES))
def test_dense_networks_never_need_autograd(loss: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every layer and rule takes the stacked path; losses over pairs ask autograd for their own slope alone."""
    import luthier

    def refused(*args: object, **kwargs: object) -> None:
        raise AssertionError("autograd was used")

    if loss not in ("contrastive", "triplet"):
        monkeypatch.setattr(torch.autograd, "grad", refused)
    monkeypatch.setattr(torch.Tensor, "backward", refused)
    part = data("softmax")
    values = part.numbers[:, 0]
    of_values = {"fractional": values.sigmoid(), "gamma": values.exp(), "tweedie": values.exp()}
    targets = of_values.get(loss, values if loss in ("mse", "mae", "huber") else part.targets)
    for option in SHAPES:
        for rule in RULES:
            shape = replace(members(option)[0].spec, outputs=outputs_for(loss, targets))
            rows = replace(part, targets=targets)
            result = luthier.train(shape, rows, validation=rows, loss=loss, rule=rule, steps=3, seeds=2, l2=0.1)
            assert result.layout == "stacked"
            assert np.isfinite(result.best_validation_loss).all()


@pytest.mark.parametrize("layout", ["stacked", "looped"])
def test_rates_by_depth_and_frozen_layers_equal_parameter_groups(layout: str) -> None:
    """`torch.optim` with a group for each layer, one of which is added when it is unfrozen."""
    import luthier

    part, rates, unfrozen = data("softmax"), (0.1, 0.5, 1.0), 4
    names = ("0", "2", "4")
    net = torch.nn.Sequential(
        *(torch.nn.Linear(NUMBERS, 7), torch.nn.Tanh(), torch.nn.Linear(7, 6)),
        *(torch.nn.Tanh(), torch.nn.Linear(6, CLASSES)),
    ).double()
    for rule, kind in (("adam", torch.optim.Adam), ("sgd", lambda g: torch.optim.SGD(g, momentum=0.9))):
        start = {name: value.clone() for name, value in net.state_dict().items()}
        result = luthier.train(
            net,
            (part.numbers, part.targets),
            rule=rule,
            learning_rate=0.02,
            layer_rates=rates,
            frozen_until=(unfrozen, 0, 0),
            steps=10,
            batch_size=ROWS,
            layout=layout,
        )
        layers = {name: getattr(net, name) for name in names}
        groups = [{"params": list(layers[n].parameters()), "lr": 0.02 * r} for n, r in zip(names, rates, strict=True)]
        optimiser = kind(groups[1:])
        for step in range(10):
            if step == unfrozen:
                optimiser.add_param_group(groups[0])
            order = torch.randperm(ROWS, generator=torch_generator(0, "order", step))
            net.zero_grad()
            F.cross_entropy(net(part.numbers[order]), part.targets[order]).backward()
            optimiser.step()
        for name, value in result.state_dict(0).items():
            torch.testing.assert_close(value, net.state_dict()[name], rtol=1e-9, atol=1e-11)
        net.load_state_dict(start)


@pytest.mark.parametrize("rule", ["sgd", "adam"])
def test_averages_of_others_change_nothing(rule: str) -> None:
    """Not those in another block, nor of members that have left."""
    part, chosen = data("softmax"), replace(settings("softmax"), rule=rule, blocks=2, rungs=((10, 1),))
    plain = replace(members("plain")[0], momentum=0.0)
    worse = replace(plain, ema_decay=0.9, learning_rate=plain.learning_rate / 100)
    both, alone = (train(some, part, part, chosen) for some in ([plain, worse], [plain]))
    assert both.status == ["finished", "cut at rung"]
    torch.testing.assert_close(both.parameters[0], alone.parameters[0], rtol=1e-9, atol=1e-12)


def test_averaged_weights_are_the_average_of_every_step() -> None:
    part, one = data("softmax"), replace(members("plain")[0], ema_decay=0.5)
    plain = replace(one, ema_decay=0.0)
    steps = [train([plain], part, None, settings(steps=n, evaluate_every=n)).parameters for n in range(1, 8)]
    ema_decay = fresh_parameters(one.spec, [one.seed], torch.float64)
    for number, weights in enumerate(steps, start=1):
        memory = min(0.5, number / (number + 9))
        ema_decay = memory * ema_decay + (1 - memory) * weights
    # A schedule that knows the length would differ; this one is constant.
    result = train([one], part, None, settings(steps=7, evaluate_every=7)).parameters
    torch.testing.assert_close(result, ema_decay, rtol=1e-9, atol=1e-12)


def test_biases_are_penalised_where_asked() -> None:
    part = data("mse")
    base = Member(spec("mse", hidden=(), embeddings=()), seed=0, learning_rate=0.05, momentum=0.0, l2=ROWS * 100.0)
    both = [base, replace(base, penalise_biases=True)]
    shifted = replace(part, targets=part.targets + 3)
    rates = [replace(member, learning_rate=0.005) for member in both]
    outcome = train(rates, shifted, None, settings("mse", rule="sgd", steps=2000, batch_size=ROWS))
    free, bound = (outcome.state_dict(k)["layers.0.bias"].item() for k in range(2))
    assert free > 2.5
    assert abs(bound) < 0.1


def test_moving_averages_remember_as_long_as_they_should() -> None:
    """A step reaches 1 - 1/e after about 1 / (1 - memory) values (S0-23)."""
    from luthier.averages import debias, follow

    for memory in (0.9, 0.99):
        ema_decay = torch.zeros(1, dtype=torch.float64)
        count = round(1 / (1 - memory))
        for _ in range(count):
            follow(ema_decay, torch.ones(1, dtype=torch.float64), memory)
        assert ema_decay.item() == pytest.approx(1 - np.exp(-1), abs=0.02)
        assert debias(ema_decay.item(), memory, count) == pytest.approx(1.0)


def test_batch_norms_averages_come_to_those_of_the_rows() -> None:
    """And a single row is told by them, whatever it is evaluated with."""
    generator = torch.Generator().manual_seed(0)
    X = torch.randn(400, 6, generator=generator, dtype=torch.float64) * 2 + 3
    part = Rows(Inputs(numbers=X), torch.randint(2, (400,), generator=generator))
    spec = DenseSpec(inputs=6, hidden=(5,), outputs=2, batch_norm=True)
    settings = Settings("softmax", "sgd", 100, 200, 200, dtype=torch.float64)
    result = train([Member(spec, 0, 1e-9)], part, None, settings)
    state = result.state_dict()
    Z = X @ state["layers.0.weight"].double().T
    torch.testing.assert_close(state["norms.0.mean"].double(), Z.mean(0), rtol=0.1, atol=0.1)
    torch.testing.assert_close(state["norms.0.variance"].double(), Z.var(0), rtol=0.15, atol=0.1)
    torch.testing.assert_close(result.logits(X[:1]), result.logits(X)[:, :1])

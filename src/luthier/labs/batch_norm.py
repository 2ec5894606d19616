"""Batch norm: what it normalises, what it makes of biases, and what it does to training."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from luthier.classic.network import sigmoid
from luthier.classic.ng import MovingAverages, batch_norm, batch_norm_backward
from luthier.drawing import BLUE, ORANGE, empty_figure
from luthier.engine import Member, Settings, train
from luthier.labs.depth import digits_part
from luthier.labs.lab import Bench, Lab
from luthier.messages import Message
from luthier.nets import NORM_EPSILON, NORM_MEMORY, DenseNet, DenseSpec, build
from luthier.objective import LOSSES
from luthier.optimise import RULES
from luthier.rows import Rows
from luthier.statistics.paired import of_mean

BATCH, UNITS = 64, 6


def layer() -> DenseNet:
    """A network of the product that does nothing but batch norm: its matrices are 1, its activation the identity."""
    spec = DenseSpec(inputs=UNITS, hidden=(UNITS,), outputs=UNITS, activation="identity", batch_norm=True)
    one = {name: torch.eye(UNITS) for name in ("layers.0.weight", "layers.1.weight")}
    return DenseNet(spec, spec.fresh_parameters(0) | one).double().train()


def forms(bench: Bench) -> None:
    """Its numbers on one layer, in float64."""
    generator = torch.Generator().manual_seed(0)
    Z = torch.randn(BATCH, UNITS, generator=generator, dtype=torch.float64) * 3 + 2
    norm = layer()
    scale, shift = norm.norms[0].scale, norm.norms[0].shift
    out, variance = norm(Z).detach(), Z.var(0, correction=0)
    wanted = variance / (variance + NORM_EPSILON)
    bench.number("means after it: largest", 0.0, float(out.mean(0).abs().max()), 1e-12)
    gap = float((out.var(0, correction=0) - wanted).abs().max())
    bench.number("variances are v / (v + epsilon): largest gap", 0.0, gap, 1e-12)
    with torch.no_grad():
        scale.copy_((variance + NORM_EPSILON).sqrt())
        shift.copy_(Z.mean(0))
    bench.number(
        "a scale equal to the standard deviation and a shift equal to the mean restore the inputs",
        0.0,
        float((norm(Z) - Z).abs().max().detach()),
        1e-12,
    )
    shifted = norm(Z + torch.randn(UNITS, generator=generator, dtype=torch.float64) * 100)
    gap = float((shifted - norm(Z)).abs().max().detach())
    bench.number("a bias before it changes nothing: largest gap", 0.0, gap, 1e-9)
    bias = torch.zeros(UNITS, dtype=torch.float64, requires_grad=True)
    (norm(Z + bias) ** 3).sum().backward()
    assert bias.grad is not None
    bench.number("and gets no gradient", 0.0, float(bias.grad.abs().max()), 1e-8)
    spec = DenseSpec(inputs=4, hidden=(5, 5), outputs=2, batch_norm=True)
    bench.holds(
        "so layers with batch norm have no biases",
        not any(spec.biased(k) for k in (0, 1)) and spec.biased(2),
        ", ".join(spec.shapes()),
    )
    bench.holds(
        "every hidden layer has a scale and a shift of its own",
        {f"norms.{k}.{what}" for k in (0, 1) for what in ("scale", "shift")} < set(spec.shapes()),
        ", ".join(spec.shapes()),
    )
    _evaluation(bench, Z)
    means = [_mean_variance(m) * m for m in (8, 32, 128)]
    bench.number("the variance of a batch mean times the batch size is constant", 1.0, means, 0.08)
    _layouts(bench, Z)
    _backward(bench, Z)
    z = np.linspace(-1, 1, 2001)
    line = np.abs(sigmoid(z) - (0.5 + z / 4)).max()
    bench.number("a sigmoid between -1 and 1 is nearly a line: largest gap", 0.019, float(line), 5e-4)


def _mean_variance(m: int) -> float:
    """The variance over batches of the mean that batch norm takes from m samples of N(0, 1)."""
    rng, one = np.random.default_rng(m), np.ones((1, 1))
    return float(np.var([batch_norm(rng.standard_normal((1, m)), one, one).mu[0, 0] for _ in range(2000)]))


def _evaluation(bench: Bench, Z: torch.Tensor) -> None:
    """A single row, by moving averages; the engine's and the lectures'."""
    net, columns, one = layer(), Z.T.numpy(), np.ones((UNITS, 1))
    averages = MovingAverages(UNITS, NORM_MEMORY)
    with torch.no_grad():
        for k in range(60):
            net(Z * (1 + k % 3))
            averages.follow(batch_norm(columns * (1 + k % 3), one, 0 * one))
        net.eval()
        alone, beside = net(Z[:1]), net(Z)[:1]
        known = averages.normalise(columns[:, :1], one, 0 * one, NORM_EPSILON).T
    bench.number("in evaluation a row is predicted alone as beside others: gap", 0.0, _far(alone - beside), 1e-12)
    bench.number("with the moving averages of the lectures: gap", 0.0, _far(alone - torch.from_numpy(known)), 1e-9)


def _far(gaps: torch.Tensor) -> float:
    return float(gaps.abs().max())


def _layouts(bench: Bench, Z: torch.Tensor) -> None:
    """Samples in rows or in columns; what a batch's statistics depend on; what the layer is given."""
    norm = layer()
    with torch.no_grad():
        norm.norms[0].scale.uniform_(0.5, 2)
        norm.norms[0].shift.uniform_(-1, 1)
    gamma, beta = (value.detach().numpy()[:, None] for value in (norm.norms[0].scale, norm.norms[0].shift))
    by_columns = batch_norm(Z.T.numpy(), gamma, beta, NORM_EPSILON).out
    gap = float(np.abs(by_columns.T - norm(Z).detach().numpy()).max())
    bench.number("samples as columns, gamma and beta (n, 1), give the same: largest gap", 0.0, gap, 1e-12)
    looped = [(row - row.mean()) / np.sqrt(((row - row.mean()) ** 2).mean() + NORM_EPSILON) for row in Z.T.numpy()]
    gap = float(np.abs(by_columns - (gamma * np.array(looped) + beta)).max())
    bench.number("and so does a loop over units: largest gap", 0.0, gap, 1e-12)
    changed = Z.clone()
    changed[0] += 5
    moved = float((norm(changed) - norm(Z))[1:].abs().max().detach())
    bench.holds(
        "one row of a batch changes the outputs of the others",
        moved > 1e-2,
        Message("by up to {moved:.2f}", moved=moved),
    )
    spec = DenseSpec(inputs=UNITS, hidden=(5,), outputs=3, activation="tanh", batch_norm=True)
    net = build(spec, seed=0).double().train()
    values = dict(net.named_parameters())
    W, g, b, V, c = (
        values[name]
        for name in ("layers.0.weight", "norms.0.scale", "norms.0.shift", "layers.1.weight", "layers.1.bias")
    )
    z = Z @ W.T
    after = g * (z - z.mean(0)) / (z.var(0, correction=0) + NORM_EPSILON).sqrt() + b
    gap = float((torch.tanh(after) @ V.T + c - net(Z)).abs().max().detach())
    bench.number("it is given z, before the activation: largest gap", 0.0, gap, 1e-10)


def _backward(bench: Bench, Z: torch.Tensor) -> None:
    """The derivative by hand against differences of a cost."""
    rng, columns = np.random.default_rng(1), Z.T.numpy()
    G, gamma, beta = rng.standard_normal(columns.shape), rng.random((UNITS, 1)) + 0.5, rng.random((UNITS, 1))

    def cost(X: np.ndarray, g: np.ndarray = gamma, b: np.ndarray = beta) -> float:
        return float((batch_norm(X, g, b).out * G).sum())

    kept = batch_norm(columns, gamma, beta)
    slopes = batch_norm_backward(G, kept, columns)
    places, h, worst = ((0, 3), (2, 10), (5, 63), (4, 31)), 1e-5, [0.0, 0.0, 0.0]
    for n, m in places:
        for which, value in enumerate((columns, gamma, beta)):
            place = (n, m if which == 0 else 0)
            sides = []
            for side in (h, -h):
                moved = [columns.copy(), gamma.copy(), beta.copy()]
                moved[which][place] += side
                sides.append(cost(*moved))
            worst[which] = max(worst[which], abs(slopes[which][place] - (sides[0] - sides[1]) / (2 * h)))
            assert value.shape == slopes[which].shape
    for name, gap in zip(("its inputs", "gamma", "beta"), worst, strict=True):
        bench.number(Message("the backward pass by {name} against differences: largest gap", name=name), 0.0, gap, 1e-6)
    dZ = slopes[0]
    bench.number("its sum over the batch", 0.0, float(np.abs(dZ.sum(1)).max()), 1e-12)
    bench.number("and its sum with what was normalised", 0.0, float(np.abs((dZ * kept.z_norm).sum(1)).max()), 1e-3)


def training(bench: Bench) -> None:
    """With it and without, under every rule; a deep network, and how far its layers' values drift."""
    part, held_out = digits_part()
    epoch = -(-len(part) // BATCH)
    ends: dict[str, tuple[float, float]] = {}
    for rule in (
        "sgd",
        "rmsprop",
        "adam",
        *(() if bench.quick else tuple(sorted(set(RULES) - {"sgd", "rmsprop", "adam"}))),
    ):
        rate = {"sgd": 0.1, "nesterov": 0.1, "nesterov-velocity": 0.1, "adagrad": 0.03, "adadelta": 1.0}.get(
            rule, 0.003
        )
        losses = []
        for norm in (False, True):
            spec = DenseSpec(inputs=64, hidden=(30, 30, 30), outputs=10, batch_norm=norm)
            settings = Settings("softmax", rule, BATCH, 6 * epoch, 6 * epoch)
            result = train([Member(spec, seed, rate) for seed in bench.seeds(5, 3)], part, held_out, settings)
            losses.append(float(result.best_validation_loss.mean()))
        ends[rule] = losses[0], losses[1]
    message = ", ".join(f"{rule} {a:.3f} and {b:.3f}" for rule, (a, b) in ends.items())
    bench.holds(
        "a network with it trains under every rule",
        all(b < 1.0 for _, b in ends.values()),
        Message("validation loss without and with: {message}", message=message),
    )
    curves = {norm: _curve(part, held_out, norm, bench) for norm in (False, True)}
    plain, normed = (curve.mean(0) for curve in (curves[False], curves[True]))
    target = float(plain[-1])
    faster = int(np.argmax(normed <= target)) + 1 if (normed <= target).any() else len(normed) + 1
    bench.holds(
        "a deep sigmoid network learns faster with it",
        faster < len(plain) / 2,
        Message(
            "after {faster} of {count} epochs its loss is below the other's final loss", faster=faster, count=len(plain)
        ),
    )
    figure = empty_figure("epoch", "training loss")
    for curve, name, colour in ((plain, "without", ORANGE), (normed, "with batch norm", BLUE)):
        figure.add_scatter(x=list(range(1, len(curve) + 1)), y=curve, name=name, line={"color": colour})
    bench.draw("Six sigmoid layers, with batch norm and without", figure)
    drift = {norm: drift_of_means(part, norm) for norm in (False, True)}
    bench.holds(
        "the third layer's weighted inputs drift less with it",
        drift[True] < drift[False],
        Message(
            "largest change of means, in standard deviations: {drift:.2f}, with it {drift_2:.2f}",
            drift=drift[False],
            drift_2=drift[True],
        ),
    )


def _curve(part: Rows, held_out: Rows, norm: bool, bench: Bench) -> np.ndarray:
    epoch = -(-len(part) // BATCH)
    spec = DenseSpec(
        inputs=64, hidden=(30,) * 6, outputs=10, activation="sigmoid", initialiser="xavier", batch_norm=norm
    )
    settings = Settings("softmax", "sgd", BATCH, 20 * epoch, epoch)
    members = [Member(spec, seed, 0.1) for seed in bench.seeds(5, 3)]
    table = train(members, part, held_out, settings).history.to_frame().sort("member", "step")
    return table["train_loss"].to_numpy().reshape(len(members), -1)


def drift_of_means(part: Rows, norm: bool) -> float:
    """How far the mean of what enters the third layer's activation moves over training, in deviations."""
    spec = DenseSpec(
        inputs=64, hidden=(30, 30, 30), outputs=10, activation="sigmoid", initialiser="xavier", batch_norm=norm
    )
    below = replace(spec, activation=("sigmoid", "sigmoid", "identity"), outputs=30)
    eye = {"layers.3.weight": torch.eye(30), "layers.3.bias": torch.zeros(30)}
    means = []
    for steps in (1, 10, 50, 100, 200):
        settings = Settings("softmax", "sgd", BATCH, steps, steps)
        state = train([Member(spec, 0, 0.3, momentum=0.9)], part, None, settings).state_dict()
        net = DenseNet(below, {name: state[name] for name in spec.shapes()} | eye).train()
        with torch.no_grad():
            z = net(part.numbers)
        means.append((z.mean(0), z.std(0)))
    start, spread = means[0]
    return float(torch.stack([((mean - start) / spread.clamp_min(1e-3)).abs().mean() for mean, _ in means]).max())


def regulariser(bench: Bench) -> None:
    """Small batches' statistics are noise, and noise keeps a network from memorising: of 200 digits a fifth of the
    labels are drawn anew, for the same 40 epochs by batches of several sizes."""
    training, held_out = digits_part()
    few, generator = training.rows(torch.arange(200)), torch.Generator().manual_seed(0)
    wrong = torch.rand(len(few), generator=generator) < 0.2
    drawn = torch.randint(10, (len(few),), generator=generator)
    few = replace(few, targets=torch.where(wrong, drawn, few.targets))
    narrower: dict[int, np.ndarray] = {}
    for size in (4, 8, 32):
        gaps, right, steps = [], [], 40 * len(few) // size
        for norm in (False, True):
            spec = DenseSpec(inputs=64, hidden=(64, 64), outputs=10, batch_norm=norm)
            members = [Member(spec, seed, 1e-3) for seed in bench.seeds(10, 4)]
            result = train(members, few, None, Settings("softmax", "adam", size, steps, steps))
            rows = [LOSSES["softmax"].mean(result.logits(p.numbers), p.targets).numpy() for p in (few, held_out)]
            gaps.append(rows[1] - rows[0])
            right.append((result.logits(held_out.numbers).argmax(-1) == held_out.targets).double().mean().item())
        narrower[size] = gaps[0] - gaps[1]
        bench.note(
            Message(
                "batches of {size}: the gap is {gaps:.2f} without batch norm and {gaps_2:.2f} "
                "with it, and {right:.0f} and {right_2:.0f} % of new digits are right",
                size=size,
                gaps=gaps[0].mean(),
                gaps_2=gaps[1].mean(),
                right=100 * right[0],
                right_2=100 * right[1],
            )
        )
    for size in (4, 8):
        bench.holds(
            Message(
                "by batches of {size} the gap from training to validation loss is narrower with batch norm", size=size
            ),
            bool(narrower[size].mean() > 0.1),
            Message(
                "by {narrower:.2f} ± {narrower_2:.2f}",
                narrower=narrower[size].mean(),
                narrower_2=of_mean(narrower[size]).half_width(),
            ),
        )
    means = [float(row.mean()) for row in narrower.values()]
    bench.holds(
        "the larger the batches, the less",
        means[0] > means[1] > 2 * means[2],
        ", ".join(f"{size}: {mean:.2f}" for size, mean in zip(narrower, means, strict=True)),
    )


LABS = (
    Lab(
        "batch-norm",
        "Batch norm's numbers",
        "Batch norm gives each unit mean 0 and variance 1, makes biases redundant, and can learn to undo itself",
        (
            "S0-10",
            "S0-11",
            "S0-12",
            "S0-13",
            "S0-14",
            "S0-15",
            "S0-16",
            "S0-17",
            "S0-21",
            "S0-22",
            "S2-05",
            "S2-06",
            "S4-31",
        ),
        forms,
    ),
    Lab(
        "batch-norm-training",
        "Training with batch norm",
        "Batch norm works under every rule and helps deep networks",
        ("S0-18", "S0-19", "S0-20"),
        training,
        seconds=8,
    ),
    Lab(
        "batch-norm-regulariser",
        "Batch norm as a regulariser",
        "The noise of small batches' statistics regularises, and more the smaller they are",
        ("S0-21",),
        regulariser,
        seconds=4,
    ),
)

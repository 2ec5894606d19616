"""Penalties on weights: how L1 and L2 shrink them, and what that does to what is learnt."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from luthier.drawing import BLUE, GREY, ORANGE, empty_figure
from luthier.engine import Member, Outcome, Settings, train
from luthier.labs.lab import DOCUMENT, Bench, Lab
from luthier.labs.mnist import BATCH, Digits, digits, learn, members, some
from luthier.messages import Message
from luthier.nets import DenseSpec
from luthier.rows import Inputs, Rows
from luthier.statistics.paired import of_mean

KINDS = {"none": GREY, "L2": BLUE, "L1": ORANGE}
ROWS = 100


def _beside(free: np.ndarray | torch.Tensor, held: np.ndarray | torch.Tensor) -> dict[str, float]:
    return {"free": float(free.mean()), "held": float(held.mean())}


def still(rows: int = ROWS, inputs: int = 40) -> Rows:
    """Rows whose inputs are all 0, so that the data say nothing about the weights on them."""
    return Rows(Inputs(numbers=torch.zeros(rows, inputs, dtype=torch.float64)), torch.zeros(rows, dtype=torch.float64))


def shrunk(weights: Tensor, steps: int, *, l1: float = 0.0, l2: float = 0.0, rate: float = 0.5) -> Tensor:
    """What the engine leaves of weights [I] after some steps, with no gradient but the penalty's."""
    spec = DenseSpec(inputs=len(weights), hidden=(), outputs=1)
    state = {name: torch.zeros(shape, dtype=torch.float64) for name, shape in spec.shapes().items()}
    name = next(name for name, value in state.items() if value.ndim == 2)
    state[name] = weights[None].clone()
    settings = Settings("mse", "sgd", ROWS, steps, steps, dtype=torch.float64)
    member = Member(spec, 0, rate, momentum=0.0, l1=l1, l2=l2)
    return train([member], still(inputs=len(weights)), None, settings, initial=[state]).state_dict()[name][0].double()


def shrinking(bench: Bench) -> None:
    """One step and many, of weights from -2 to 2."""
    weights = torch.linspace(-2, 2, 41, dtype=torch.float64)
    lmbda, rate, steps = 0.1, 0.5, 50
    step = rate * lmbda / ROWS
    first, second = (weights - shrunk(weights, 1, **{kind: lmbda}) for kind in ("l1", "l2"))
    bench.number(
        "L1 subtracts the same amount from every weight: largest gap, in steps",
        0.0,
        float((first - step * weights.sign()).abs().max()) / step,
        1e-9,
    )
    bench.number(
        "L2 subtracts a share of the weight: largest gap, in steps",
        0.0,
        float((second - step * weights).abs().max()) / step,
        1e-9,
    )
    above = weights > 0
    alike = weights[above][(first - second)[above].abs().argmin()]
    bench.number("below this size L1 subtracts more, above it L2", 1.0, float(alike), 1e-9)
    left = shrunk(weights, steps, l2=lmbda)
    what = Message("share left by L2 after {steps} steps", steps=steps)
    bench.number(what, (1 - step) ** steps, float((left[above] / weights[above]).mean()), 1e-9)
    whole, weak = torch.ones(1, dtype=torch.float64), 1e-4 * ROWS
    bench.number(
        "share left by a step with lambda / n = 1e-4 and rate 0.5", 0.99995, float(shrunk(whole, 1, l2=weak)), 1e-12
    )
    bench.number("and by an epoch of 5000 such steps", 0.779, float(shrunk(whole, 5000, l2=weak)), 5e-4)
    bench.number(
        "a weight of 0 without a gradient stays 0 under L1",
        0.0,
        float(shrunk(torch.zeros(3, dtype=torch.float64), 20, l1=lmbda).abs().max()),
        0.0,
    )
    figure = empty_figure("weight", "subtracted per step")
    figure.add_scatter(x=weights.tolist(), y=first.tolist(), name="L1", line={"color": ORANGE})
    figure.add_scatter(x=weights.tolist(), y=second.tolist(), name="L2", line={"color": BLUE})
    bench.draw("L1 subtracts the same from all weights, L2 a share of each", figure)
    bench.number(
        "the gradient of the whole cost against differences, biases left out: largest gap",
        0.0,
        max(_gradient_gap(l1=0.0, l2=2.0), _gradient_gap(l1=2.0, l2=0.0)),
        1e-7,
    )


def _gradient_gap(*, l1: float, l2: float) -> float:
    """A step of the engine on a small network against central differences of cost and penalty, biases unpenalised."""
    rng = np.random.default_rng(0)
    X, y = torch.from_numpy(rng.normal(size=(20, 3))), torch.from_numpy(rng.integers(0, 2, 20))
    part = Rows(Inputs(numbers=X), y)
    spec = DenseSpec(inputs=3, hidden=(4,), outputs=2, activation="tanh", initialiser="large")
    state = spec.fresh_parameters(0)
    rate = 1e-3
    settings = Settings("softmax", "sgd", 20, 1, 1, dtype=torch.float64)
    after = train([Member(spec, 0, rate, momentum=0.0, l1=l1, l2=l2)], part, None, settings, initial=[state])
    names = list(state)

    def cost(values: dict[str, Tensor]) -> float:
        W0, b0, W1, b1 = (values[name] for name in names)
        logits = torch.tanh(X @ W0.T + b0) @ W1.T + b1
        penalty = sum(l2 / (2 * len(X)) * float((W * W).sum()) + l1 / len(X) * float(W.abs().sum()) for W in (W0, W1))
        return float(torch.nn.functional.cross_entropy(logits, y)) + penalty

    gap, h, result = 0.0, 1e-6, after.state_dict()
    for name in names:
        taken = (state[name] - result[name]) / rate
        for place in range(state[name].numel()):
            moved = []
            for side in (h, -h):
                values = {key: value.clone() for key, value in state.items()}
                values[name].view(-1)[place] += side
                moved.append(cost(values))
            gap = max(gap, abs(float(taken.reshape(-1)[place]) - (moved[0] - moved[1]) / (2 * h)))
    return gap


def by_epochs(begun: Sequence[Member], part: Rows, epochs: int) -> Iterator[Outcome]:
    """The same networks after every epoch, trained on from where they were."""
    steps, state = -(-len(part) // BATCH), None
    for epoch in range(epochs):
        settings = Settings("binary", "sgd", BATCH, steps, steps, batch_seed=epoch)
        result = train(begun, part, None, settings, initial=state)
        state = [result.state_dict(m) for m in range(len(begun))]
        yield result


def first_layer(found: Outcome, member: int) -> Tensor:
    """Its weights [units, inputs]."""
    state = found.state_dict(member)
    return next(value for value in state.values() if value.ndim == 2).double()


def sparse(bench: Bench) -> None:
    """L1 leaves few connections, L2 many small ones; neither makes the network worse."""
    data = digits()
    part = some(data.training, 500 if bench.quick else 1000)
    seeds, width = bench.seeds(5, 3), data.training.numbers.shape[1]
    plain = members(seeds, width, 30, 0.5)
    kinds = {
        "none": plain,
        "L2": [replace(one, l2=0.1) for one in plain],
        "L1": [replace(one, l1=0.1) for one in plain],
    }
    every = [one for kind in kinds.values() for one in kind]
    steps = -(-len(part) // BATCH) * (40 if bench.quick else 400)
    result = train(every, part, None, Settings("binary", "sgd", BATCH, steps, steps))
    held_out = some(data.test, 2000)
    right = (result.logits(held_out.numbers).argmax(-1) == held_out.targets).double().mean(1).numpy() * 100
    small = {name: [] for name in kinds}  # type: dict[str, list[float]]
    figure = empty_figure("size of a weight", "share of weights").update_xaxes(type="log")
    for place, name in enumerate(kinds):
        rows = range(place * len(plain), (place + 1) * len(plain))
        weights = torch.stack([first_layer(result, m) for m in rows]).abs().flatten()
        small[name] = [float((first_layer(result, m).abs() < 1e-3).double().mean()) for m in rows]
        counts, edges = np.histogram(np.log10(weights.clamp_min(1e-7).numpy()), 40, (-7, 1))
        middles = 10 ** ((edges[1:] + edges[:-1]) / 2)
        figure.add_scatter(x=middles, y=counts / counts.sum(), name=name, line={"color": KINDS[name]})
    bench.draw("What is left of the first layer's weights", figure)
    bench.holds(
        "L1 makes many more weights zero than L2 does",
        min(small["L1"]) > 5 * max(small["L2"]),
        ", ".join(f"{name} {np.mean(row):.1%}" for name, row in small.items()),
    )
    accuracy = {name: right[k * len(plain) : (k + 1) * len(plain)] for k, name in enumerate(kinds)}
    bench.holds(
        "and the network is no worse for it",
        accuracy["L1"].mean() > accuracy["none"].mean() - 1,
        ", ".join(f"{name} {row.mean():.1f} %" for name, row in accuracy.items()),
    )


def long_weights(bench: Bench) -> None:
    """Weight vectors grow without a penalty, and turn less for it."""
    data = digits()
    part = some(data.training, 500 if bench.quick else 1000)
    epochs, seeds, width = 40 if bench.quick else 200, bench.seeds(5, 3), data.training.numbers.shape[1]
    plain = [replace(one, learning_rate=0.5) for one in members(seeds, width, 30, 0.5)]
    every = [*plain, *(replace(one, l2=0.1 * len(part) / 1000 * 10) for one in plain)]
    lengths, turns, last = [], [], None  # type: list[Tensor], list[Tensor], Tensor | None
    for result in by_epochs(every, part, epochs):
        now = torch.stack([first_layer(result, m).flatten() for m in range(len(every))])
        lengths.append(now.norm(dim=1))
        if last is not None:
            turns.append(1 - torch.cosine_similarity(now, last))
        last = now
    length, turn = torch.stack(lengths), torch.stack(turns)
    free, held = slice(None, len(plain)), slice(len(plain), None)
    bench.holds(
        "without a penalty the weight vector is longer",
        bool((length[-1, free] > 2 * length[-1, held]).all()),
        Message("{free:.1f}, with it {held:.1f}", **_beside(length[-1, free], length[-1, held])),
    )
    late = slice(epochs // 2, None)
    bench.holds(
        "and its direction changes less from epoch to epoch",
        bool(turn[late, free].mean() < turn[late, held].mean()),
        Message("1 - cosine {free:.1e}, with a penalty {held:.1e}", **_beside(turn[late, free], turn[late, held])),
    )
    figure = empty_figure("epoch", "length of the first layer's weights")
    x = list(range(1, epochs + 1))
    for rows, name, colour in ((free, "no penalty", ORANGE), (held, "L2", BLUE)):
        figure.add_scatter(x=x, y=length[:, rows].mean(1).tolist(), name=name, line={"color": colour})
    bench.draw("Length of the weights", figure)


def steadier(bench: Bench) -> None:
    """What a penalty does to changed inputs, wrong labels, the luck of seeds, and what one on biases does."""
    data = digits()
    part, held_out = some(data.training, 500 if bench.quick else 1000), some(data.test, 2000)
    epochs, seeds, width = 60 if bench.quick else 300, bench.seeds(10, 5), data.training.numbers.shape[1]
    scaled = 1e-4 * len(part)
    plain = members(seeds, width, 30, 0.5)
    held = [replace(one, l2=10 * scaled) for one in plain]
    biases = [replace(one, penalise_biases=True) for one in held]
    result = _trained([*plain, *held, *biases], part, epochs)
    right = _right(result, held_out).reshape(3, -1)
    generator = torch.Generator().manual_seed(0)
    noise = 0.1 * torch.randn(held_out.numbers.shape, generator=generator)
    clean, noisy = (torch.sigmoid(result.logits(X)) for X in (held_out.numbers, held_out.numbers + noise))
    change = (noisy - clean).abs().mean((1, 2)).reshape(3, -1)
    bench.holds(
        "a penalised network changes its answer less when the inputs change",
        bool(change[1].mean() < change[0].mean()),
        Message("mean change {free:.4f}, with a penalty {held:.4f}", **_beside(change[0], change[1])),
    )
    wrong = part.targets.clone()
    at = torch.rand(len(part), generator=generator) < 0.2
    wrong[at] = torch.randint(10, (int(at.sum()),), generator=generator)
    muddled = _right(_trained([*plain, *held], replace(part, targets=wrong), epochs), held_out).reshape(2, -1)
    bench.holds(
        "and learns less of wrong labels",
        muddled[1].mean() > muddled[0].mean(),
        Message("a fifth of the labels random: {free:.1f} %, with a penalty {held:.1f} %", **_beside(*muddled)),
    )
    gap = right[2] - right[1]
    error = gap.std(ddof=1) / len(gap) ** 0.5
    bench.holds(
        "penalising biases too changes little",
        abs(gap.mean()) < max(0.5, 2 * error),
        Message("{gap:+.2f} ± {error:.2f} points", gap=gap.mean(), error=of_mean(gap).half_width()),
    )
    spread = right[:2].std(1, ddof=1)
    bench.holds(
        "the spread over seeds is smaller with it",
        spread[1] < spread[0],
        Message("standard deviation {free:.2f} points, with it {held:.2f}", **_beside(*spread)),
        why="with so few seeds two spreads differ clearly only if one is twice the other",
    )


def _trained(begun: Sequence[Member], part: Rows, epochs: int) -> Outcome:
    steps = -(-len(part) // BATCH) * epochs
    return train(begun, part, None, Settings("binary", "sgd", BATCH, steps, steps))


def _right(found: Outcome, part: Rows) -> np.ndarray:
    """Accuracy of each network in % [M]."""
    hits = (found.logits(part.numbers).argmax(-1) == part.targets).double().mean(1)
    percent: np.ndarray = 100 * hits.numpy()
    return percent


def by_heart(bench: Bench) -> None:
    """Many parameters fit anything: labels drawn by chance."""
    data = digits()
    rows, width = 300 if bench.quick else 1000, data.training.numbers.shape[1]
    part = some(data.training, rows)
    labels = torch.randint(10, (len(part),), generator=torch.Generator().manual_seed(0))
    chance = replace(part, targets=labels)
    spec = DenseSpec(inputs=width, hidden=(100,), outputs=10)
    steps = -(-len(part) // BATCH) * (60 if bench.quick else 150)
    settings = Settings("softmax", "adam", BATCH, steps, steps)
    result = train([Member(spec, seed, 1e-3) for seed in bench.seeds(5, 3)], chance, None, settings)
    what = Message("random labels are memorised: {rows} pictures", rows=rows)
    bench.number(what, 100.0, _right(result, chance), 0.5, unit=" %")
    held_out = some(data.test, 2000)
    other = _right(result, replace(held_out, targets=torch.randint(10, (len(held_out),))))
    bench.number("and new pictures are predicted by chance", 10.0, other, 2.0, unit=" %")
    counts = {units: DenseSpec(inputs=784, hidden=(units,), outputs=10).parameter_count() for units in (30, 100)}
    bench.number("parameters with 30 hidden units", 23860, counts[30], 0, of=DOCUMENT)
    bench.number("with 100, 'nearly 80,000'", 79510, counts[100], 0)
    _many_parameters(bench, data)


def _many_parameters(bench: Bench, data: Digits) -> None:
    """The gap by the number of parameters."""
    part, held_out = some(data.training, 500 if bench.quick else 2000), some(data.test, 2000)
    units = (2, 5, 20, 100) if bench.quick else (2, 5, 10, 30, 100, 300, 1000)
    gaps, fits, width = [], [], data.training.numbers.shape[1]
    for hidden in units:
        spec = DenseSpec(inputs=width, hidden=(hidden,), outputs=10)
        steps = -(-len(part) // BATCH) * 30
        result = train(
            [Member(spec, seed, 1e-3) for seed in bench.seeds(5, 3)],
            part,
            None,
            Settings("softmax", "adam", BATCH, steps, steps),
        )
        fits.append(_right(result, held_out))
        gaps.append(_right(result, part) - fits[-1])
    means, gap = (np.array([row.mean() for row in rows]) for rows in (fits, gaps))
    message = ", ".join(f"{h}: {f:.1f} % ({g:.1f})" for h, f, g in zip(units, means, gap, strict=True))
    bench.holds(
        "with more parameters than pictures networks still do well on new ones",
        means[-1] > means.max() - 2,
        Message("accuracy (and gap) by hidden units: {message}", message=message),
    )
    bench.holds(
        "a network that is too small has the smallest gap, and the worst accuracy",
        gap[0] < gap[-1] and means[0] == means.min(),
        Message("gap {gap:.1f} points at {units} units", gap=gap[0], units=units[0]),
    )
    figure = empty_figure("hidden units", "accuracy, %").update_xaxes(type="log")
    figure.add_scatter(x=units, y=means, name="new pictures", line={"color": BLUE})
    figure.add_scatter(x=units, y=means + gap, name="training", line={"color": GREY})
    bench.draw("Parameters by the hundred thousand, and still no worse on new pictures", figure)


def in_place_of_test(bench: Bench) -> None:
    """The same run watched on test and on validation pictures, and the first weights' part."""
    data, seeds = digits(), bench.seeds(5, 3)
    part, epochs, width = some(data.training, 1000), 40 if bench.quick else 400, data.training.numbers.shape[1]
    begun = members(seeds, width, 30, 0.5)
    curves = {
        name: learn(begun, part, some(rows, 10_000), epochs=epochs, every=4).accuracy
        for name, rows in (("test", data.test), ("validation", data.validation))
    }
    best = {name: curve.max(1) for name, curve in curves.items()}
    gap = best["validation"] - best["test"]
    together = np.corrcoef(curves["test"].mean(0), curves["validation"].mean(0))[0, 1]
    bench.holds(
        "the shape of the curve is the same on validation pictures",
        together > 0.95,
        Message("correlation of both curves {together:.3f}", together=together),
    )
    bench.number(
        "best accuracy on validation less that on test pictures, in points", 0.0, gap, 2.0 if bench.quick else 1.5
    )


LABS = (
    Lab(
        "shrinking",
        "L1 and L2, step by step",
        "L2 subtracts a share of each weight, L1 the same from all, and 0 stays 0",
        ("S1-87", "S1-88", "S1-102", "S1-103"),
        shrinking,
    ),
    Lab(
        "sparse",
        "Few weights or small ones",
        "L1 leaves a network few connections, L2 many small ones",
        ("S1-103",),
        sparse,
        seconds=6,
        needs_mnist=True,
    ),
    Lab(
        "long-weights",
        "Long weight vectors",
        "Without a penalty the weights grow long, and their direction changes less",
        ("S1-95",),
        long_weights,
        seconds=5,
        needs_mnist=True,
    ),
    Lab(
        "steadier",
        "Robustness by a penalty",
        "A penalised network is less sensitive to noise and wrong labels",
        ("S1-94", "S1-98", "S1-101"),
        steadier,
        seconds=12,
        needs_mnist=True,
    ),
    Lab(
        "random-labels",
        "Many parameters fit anything",
        "A network memorises random labels, and yet large networks do well on new pictures",
        ("S1-74", "S1-85", "S1-100"),
        by_heart,
        seconds=8,
        needs_mnist=True,
    ),
    Lab(
        "validation-for-test",
        "Validation in place of test",
        "The curves on test pictures and on validation pictures have the same shape",
        ("S1-119",),
        in_place_of_test,
        seconds=8,
        needs_mnist=True,
    ),
)

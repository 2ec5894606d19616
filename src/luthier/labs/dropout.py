"""Dropout: what is dropped, what stands in for it at test time, and what averaging many networks has to do with it."""

from __future__ import annotations

from math import comb

import numpy as np
import torch
from torch import Tensor

from luthier.classic.cs231n import DropoutNet
from luthier.drawing import BLUE, GREEN, GREY, ORANGE, empty_figure
from luthier.engine import Member, Outcome, Settings, train
from luthier.labs.lab import DOCUMENT, Bench, Lab
from luthier.labs.mnist import digits, members, some
from luthier.messages import Message
from luthier.nets import DenseSpec
from luthier.rows import Inputs, Rows
from luthier.statistics.paired import of_mean

BATCH = 32


def thinned(bench: Bench) -> None:
    """Which neurons learn in a step, and what the full network has to do with the thinned ones."""
    hidden, rate = 60, 0.5
    spec = DenseSpec(inputs=8, hidden=(hidden,), outputs=3, activation="sigmoid", initialiser="large")
    rng = np.random.default_rng(0)
    X, y = torch.from_numpy(rng.normal(size=(1, 8))).float(), torch.zeros(1, dtype=torch.int64)
    row = Rows(Inputs(numbers=X), y)
    state: dict[str, Tensor] = {name: value.float() for name, value in spec.fresh_parameters(0).items()}
    first, last = (name for name, value in state.items() if value.ndim == 2)
    moved: list[Tensor] = []
    earlier = state
    for step in (1, 2):
        settings = Settings("softmax", "sgd", 1, step, step)
        member = Member(spec, 7, rate, momentum=0.0, dropout=(0.5,))
        after = train([member], row, None, settings, initial=[state]).state_dict()
        before = earlier
        moved.append((after[first] - before[first]).abs().sum(1) > 0)
        out = (after[last] - before[last]).abs().sum(0) > 0
        if step == 1:
            bench.holds(
                "dropped units do not learn, neither their incoming nor their outgoing weights",
                bool(torch.equal(moved[0], out)),
                Message("{moved} of {hidden} learnt", moved=int(moved[0].sum()), hidden=hidden),
            )
        earlier = after
    bench.number("share of dropped units", 0.5, [1 - float(one.float().mean()) for one in moved], 0.15, of=DOCUMENT)
    bench.holds(
        "the next step drops other units",
        not torch.equal(moved[0], moved[1]),
        Message("{value} of {hidden} differ", value=int((moved[0] != moved[1]).sum()), hidden=hidden),
    )
    bench.note("every row has its own mask, as in libraries; with one row per batch that is the book's rule")
    _halved(bench)


def _halved(bench: Bench) -> None:
    """The mean over thinned networks against the full one, in both ways of scaling."""
    X, masks = np.random.default_rng(1).normal(size=(6, 1)), 4000 if bench.quick else 40_000
    gaps = {}
    for inverted in (False, True):
        net = DropoutNet((6, 40, 30, 4), p=0.5, inverted=inverted)
        rng, pre = np.random.default_rng(2), []
        H = np.maximum(0, net.W[0] @ X + net.b[0])
        for _ in range(masks):
            U = (rng.random(H.shape) < net.p) / (net.p if inverted else 1)
            pre.append(net.W[1] @ (H * U) + net.b[1])
        drawn = np.stack(pre)
        full = net.W[1] @ (H * (1.0 if inverted else net.p)) + net.b[1]
        gaps[inverted] = float(np.abs((drawn.mean(0) - full) / (drawn.std(0) / masks**0.5)).max())
        bench.holds(
            Message(
                "the mean input of the next layer is that of the full network with {value}",
                value="activations scaled in training" if inverted else "halved weights",
            ),
            gaps[inverted] < 4.5,
            Message("at most {gaps:.1f} standard errors apart", gaps=gaps[inverted]),
        )
    plain, scaled = (DropoutNet((6, 40, 30, 4), p=0.5, inverted=inverted) for inverted in (False, True))
    for k in range(2):
        scaled.W[k + 1] = plain.W[k + 1] * plain.p
    bench.number(
        "both ways predict the same at test time: largest gap",
        0.0,
        float(np.abs(plain.predict(X) - scaled.predict(X)).max()),
        1e-12,
    )
    kept = [float(_masks(seed).mean()) for seed in range(5)]
    bench.number("share of kept units at a keep probability of 0.5", 0.5, kept, 0.02, of=DOCUMENT)


def _masks(seed: int) -> np.ndarray:
    """What a network keeps of its hidden units in a step."""
    net = DropoutNet((50, 400, 400, 2), seed=seed)
    net.train_step(np.ones((50, 5)))
    return np.concatenate([(mask > 0).ravel() for mask in net.masks])


def voting(bench: Bench) -> None:
    """Five voters that are right in 70 % of cases; and networks that vote."""
    share = sum(comb(5, k) * 0.7**k * 0.3 ** (5 - k) for k in (3, 4, 5))
    rng = np.random.default_rng(0)
    drawn = (rng.random((200_000, 5)) < 0.7).sum(1) >= 3
    bench.number("five independent voters, each right in 70 %, by majority", 0.837, float(drawn.mean()), 3e-3)
    bench.number("the same by counting", 0.837, share, 5e-4)
    data = digits()
    part, held_out = some(data.training, 500 if bench.quick else 1000), some(data.test, 2000)
    steps = -(-len(part) // 10) * (40 if bench.quick else 200)
    begun = members(range(5 if bench.quick else 15), data.training.numbers.shape[1], 30, 0.5)
    logits = train(begun, part, None, Settings("binary", "sgd", 10, steps, steps)).logits(held_out.numbers)
    answers = logits.argmax(-1)
    single = (answers == held_out.targets).double().mean(1).numpy() * 100
    majority = 100 * float((torch.mode(answers, 0).values == held_out.targets).double().mean())
    mean = 100 * float((torch.softmax(logits, -1).mean(0).argmax(-1) == held_out.targets).double().mean())
    bench.holds(
        "networks that vote, or whose probabilities are averaged, beat the mean of single networks",
        majority > single.mean() and mean > single.mean(),
        Message(
            "{count} networks {single:.1f} %, by vote {majority:.1f} %, averaged {mean:.1f} %",
            count=len(single),
            single=single.mean(),
            majority=majority,
            mean=mean,
        ),
    )
    wrong = (answers != held_out.targets).double()
    together = float((wrong[0] * wrong[1]).mean() / (wrong[0].mean() * wrong[1].mean()))
    bench.holds(
        "they gain less than independent voters would, because they make errors on the same pictures",
        together > 1,
        Message("two networks are wrong together {together:.1f} times as often as by chance", together=together),
    )


def _learnt(
    bench: Bench, rates: tuple[float, ...], seeds: int, l2: float = 0.0
) -> tuple[Rows, Rows, dict[float, Outcome]]:
    """Networks of two hidden layers by their probability to drop, on few pictures."""
    data = digits()
    part, held_out = some(data.training, 1000 if bench.quick else 2000), some(data.test, 2000)
    spec = DenseSpec(inputs=data.training.numbers.shape[1], hidden=(200, 200), outputs=10)
    steps = -(-len(part) // BATCH) * (30 if bench.quick else 60)
    settings = Settings("softmax", "adam", BATCH, steps, steps)
    result = {
        p: train([Member(spec, seed, 1e-3, dropout=(p, p), l2=l2) for seed in range(seeds)], part, None, settings)
        for p in rates
    }
    return part, held_out, result


def missing_evidence(bench: Bench) -> None:
    """Hidden units taken away after training: networks that learnt with dropout miss them less."""
    rates = (0.0, 0.25, 0.5)
    _, held_out, result = _learnt(bench, rates, len(bench.seeds(5, 3)))
    shares = (0.0, 0.2, 0.4, 0.6, 0.8)
    curves = {
        p: np.array([[_ablated(one, m, held_out, share) for share in shares] for m in range(len(one.members))])
        for p, one in result.items()
    }
    at = shares.index(0.6)
    bench.holds(
        "with 60 % of the units removed, the network trained with dropout is more accurate",
        curves[0.5][:, at].min() > curves[0.0][:, at].max(),
        ", ".join(f"p = {p}: {curve[:, at].mean():.1f} %" for p, curve in curves.items()),
    )
    figure = empty_figure("share of removed hidden units", "accuracy, %")
    for (p, curve), colour in zip(curves.items(), (GREY, GREEN, BLUE), strict=True):
        figure.add_scatter(x=shares, y=curve.mean(0), name=f"dropout {p}", line={"color": colour})
    bench.draw("After dropout, accuracy depends less on single units", figure)


def _ablated(found: Outcome, member: int, part: Rows, share: float) -> float:
    """Accuracy in % with a share of the hidden units silenced, the rest scaled up; the mean over draws."""
    layers = [value for value in found.state_dict(member).values() if value.ndim == 2]
    biases = [value for value in found.state_dict(member).values() if value.ndim == 1]
    generator, right = torch.Generator().manual_seed(0), []
    for _ in range(5):
        a = part.numbers
        for W, b in zip(layers[:-1], biases[:-1], strict=True):
            kept = (torch.rand(len(b), generator=generator) >= share).float() / (1 - share)
            a = torch.relu(a @ W.T + b) * kept
        told = (a @ layers[-1].T + biases[-1]).argmax(1)
        right.append(100 * float((told == part.targets).double().mean()))
    return float(np.mean(right))


def with_penalty(bench: Bench) -> None:
    """Dropout alone, with L2, and neither: the order that the literature has, on fewer pictures."""
    seeds, kinds = len(bench.seeds(5, 3)), {}
    data = digits()
    lmbda = 0.05 if bench.quick else 0.1
    for name, p, l2 in (("neither", 0.0, 0.0), ("L2", 0.0, lmbda), ("dropout", 0.5, 0.0), ("both", 0.5, lmbda)):
        _, held_out, result = _learnt(bench, (p,), seeds, l2)
        hits = (result[p].logits(held_out.numbers).argmax(-1) == held_out.targets).double().mean(1)
        kinds[name] = 100 * hits.numpy()
    message = ", ".join(f"{name} {row.mean():.1f} ± {of_mean(row).half_width():.1f} %" for name, row in kinds.items())
    bench.holds("dropout beats neither", kinds["dropout"].mean() > kinds["neither"].mean(), message)
    gap = kinds["both"] - kinds["dropout"]
    error = gap.std(ddof=1) / len(gap) ** 0.5
    bench.holds(
        "and L2 with dropout does no harm",
        gap.mean() > -2 * error - 0.2,
        f"{gap.mean():+.2f} ± {of_mean(gap).half_width():.2f}",
    )
    if data.is_mnist:
        bench.note("the literature's 98.4 and 98.7 % are of 60,000 pictures and larger networks")
    figure = empty_figure("", "accuracy on new pictures, %").update_layout(showlegend=False)
    for (name, row), colour in zip(kinds.items(), (GREY, ORANGE, BLUE, GREEN), strict=True):
        figure.add_box(y=row, name=name, marker={"color": colour}, boxpoints="all")
    bench.draw("Dropout, a penalty, and both", figure)


LABS = (
    Lab(
        "thinned",
        "Thinned networks",
        "Each step trains a random half of the hidden neurons; halved weights stand in for them",
        ("S1-104", "S1-105", "S2-31", "S2-32", "S2-33", "S2-34"),
        thinned,
        seconds=2,
    ),
    Lab(
        "voting",
        "Voting",
        "Many networks together are right more often than one",
        ("S1-106",),
        voting,
        seconds=5,
        needs_mnist=True,
    ),
    Lab(
        "missing-evidence",
        "Missing evidence",
        "A network trained with dropout depends less on single units",
        ("S1-107",),
        missing_evidence,
        seconds=9,
        needs_mnist=True,
    ),
    Lab(
        "dropout-and-penalty",
        "Dropout with a penalty",
        "Dropout helps, also together with L2",
        ("S1-108",),
        with_penalty,
        seconds=14,
        needs_mnist=True,
    ),
)

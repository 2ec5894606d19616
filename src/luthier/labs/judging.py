"""Choosing and judging: a rate by a range test, what matters, what a validation set is worth, and the recipe."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import torch

from luthier.drawing import BLUE, ORANGE, empty_figure
from luthier.engine import Member, Settings, range_test, train
from luthier.labs.depth import digits_part
from luthier.labs.lab import Bench, Lab
from luthier.messages import Message
from luthier.nets import DenseSpec
from luthier.search.spaces.sensitivity import variance_shares
from luthier.statistics.paired import of_mean

WIDTHS, BATCHES = (8, 32, 128), (16, 64)


def finder(bench: Bench) -> None:
    """The rate raised step by step, and trainings at rates around the one it picks."""
    part, held_out = digits_part()
    spec, seeds, steps = DenseSpec(inputs=64, hidden=(40,), outputs=10), bench.seeds(5, 3), 400
    rules = {}
    figure = empty_figure("rate", "training loss").update_xaxes(type="log")
    for rule, colour in (("sgd", ORANGE), ("adam", BLUE)):
        test = range_test(
            spec,
            part,
            Settings(rule=rule, loss="softmax", batch_size=32, steps=100, evaluate_every=100),
            seeds=list(seeds),
        )
        figure.add_scatter(x=test.rates, y=test.losses, name=rule, line={"color": colour})
        figure.add_vline(x=test.pick, line={"color": colour, "dash": "dot"})
        rates = [test.pick * factor for factor in (0.01, 1.0, 100.0)]
        result = train(
            [Member(spec, s, rate) for rate in rates for s in seeds],
            part,
            held_out,
            Settings("softmax", rule, 32, steps, steps),
        )
        losses = np.nan_to_num(result.best_validation_loss, nan=10.0, posinf=10.0).reshape(3, -1).mean(1)
        rules[rule] = losses
        known = [loss if loss is not None else np.inf for loss in test.losses]
        worst = (
            test.rates[int(np.argmax(np.array(known) > 2 * known[0]))] if max(known) > 2 * known[0] else test.rates[-1]
        )
        bench.holds(
            Message("the suggested rate for {rule} is below the rate at which the loss diverges", rule=rule),
            test.pick < worst,
            Message("{pick:.2g}, diverging from {worst:.2g}", pick=test.pick, worst=worst),
        )
        bench.holds(
            Message("and is better than a hundredth of it and a hundred times it, {rule}", rule=rule),
            losses.argmin() == 1,
            ", ".join(f"{r:.2g}: {v:.3f}" for r, v in zip(rates, losses, strict=True)),
        )
    bench.draw("The range test and its suggestion", figure)


def matters(bench: Bench) -> None:
    """Random settings, and the share of what came of them that each hyper-parameter explains."""
    training, held_out = digits_part()
    part = training.rows(torch.arange(400))
    names = ("learning rate", "momentum (beta1)", "beta2", "epsilon", "hidden units", "mini-batch size")
    rng, points, values = np.random.default_rng(0), [], []
    each = 40 if bench.quick else 120
    for width_place, width in enumerate(WIDTHS):
        for batch_place, batch in enumerate(BATCHES):
            draws = rng.random((each, 4))
            spec = DenseSpec(inputs=64, hidden=(width,), outputs=10)
            every = [
                Member(
                    spec,
                    seed,
                    10 ** (-4 + 4 * r),
                    betas=(1 - 10 ** (-0.3 - 1.7 * m), 1 - 10 ** (-1 - 3 * v)),
                    epsilon=10 ** (-10 + 4 * e),
                )
                for seed, (r, m, v, e) in enumerate(draws)
            ]
            steps = 8 * 400 // batch
            result = train(every, part, held_out, Settings("softmax", "adam", batch, steps, steps))
            losses = np.nan_to_num(result.best_validation_loss, nan=1e3, posinf=1e3)
            indices = np.full((each, 2), [(width_place + 0.5) / len(WIDTHS), (batch_place + 0.5) / len(BATCHES)])
            points.append(np.hstack([draws, indices]))
            values.append(losses)
    losses = np.concatenate(values)
    ranks = np.argsort(np.argsort(losses, kind="stable"), kind="stable") / (len(losses) - 1)
    shares = variance_shares(np.vstack(points), ranks)
    mean = dict(zip(names, shares.mean(0), strict=True))
    order = sorted(mean, key=lambda name: -mean[name])
    bench.holds(
        "the learning rate matters most",
        order[0] == "learning rate",
        ", ".join(f"{name} {mean[name]:.0%}" for name in order),
    )
    bench.holds(
        "and Adam's epsilon hardly at all",
        mean["epsilon"] < 0.05 and mean["epsilon"] < mean["learning rate"] / 10,
        Message(
            "{mean:.1%}, ranked {order} of {count}",
            mean=mean["epsilon"],
            order=order.index("epsilon") + 1,
            count=len(order),
        ),
    )
    figure = empty_figure("share of the variance", "").update_layout(showlegend=False)
    figure.add_bar(
        x=[mean[name] for name in reversed(order)], y=list(reversed(order)), orientation="h", marker={"color": BLUE}
    )
    bench.draw(Message("Importance over {count} random settings", count=len(losses)), figure)


def optimism(bench: Bench) -> None:
    """The best of many settings on a validation set is less good on a test set."""
    training, rest = digits_part()
    part, drops, bests = training.rows(torch.arange(150)), [], []
    spec, count = DenseSpec(inputs=64, hidden=(16,), outputs=10), 200
    rng = np.random.default_rng(0)
    every = [
        Member(spec, seed, 10 ** rng.uniform(-3, -1.5), dropout=(float(rng.uniform(0, 0.5)),)) for seed in range(count)
    ]
    result = train(every, part, None, Settings("softmax", "adam", 32, 150, 150))
    hits = (result.logits(rest.numbers).argmax(-1) == rest.targets).double()
    for split in range(200 if bench.quick else 2000):
        order = torch.randperm(len(rest), generator=torch.Generator().manual_seed(split))
        validation, test = (hits[:, rows].mean(1) for rows in (order[:100], order[100:]))
        best = int(validation.argmax())
        drops.append(float(validation[best] - test[best]))
        bests.append([float(validation[:k].max() - test[int(validation[:k].argmax())]) for k in (1, 5, 20, 50, 200)])
    drop = 100 * np.array(drops)
    bench.holds(
        "the best on validation rows is less good on test rows",
        bool(drop.mean() > of_mean(drop).half_width() and drop.mean() > 0.5),
        Message("{drop:.1f} points less, best of {count} on 100 rows", drop=drop.mean(), count=count),
    )
    curve = 100 * np.array(bests).mean(0)
    bench.holds(
        "the estimate is unbiased for a single setting, and the more settings are compared, the more optimistic it is",
        bool(abs(curve[0]) < 0.5 and curve[-1] > curve[1] > curve[0]),
        ", ".join(f"best of {k}: {value:+.1f}" for k, value in zip((1, 5, 20, 50, 200), curve, strict=True)),
    )
    figure = empty_figure("settings compared", "validation less test accuracy, points").update_xaxes(type="log")
    figure.add_scatter(x=[1, 5, 20, 50, 200], y=curve, line={"color": ORANGE}, name="optimism")
    bench.draw("Selection makes validation scores optimistic", figure)


def noise_columns(bench: Bench) -> None:
    """Uninformative columns are memorised."""
    training, validation = digits_part()
    few = training.rows(torch.arange(300))
    counts, accuracy, gaps = (0, 64, 256, 1024), [], []
    for extra in counts:
        parts = []
        for k, part in enumerate((few, validation)):
            noise = torch.randn(len(part), extra, generator=torch.Generator().manual_seed(k))
            parts.append(part.with_inputs(numbers=torch.cat([part.numbers, noise], 1)))
        spec = DenseSpec(inputs=64 + extra, hidden=(40,), outputs=10)
        result = train(
            [Member(spec, s, 1e-3) for s in bench.seeds(5, 3)],
            parts[0],
            None,
            Settings("softmax", "adam", 32, 300, 300),
        )
        scores = [100 * (result.logits(p.numbers).argmax(-1) == p.targets).double().mean(1).numpy() for p in parts]
        accuracy.append(scores[1].mean())
        gaps.append((scores[0] - scores[1]).mean())
    bench.holds(
        "columns of noise widen the gap, and removing them closes it",
        bool(all(np.diff(gaps) > 0) and accuracy[0] == max(accuracy)),
        ", ".join(f"{n} columns: {a:.1f} %, gap {g:.1f}" for n, a, g in zip(counts, accuracy, gaps, strict=True)),
    )
    figure = empty_figure("columns of noise", "%")
    figure.add_scatter(x=counts, y=accuracy, name="accuracy on new rows", line={"color": BLUE})
    figure.add_scatter(x=counts, y=gaps, name="gap to the training rows", line={"color": ORANGE})
    bench.draw("The cost of uninformative inputs", figure)


def six_steps(bench: Bench) -> None:
    """The whole recipe on a small table, and what its checklist says afterwards."""
    from luthier.recipe import follows
    from luthier.recipe.checklist import AFTER_TEST, GATES, checklist, in_lines
    from luthier.runs import fit
    from luthier.runs.screen import SilentScreen

    with tempfile.TemporaryDirectory() as folder:
        result = fit("wine", budget="600steps", run=Path(folder) / "run", screen=SilentScreen())
        assert result is not None
        records, headline = list(result.ledger), result.scores["headline"]
    decisions = [record for record in records if record["kind"] == "decision"]
    steps = [int(record["step"]) for record in decisions]
    firsts = sorted(set(steps), key=steps.index)
    bench.holds(
        "the steps come in their order",
        firsts == sorted(firsts) and {1, 2, 3, 4} <= set(steps),
        Message("{count} decisions in steps {firsts}", count=len(decisions), firsts=firsts),
    )
    bench.holds(
        "every decision has a reason and follows from its evidence",
        all(record["reason"] and follows(record) for record in decisions),
        Message("all {count}", count=len(decisions)),
    )
    lowest = float(headline["low"])
    bench.holds(
        "the result is better than the most frequent class",
        lowest > 0.4,
        Message("accuracy {headline:.3f}, at least {lowest:.3f}", headline=headline["value"], lowest=lowest),
    )
    codes = [record["code"] for record in decisions if record["step"] == 3]
    rates, experiments = ([k for k, code in enumerate(codes) if code == of] for of in ("learning-rate", "experiment"))
    bench.holds(
        "the learning rate comes first, then the experiment in which it varies with its decay and the rest",
        bool(rates and experiments) and rates[0] == 0 and max(rates) < min(experiments),
        ", ".join(codes),
    )
    ticked = checklist(records)
    closed = {record["step"] for record in decisions if record["code"] in GATES and record["choice"]}
    forward = [one for one in ticked if one.item != AFTER_TEST]  # the way back is open as long as nobody takes it
    left = [one.item.what for one in forward if one.status == "open" and one.item.step in (1, 2, 5)]
    bench.holds("steps 1, 2 and 5 are done", not left, Message("open: {left}", left=left))
    gates = [one for one in ticked if set(one.item.codes) & set(GATES)]
    bench.holds(
        "a gate is ticked where it was passed, and nowhere else",
        len(gates) == len(GATES) and all((one.status == "done") == (one.item.step in closed) for one in gates),
        Message("passed: steps {closed}", closed=sorted(closed)),
    )
    for line in in_lines(ticked):
        bench.note(line)


LABS = (
    Lab(
        "rate-finder",
        "The rate finder",
        "A rate below the point of divergence, found by raising it, beats guesses",
        ("S4-08", "S4-09", "S4-10"),
        finder,
        seconds=4,
    ),
    Lab(
        "what-matters",
        "What matters",
        "The learning rate matters most, Adam's epsilon hardly",
        ("S0-02",),
        matters,
        seconds=8,
    ),
    Lab(
        "optimism",
        "Selection makes validation scores optimistic",
        "The best of many settings on a validation set is worse on new rows",
        ("S4-45",),
        optimism,
        seconds=4,
    ),
    Lab(
        "noise-columns",
        "Columns of noise",
        "Uninformative inputs are memorised",
        ("S4-42",),
        noise_columns,
        seconds=3,
    ),
    Lab(
        "six-steps",
        "The whole recipe",
        "Six steps in their order, each with its evidence",
        ("S4-01", "S4-21", "S4-22", "S4-50"),
        six_steps,
        seconds=10,
    ),
)

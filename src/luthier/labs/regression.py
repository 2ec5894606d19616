"""Linear regression against its closed form, polynomials against a line, and maximum likelihood."""

from __future__ import annotations

import numpy as np
import torch

from luthier.classic.network import sigmoid
from luthier.classic.synthetic import synthetic_data
from luthier.drawing import BLUE, ORANGE, empty_figure
from luthier.engine import Member, Population, Settings
from luthier.engine.feed import batches_for, prepared
from luthier.labs.lab import Bench, Lab
from luthier.messages import Message
from luthier.nets import DenseSpec
from luthier.objective import LOSSES
from luthier.rows import Inputs, Rows

POINTS = (
    (0.7, 1.8),
    (1.3, 2.2),
    (1.9, 4),
    (2.6, 5),
    (2.9, 6.1),
    (3.6, 7),
    (3.8, 7.4),
    (3.95, 8),
    (4.4, 9.1),
    (4.9, 10),
)
TRUE_W, TRUE_B, NOISE, ROWS, BATCH, RATE = (2.0, -3.4), 4.2, 0.01, 1000, 10, 0.03


def linear_rows(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Features [N, 2] and labels [N] in float64."""
    X, y = synthetic_data(TRUE_W, TRUE_B, ROWS, noise=NOISE, seed=seed)
    return X.asnumpy().astype(float), y.asnumpy().astype(float)


def closed_form(bench: Bench) -> None:
    """The listing's set-up: minibatches of 10, rate 0.03, three epochs, by the engine.

    Its loss has a half that the engine's has not, so the engine takes half the rate.
    """
    losses, weights, gaps = [], [], []
    for seed in bench.seeds(500, 20):
        X, y = linear_rows(seed)
        part = Rows(Inputs(numbers=torch.tensor(X)), torch.tensor(y))
        settings = Settings("mse", "sgd", BATCH, 400, 400, dtype=torch.float64, batch_seed=seed)
        spec = DenseSpec(inputs=2, hidden=(), outputs=1, initialiser="normal", deviation=0.01)
        population = Population.of([Member(spec, seed, RATE / 2, momentum=0.0)], settings, ROWS)
        batches, result = batches_for(population, part), []
        for step in range(400):
            population.step([batches.at(step)], step + 1, population.rates.at(step))
            if step % 100 == 99:
                out = population.outputs(prepared(population, part))[0, :, 0]
                result.append(float(((out - part.targets) ** 2 / 2).mean()))
            if step == 299:
                state = population.kind.state_dict(population.state.parameters, population.state.buffers)
                weights.append([*state["layers.0.weight"][0].tolist(), float(state["layers.0.bias"][0])])
        losses.append(result)
        exact = np.linalg.lstsq(np.column_stack([X, np.ones(ROWS)]), y, rcond=None)[0]
        last = population.kind.state_dict(population.state.parameters, population.state.buffers)
        learnt = np.array([*last["layers.0.weight"][0].tolist(), float(last["layers.0.bias"][0])])
        gaps.append(float(np.abs(learnt - exact).max()))
    table, found_weights = np.array(losses), np.array(weights)
    for epoch, (printed, within) in enumerate(((0.0383, 0.004), (0.000148, 2e-5), (0.000050, 2e-6))):
        bench.number(Message("mean loss after epoch {epoch}", epoch=epoch + 1), printed, table[:, epoch], within)
    printed_losses = (0.040592, 0.000156, 0.000051)
    inside = all(table[:, k].min() <= value <= table[:, k].max() for k, value in enumerate(printed_losses))
    bench.holds(
        "the printed run lies within the seeds'",
        inside,
        str(table[:, :3].mean(0).round(6).tolist()),
        printed=str(printed_losses),
    )
    for name, truth, values in zip(("w1", "w2", "b"), (*TRUE_W, TRUE_B), found_weights.T, strict=True):
        bench.number(Message("{name} after three epochs", name=name), truth, values, 0.0006)
    share = float((np.array(gaps) < 1e-3).mean())
    bench.holds(
        "after four epochs descent is within 0.001 of the closed form in every seed",
        share == 1.0,
        Message(
            "{share:.0%} of {count} seeds, the largest gap {gaps:.1e}", share=share, count=len(gaps), gaps=max(gaps)
        ),
    )


def polynomials(bench: Bench) -> None:
    """Ten points, a line, and a polynomial that meets them all."""
    x, y = np.array(POINTS).T
    nine = np.polynomial.Polynomial.fit(x, y, 9, domain=[0, 1], window=[0, 1])
    bench.number("largest residual of degree 9", 0.0, float(np.abs(nine(x) - y).max()), 1e-6)
    bench.number("its leading coefficient", 0.2205, float(nine.coef[-1]), 1e-3)
    bench.number("root mean square of the residuals of y = 2x", 0.266, float(np.sqrt(((y - 2 * x) ** 2).mean())), 5e-4)
    bench.number("the polynomial at 6", 2974, float(nine(6.0)), 8.0)
    bench.number("at 10, in millions", 10.0, float(nine(10.0)) / 1e6, 0.5)
    rng, fresh = np.random.default_rng(0), []
    for _ in range(200):
        at = rng.uniform(0.7, 4.9, 50)
        truth = 2 * at + 0.27 * rng.standard_normal(50)
        noisy = 2 * x + 0.27 * rng.standard_normal(len(x))
        bent = np.polynomial.Polynomial.fit(x, noisy, 9)
        line = np.polynomial.Polynomial.fit(x, noisy, 1)
        fresh.append([np.sqrt(((bent(at) - truth) ** 2).mean()), np.sqrt(((line(at) - truth) ** 2).mean())])
    errors = np.median(fresh, 0)
    bench.holds(
        "where the truth is a line with noise, the line predicts new points better",
        errors[1] < errors[0],
        Message("median error {errors:.2f}, degree 9 {errors_2:.2f}", errors=errors[1], errors_2=errors[0]),
    )
    curve = np.linspace(0.6, 5.0, 200)
    wrong = float(np.sqrt(((2 * curve - nine(curve)) ** 2).mean()))
    bench.holds(
        "were the polynomial the truth, the line would be wrong", wrong > 0.2, Message("by {wrong:.2f}", wrong=wrong)
    )
    figure = empty_figure("x", "y").update_yaxes(range=[0, 12])
    figure.add_scatter(x=x, y=y, mode="markers", name="ten points", marker={"color": "#888888"})
    figure.add_scatter(x=curve, y=nine(curve), name="degree 9", line={"color": ORANGE})
    figure.add_scatter(x=curve, y=2 * curve, name="y = 2x", line={"color": BLUE})
    bench.draw("Both explain the points; only new points show which one is right", figure)


def likelihood(bench: Bench) -> None:
    """Likelihood, its logarithm, its derivative set to zero, solved."""
    rng = np.random.default_rng(0)
    flips = rng.random(400) < 0.3
    bench.number("the likeliest p of coin flips is their mean", float(flips.mean()), likeliest(flips), 1e-9)
    values = rng.normal(3, 2, 500)
    mean, variance = values.mean(), values.var()
    least = likeliest(values, "mse")
    bench.number("the likeliest mean of a normal, by least squares, is theirs", float(mean), least, 1e-9)

    def normal(m: float, v: float) -> float:
        return float(-0.5 * np.log(v) * len(values) - ((values - m) ** 2).sum() / (2 * v))

    around = [normal(mean + d, variance + e) for d in (-0.01, 0, 0.01) for e in (-0.02, 0, 0.02)]
    bench.holds(
        "of a normal it is the mean and the variance with 1/n",
        max(around) == around[4],
        Message(
            "log likelihood {around:.3f}, elsewhere at most {around_2:.3f}",
            around=around[4],
            around_2=max(around[:4] + around[5:]),
        ),
    )
    sizes = (100, 400, 1600, 6400)
    errors = [np.std([likeliest(rng.random(n) < 0.5) for _ in range(300)]) for n in sizes]
    ratios = [float(2 * error * np.sqrt(n)) for error, n in zip(errors, sizes, strict=True)]
    bench.number("the error of p over the root of p (1 - p) / n is constant", 1.0, ratios, 0.08)
    X = torch.tensor(rng.standard_normal((300, 4)))
    y = torch.tensor(rng.integers(0, 3, 300))
    result = {}
    for name in ("cross-entropy", "likelihood"):
        W = torch.zeros(4, 3, dtype=torch.float64, requires_grad=True)
        rule = torch.optim.LBFGS(
            [W], max_iter=500, tolerance_grad=1e-12, tolerance_change=0, line_search_fn="strong_wolfe"
        )

        def closure(W: torch.Tensor = W, rule: torch.optim.Optimizer = rule, name: str = name) -> torch.Tensor:
            rule.zero_grad()
            P = torch.softmax(X @ W, 1)
            picked = P[torch.arange(300), y]
            value = (
                LOSSES["softmax"].mean((X @ W)[None], y)[0] if name == "cross-entropy" else -picked.log().sum() / 300
            )
            value.backward()  # type: ignore[no-untyped-call]
            return value

        rule.step(closure)  # type: ignore[no-untyped-call]
        result[name] = W.detach()
    gap = float((result["cross-entropy"] - result["likelihood"]).abs().max())
    bench.number("minimum cross-entropy and maximum likelihood coincide: largest gap of weights", 0.0, gap, 1e-6)
    P = torch.softmax(X @ result["likelihood"], 1)
    equation = X.T @ (P - torch.nn.functional.one_hot(y, 3))
    bench.number("there the likelihood equation holds: X'(P - Y)", 0.0, float(equation.abs().max()), 1e-6)


def likeliest(rows: np.ndarray, loss: str = "binary") -> float:
    """The number at which the loss of the engine is least for all rows: where its derivative changes sign."""
    targets = torch.from_numpy(rows.astype(float))
    low, high = -20.0, 20.0
    while high - low > 1e-12:
        middle = (low + high) / 2
        z = torch.full((1, len(rows), 1), middle, dtype=torch.float64)
        low, high = (middle, high) if float(LOSSES[loss].residual(z, targets).mean()) < 0 else (low, middle)
    return float(sigmoid(low)) if loss == "binary" else low


LABS = (
    Lab(
        "linear-regression",
        "Linear regression, many times",
        "Minibatch descent converges to the closed form; the printed losses are those of one seed",
        ("S3-05", "S3-06", "S3-10", "S3-21", "S3-22"),
        closed_form,
        seconds=3,
    ),
    Lab(
        "polynomials",
        "Ten points",
        "A polynomial through all points and a line explain them; they differ where there are none",
        ("S1-96", "S1-97"),
        polynomials,
    ),
    Lab(
        "likelihood",
        "Maximum likelihood",
        "Minimum cross-entropy and maximum likelihood have the same solution",
        ("S3-35", "S3-36", "S3-37"),
        likelihood,
    ),
)

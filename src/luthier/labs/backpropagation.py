"""Backpropagation looked at from every side: notation, errors, four equations, counts, paths, and what it costs."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable

import numpy as np

from luthier.classic.network import Network, sigmoid, sigmoid_prime
from luthier.classic.network2 import CrossEntropyCost, QuadraticCost, vectorized_result
from luthier.classic.network2 import Network as SecondNetwork
from luthier.drawing import BLUE, ORANGE, empty_figure
from luthier.labs.lab import DOCUMENT, Bench, Lab
from luthier.messages import Message
from luthier.nets import DenseSpec

SIZES = (3, 4, 3, 2)


def quadratic(net: Network, x: np.ndarray, y: np.ndarray) -> float:
    """The cost of one sample."""
    return QuadraticCost.fn(net.feedforward(x), y)


def errors(net: Network, x: np.ndarray, y: np.ndarray) -> list[np.ndarray]:
    """The error dC/dz of every layer, first hidden one first."""
    return net.backprop(x, y)[0]


def sample(seed: int = 0) -> tuple[Network, np.ndarray, np.ndarray]:
    """A small network, an input and a target."""
    rng = np.random.default_rng(seed)
    return Network(SIZES, seed=seed), rng.random((SIZES[0], 1)), rng.random((SIZES[-1], 1))


def _difference(value: np.ndarray, place: tuple[int, ...], cost: Callable[[], float], h: float = 1e-6) -> float:
    kept = value[place]
    value[place] = kept + h
    above = cost()
    value[place] = kept - h
    below = cost()
    value[place] = kept
    return (above - below) / (2 * h)


def notation(bench: Bench) -> None:
    """w_jk goes from neuron k to neuron j; matrices say what sums of components say."""
    net, x, _ = sample()
    _, before = net.layers(x)
    net.weights[1][0, 1] += 0.5
    activations, after = net.layers(x)
    moved = (after[1] - before[1])[:, 0]
    bench.number(
        "a weight from neuron 1 to neuron 0 moves that neuron's z by its change times a_1",
        0.5 * float(activations[1][1, 0]),
        float(moved[0]),
        1e-12,
    )
    bench.number("and no other", 0.0, float(np.abs(moved[1:]).max()), 0.0)
    j, w, b, a = 2, net.weights[0], net.biases[0], activations[0]
    summed = sum(w[j, k] * a[k, 0] for k in range(SIZES[0])) + b[j, 0]
    bench.number("the matrix form is the sum of components", float(summed), float(after[0][j, 0]), 1e-12)
    column = np.array([[2.0], [-3.0], [0.5]])
    alone = [float(sigmoid(value)) for value in column[:, 0]]
    bench.holds(
        "functions of vectors act on components: sigma of (2, -3, 0.5)",
        bool(np.allclose(sigmoid(column)[:, 0], alone, rtol=1e-15)),
        str([round(value, 4) for value in alone]),
    )
    deep = Network([2, 2, 2])
    deep.weights[1] = np.array([[2.0, 3.0], [2.0, 3.0]])
    at, want = deep.layers(np.ones((2, 1)))[0], np.array([[1.0], [0.0]])
    delta = deep.output_error(np.array([[0.0], [100.0]]), at[2], want)
    bench.holds(
        "the Hadamard product takes each with its own: where one sigma' is 0 its error alone is 0",
        delta[0, 0] != 0 and abs(delta[1, 0]) < 1e-30,
        Message("errors {delta:.3f} and {delta_2:.0e}", delta=delta[0, 0], delta_2=delta[1, 0]),
    )


def demon(bench: Bench) -> None:
    """What a small change of a weighted input does to the cost."""
    net, x, y = sample()
    delta = errors(net, x, y)[0]
    worst = 0.0
    for j in range(SIZES[1]):
        for dz in (1e-4, -1e-4):
            kept = net.biases[0][j, 0]
            start = quadratic(net, x, y)
            net.biases[0][j, 0] += dz  # a bias moves z alone
            worst = max(worst, abs(quadratic(net, x, y) - start - delta[j, 0] * dz))
            net.biases[0][j, 0] = kept
    bench.number("a demon that adds dz to a weighted input changes the cost by delta dz: largest gap", 0.0, worst, 1e-9)
    lower = quadratic(net, x, y)
    net.biases[0] -= 0.5 * delta
    bench.holds(
        "changes against the errors lower the cost",
        quadratic(net, x, y) < lower,
        Message("{lower:.5f} to {value:.5f}", lower=lower, value=quadratic(net, x, y)),
    )
    net, x, y = sample()
    activations, zs = net.layers(x)
    by_a = activations[-1] - y
    gap = float(np.abs(errors(net, x, y)[-1] - by_a * sigmoid_prime(zs[-1])).max())
    bench.number("dC/dz is dC/da times sigma': the other error is possible too", 0.0, gap, 1e-12)


def equations(bench: Bench) -> None:
    """The four equations three ways: differences, all paths, and the matrix form with diagonal matrices."""
    net, x, y = sample()
    nabla_b, nabla_w = net.backprop(x, y)

    def cost() -> float:
        return quadratic(net, x, y)

    pairs = ((net.biases, nabla_b), (net.weights, nabla_w))
    worst = max(
        abs(_difference(value, place, cost) - gradient[place])
        for values, gradients in pairs
        for value, gradient in zip(values, gradients, strict=True)
        for place in np.ndindex(value.shape)
    )
    bench.number("all gradients against central differences: largest gap", 0.0, worst, 1e-8)
    activations, zs = net.layers(x)
    total, count = _sum_over_paths(net, activations, zs, y, (0, 1, 2))
    bench.number("paths from a weight of the first layer to the outputs", SIZES[2] * SIZES[3], count, 0)
    bench.number("their sum is the gradient", float(nabla_w[0][1, 2]), total, 1e-10)
    diagonal = [np.diag(sigmoid_prime(z)[:, 0]) for z in zs]
    chain = diagonal[0] @ net.weights[1].T @ diagonal[1] @ net.weights[2].T @ diagonal[2] @ (activations[-1] - y)
    bench.number(
        "the same with diagonal matrices, in one product", 0.0, float(np.abs(chain - errors(net, x, y)[0]).max()), 1e-12
    )
    big, v = np.random.default_rng(0).random((400, 1)), np.random.default_rng(1).random((400, 1))
    slow, fast = _seconds(lambda: np.diag(big[:, 0]) @ v), _seconds(lambda: big * v)
    bench.holds(
        "a Hadamard product is faster than a diagonal matrix",
        fast < slow,
        Message("{slow:.0f} times", slow=slow / fast),
    )
    trace = [
        "input: a1",
        *(f"forward: z{k + 2}, a{k + 2}" for k in range(len(zs))),
        f"output error: d{len(zs) + 1}",
        *(f"backward: d{k + 1}" for k in range(len(zs) - 1, 0, -1)),
        "output: gradients",
    ]
    bench.note("the five steps: " + "; ".join(trace))
    small = net.backprop(np.array([[0.0], [0.5], [1.0]]), y)[1][0]
    bench.number("a weight from an input of 0 gets no gradient", 0.0, float(np.abs(small[:, 0]).max()), 0.0)
    bench.number("one from 0.5 gets half of that from 1", 0.5, float((small[:, 1] / small[:, 2]).mean()), 1e-12)


def _sum_over_paths(
    net: Network, activations: list[np.ndarray], zs: list[np.ndarray], y: np.ndarray, place: tuple[int, int, int]
) -> tuple[float, int]:
    """dC/dw^l_jk as a sum over all paths from neuron j to the outputs, with how many there are."""
    layer, j, k = place
    above = range(layer + 1, len(net.weights))
    total, count = 0.0, 0
    for path in itertools.product(*(range(net.sizes[a + 1]) for a in above)):
        value, neuron = float(activations[layer][k, 0] * sigmoid_prime(zs[layer])[j, 0]), j
        for a, following in zip(above, path, strict=True):
            value *= float(net.weights[a][following, neuron] * sigmoid_prime(zs[a])[following, 0])
            neuron = following
        total += value * float(activations[-1][neuron, 0] - y[neuron, 0])
        count += 1
    return total, count


def _seconds(f: Callable[[], object], times: int = 30) -> float:
    result = []
    for _ in range(times):
        began = time.perf_counter()
        f()
        result.append(time.perf_counter() - began)
    return min(result)


def saturation(bench: Bench) -> None:
    """Neurons near 0 or 1 learn slowly, unless the errors above are large."""
    z = np.linspace(-8, 8, 161)
    slope = sigmoid_prime(z)
    bench.number("sigma' is largest at 0", 0.25, float(slope.max()), 1e-12)
    bench.number("the slope at z = 6 over that at 0", 0.00987, float(slope[z == 6.0][0] / slope.max()), 5e-6)
    net, x, y = sample()
    net.biases[0][0, 0] = 12.0
    delta = np.abs(errors(net, x, y)[0][:, 0])
    bench.holds(
        "a saturated hidden neuron has a tiny error",
        bool(delta[0] < 1e-3 * delta[1:].max()),
        Message("{delta:.1e} beside {delta_2:.1e}", delta=delta[0], delta_2=delta[1:].max()),
    )
    net.weights[1][:, 0] = 1e6
    net.biases[1][:] = -1e6 * sigmoid(12.0)
    large = np.abs(errors(net, x, y)[0][0, 0])
    bench.holds("unless the weights above it are large enough", bool(large > 100 * delta[0]), f"{large:.1e}")
    figure = empty_figure("z", "derivative")
    figure.add_scatter(x=z, y=slope, name="sigma'", line={"color": BLUE})
    bench.draw("Where a sigmoid can learn", figure)


def counts(bench: Bench) -> None:
    """Passes and time."""
    net, rng = Network([784, 30, 10]), np.random.default_rng(0)
    x, y = rng.random((784, 1)), vectorized_result(3)
    parameters = sum(value.size for value in (*net.weights, *net.biases))
    bench.number("weights and biases of 784-30-10", 23_860, parameters, 0, of=DOCUMENT)
    hundred = Network([784, 100, 10])
    bench.number("and of 784-100-10", 79_510, sum(value.size for value in (*hundred.weights, *hundred.biases)), 0)
    for units, count in ((30, 23_860), (100, 79_510)):
        spec = DenseSpec(inputs=784, hidden=(units,), outputs=10)
        bench.number(Message("the engine counts as many with {units}", units=units), count, spec.parameter_count(), 0)
    passes = _Counted([784, 30, 10])
    h, flat = 1e-5, [*passes.weights, *passes.biases]
    QuadraticCost.fn(passes.feedforward(x), y)
    for value in flat:
        for place in itertools.islice(np.ndindex(value.shape), 2 if bench.quick else None):
            value[place] += h
            QuadraticCost.fn(passes.feedforward(x), y)
            value[place] -= h
    expected = 1 + sum(2 for _ in flat) if bench.quick else 23_861
    bench.number("forward passes by differences", expected, passes.passes, 0)
    if bench.quick:
        bench.note("quick: differences by two weights of each matrix; all of them take 23,861 passes")
    passes.passes = 0
    passes.backprop(x, y)
    bench.number("forward passes by backpropagation", 1, passes.passes, 0)
    batch = rng.random((784, 64))
    targets = rng.random((10, 64))
    once = _seconds(lambda: net.feedforward(batch))
    both = _seconds(lambda: net.backprop(batch, targets))
    bench.holds(
        "forward and backward together cost one to four forward passes",
        1 < both / once < 5,
        Message("{both:.1f} times", both=both / once),
    )
    eps = np.geomspace(1e-9, 1e-1, 17)
    net, x, y = sample()
    exact, w = net.backprop(x, y)[1][0][0, 0], net.weights[0]
    start = quadratic(net, x, y)
    forward_gap, central_gap = [], []
    for e in eps:
        kept = w[0, 0]
        w[0, 0] = kept + e
        above = quadratic(net, x, y)
        w[0, 0] = kept - e
        below = quadratic(net, x, y)
        w[0, 0] = kept
        forward_gap.append(abs((above - start) / e - exact))
        central_gap.append(abs((above - below) / (2 * e) - exact))
    slopes = [float(np.polyfit(np.log(eps[-5:]), np.log(gap[-5:]), 1)[0]) for gap in (forward_gap, central_gap)]
    bench.number("error of forward differences: power of the step size", 1.0, slopes[0], 0.1)
    bench.number("error of central differences: power of the step size", 2.0, slopes[1], 0.1)
    figure = empty_figure("step", "error").update_xaxes(type="log").update_yaxes(type="log")
    figure.add_scatter(x=eps, y=forward_gap, name="forward", line={"color": BLUE})
    figure.add_scatter(x=eps, y=central_gap, name="central", line={"color": ORANGE})
    bench.draw("Finite differences: truncation error of large steps, rounding error of small ones", figure)


class _Counted(Network):
    passes = 0

    def layers(self, x: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]:
        self.passes += 1
        return super().layers(x)


def big_picture(bench: Bench) -> None:
    """One weight perturbed, layer by layer."""
    net, x, y = sample()
    activations, zs = net.layers(x)
    dw, (j, k) = 1e-5, (1, 2)
    change = np.zeros_like(zs[0])
    change[j] = activations[0][k] * dw
    predicted = [sigmoid_prime(zs[0]) * change]
    for layer in (1, 2):
        predicted.append(sigmoid_prime(zs[layer]) * (net.weights[layer] @ predicted[-1]))
    start = quadratic(net, x, y)
    net.weights[0][j, k] += dw
    after, _ = net.layers(x)
    for layer, (now, before, guess) in enumerate(zip(after[1:], activations[1:], predicted, strict=True), 2):
        gap = float(np.abs(now - before - guess).max() / np.abs(guess).max())
        bench.number(
            Message("the change of layer {layer}, predicted and measured: relative gap", layer=layer), 0.0, gap, 1e-4
        )
    dC = float(((activations[-1] - y) * predicted[-1]).sum())
    bench.number("the change of the cost, over that predicted", 1.0, (quadratic(net, x, y) - start) / dC, 1e-4)


def matrix_speed(bench: Bench) -> None:
    """Sample by sample against matrices."""
    rng = np.random.default_rng(0)
    data = [(rng.random((784, 1)), vectorized_result(int(k))) for k in rng.integers(0, 10, 64)]
    for size in (10, 64):
        loop, matrix = SecondNetwork([784, 30, 10], CrossEntropyCost), SecondNetwork([784, 30, 10], CrossEntropyCost)
        slow = _seconds(lambda net=loop, m=size: net.update_mini_batch(data[:m], 0.5))  # type: ignore[misc]
        fast = _seconds(lambda net=matrix, m=size: net.update_mini_batch_matrix(data[:m], 0.5))  # type: ignore[misc]
        gap = max(float(np.abs(a - b).max()) for a, b in zip(loop.weights, matrix.weights, strict=True))
        bench.number(
            Message("both ways give the same weights, batches of {size}: largest gap", size=size), 0.0, gap, 1e-10
        )
        bench.holds(
            Message("as matrices a batch of {size} takes half the time or less", size=size),
            slow / fast >= 2,
            Message("{slow:.1f} times as fast", slow=slow / fast),
            printed="2 times",
        )


LABS = (
    Lab(
        "notation",
        "Notation",
        "w_jk goes from neuron k to neuron j, so a layer is a product without transposing",
        ("S1-06", "S1-07", "S1-08", "S1-12"),
        notation,
    ),
    Lab(
        "demon",
        "The demon in the machine",
        "The error of a neuron predicts the effect of a change of its weighted input",
        ("S1-13", "S1-14"),
        demon,
    ),
    Lab(
        "four-equations",
        "Four equations, three ways",
        "Differences, all paths and products of matrices give the same gradients",
        ("S1-15", "S1-16", "S1-17", "S1-18", "S1-19", "S1-22", "S1-23", "S1-37"),
        equations,
    ),
    Lab("saturation", "Saturated neurons", "A neuron near 0 or 1 learns slowly", ("S1-09", "S1-20"), saturation),
    Lab(
        "passes",
        "What a gradient costs",
        "Backpropagation takes two passes, differences one for each weight",
        ("S1-33", "S1-34", "S1-35", "S1-74"),
        counts,
    ),
    Lab(
        "big-picture",
        "One weight, perturbed",
        "A change of a weight propagates through the layers as the equations predict",
        ("S1-36",),
        big_picture,
    ),
    Lab(
        "matrix-form",
        "A batch as a matrix",
        "All samples at once give the same weights in half the time or less",
        ("S1-31", "S1-32"),
        matrix_speed,
    ),
)

"""How the first weights decide what reaches the tenth layer, forwards and backwards."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from luthier.drawing import BLUE, GREEN, GREY, ORANGE, empty_figure
from luthier.labs.lab import FORMULA, Bench, Lab
from luthier.messages import Message
from luthier.nets import ACTIVATIONS, DenseSpec, build
from luthier.nets.initialise import INITIALISERS, Fan

LAYERS, UNITS, ROWS = 10, 500, 400
SCHEMES = {"0.01": "normal", "1": "large", "Xavier": "xavier", "He": "he"}  # as the product's initialisers are named
LINES = {"0.01": "dot", "1": "dot", "Xavier": "dash", "He": "solid"}


def activations(function: str, scheme: str, seed: int, *, units: int = UNITS, layers: int = LAYERS) -> list[Tensor]:
    """What layers of the product's first weights and activations make of rows from N(0, 1), layer by layer."""
    generator = torch.Generator().manual_seed(seed)
    x, result = torch.randn(ROWS, units, generator=generator), []
    for _ in range(layers):
        fan = Fan(units, units, ACTIVATIONS[function].gain, 0.01)
        x = ACTIVATIONS[function].f(x @ INITIALISERS[SCHEMES[scheme]](fan, generator).float().T)
        result.append(x)
    return result


def deviations(function: str, scheme: str, seeds: range) -> np.ndarray:
    """Standard deviations of activations [S, layers]."""
    return np.array([[float(x.std()) for x in activations(function, scheme, seed)] for seed in seeds])


def forwards(bench: Bench) -> None:
    """Ten layers of 500 units."""
    seeds = bench.seeds(20, 5)
    table = {(f, s): deviations(f, s, seeds) for f in ("tanh", "relu") for s in SCHEMES}
    for layer, printed in ((0, 0.214), (1, 0.048), (2, 0.011)):
        bench.number(
            Message("tanh from N(0, 0.01): standard deviation after layer {layer}", layer=layer + 1),
            printed,
            table["tanh", "0.01"][:, layer],
            0.01 * printed + 5e-4,
        )
    bench.number("after the last, times 10^7", 2.9, 1e7 * table["tanh", "0.01"][:, -1], 0.2)
    bench.number("relu from N(0, 0.01), after the first", 0.131, table["relu", "0.01"][:, 0], 0.002)
    bench.number("after the last, times 10^9", 8.0, 1e9 * table["relu", "0.01"][:, -1], 1.5)
    bench.number("tanh from N(0, 1), at the end", 0.98, table["tanh", "1"][:, -1], 0.005)
    flat = [float((activations("tanh", "1", seed)[-1].abs() > 0.99).float().mean()) for seed in seeds]
    bench.number("share of values beyond 0.99", 0.90, flat, 0.01)
    bench.number("relu from N(0, 1), after the first", 13.0, table["relu", "1"][:, 0], 0.5)
    bench.number("powers of ten at the end", math.log10(7e11), np.log10(table["relu", "1"][:, -1]), 0.15)
    bench.number("tanh with Xavier, first layer", 0.628, table["tanh", "Xavier"][:, 0], 0.003)
    bench.number("last layer", 0.227, table["tanh", "Xavier"][:, -1], 0.012)
    bench.number("relu with Xavier, first layer", 0.583, table["relu", "Xavier"][:, 0], 0.006)
    last = table["relu", "Xavier"][:, -1]
    bench.holds(
        "last layer, between 0.022 and 0.030",
        bool(((last > 0.019) & (last < 0.033)).all()),
        Message("{last:.3f} to {last_2:.3f}", last=last.min(), last_2=last.max()),
        printed="0.022 to 0.030",
        of=FORMULA,
    )
    bench.number("relu with He, first layer", 0.827, table["relu", "He"][:, 0], 0.008)
    last = table["relu", "He"][:, -1]
    bench.holds(
        "last layer, between 0.70 and 0.96",
        bool(((last > 0.6) & (last < 1.1)).all()),
        Message("{last:.2f} to {last_2:.2f}", last=last.min(), last_2=last.max()),
        printed="0.70 to 0.96",
        of=FORMULA,
    )
    for inputs, printed in ((500, 0.0632), (784, 0.0505)):
        spec = DenseSpec(inputs=inputs, hidden=(1000,), outputs=1, initialiser="he")
        drawn = [float(next(iter(spec.fresh_parameters(seed).values())).std()) for seed in seeds]
        bench.number(
            Message("standard deviation of the engine's He weights for {inputs} inputs", inputs=inputs),
            printed,
            drawn,
            1e-4,
        )
    for function in ("tanh", "relu"):
        figure = empty_figure("layer", "standard deviation of activations").update_yaxes(type="log")
        for (scheme, dash), colour in zip(LINES.items(), (GREY, ORANGE, GREEN, BLUE), strict=True):
            x, y = list(range(1, LAYERS + 1)), table[function, scheme].mean(0)
            figure.add_scatter(x=x, y=y, name=f"{function}, {scheme}", line={"color": colour, "dash": dash})
        bench.draw(Message("Standard deviation of activations by layer, {function}", function=function), figure)
    _histograms(bench)


def _histograms(bench: Bench) -> None:
    """The shape of activations: saturated at the ends, or gone to 0."""
    figure, ends = empty_figure("activation of tanh, layer 10", "share"), {}
    for scheme, colour in zip(SCHEMES, (GREY, ORANGE, GREEN, BLUE), strict=True):
        values = activations("tanh", scheme, 0)[-1].flatten().numpy()
        counts, edges = np.histogram(values, 41, (-1, 1))
        ends[scheme] = float(counts[[0, 20, -1]].sum() / counts.sum())
        figure.add_scatter(x=(edges[1:] + edges[:-1]) / 2, y=counts / counts.sum(), name=scheme, line={"color": colour})
    bench.draw("Histograms of activations by first weights", figure.update_yaxes(type="log"))
    bench.holds(
        "small weights leave only zeros, large ones only -1 and 1; Xavier's fill the range",
        min(ends["0.01"], ends["1"]) > 0.85 and ends["Xavier"] < 0.2,
        ", ".join(f"{scheme}: {share:.0%} at the ends or at 0" for scheme, share in ends.items()),
    )


def backwards(bench: Bench) -> None:
    """Gradients of ten layers: sigmoid's vanish, ReLU's with He's weights do not."""
    ratios: dict[str, list[float]] = {"sigmoid": [], "relu": []}
    sizes = []
    for seed in bench.seeds(10, 4):
        for name, row in ratios.items():
            norms = _gradients(name, "he" if name == "relu" else "xavier", LAYERS, seed)
            row.append(norms[0] / norms[-1])
        sizes.append(norms[0] / _gradients("relu", "he", 1, seed)[0])
    bench.holds(
        "gradients of a deep sigmoid network vanish towards its inputs",
        max(ratios["sigmoid"]) < 1e-3,
        Message("first layer's over last's: at most {ratios:.1e}", ratios=max(ratios["sigmoid"])),
    )
    bench.holds(
        "with He's weights and ReLU they stay within a factor of ten",
        min(ratios["relu"]) > 0.1 and max(ratios["relu"]) < 10,
        Message("{ratios:.2f} to {ratios_2:.2f}", ratios=min(ratios["relu"]), ratios_2=max(ratios["relu"])),
    )
    bench.holds(
        "and ten layers' are as large as one layer's, within a factor of ten",
        min(sizes) > 0.1 and max(sizes) < 10,
        Message("{sizes:.2f} to {sizes_2:.2f} times", sizes=min(sizes), sizes_2=max(sizes)),
    )
    x = activations("relu", "1", 0, layers=40)[-1]
    bench.holds(
        "from N(0, 1) forty layers overflow the machine's numbers",
        not bool(x.isfinite().all()),
        "infinite or not a number",
    )


def _gradients(activation: str, initialiser: str, layers: int, seed: int) -> list[float]:
    """Norms of the gradients of each hidden layer's weights, for outputs pulled in random directions."""
    spec = DenseSpec(inputs=100, hidden=(100,) * layers, outputs=100, activation=activation, initialiser=initialiser)
    net, generator = build(spec, seed=seed), torch.Generator().manual_seed(seed)
    out = net(torch.randn(200, 100, generator=generator))
    (out * torch.randn(out.shape, generator=generator)).sum().backward()
    return [float(layer.weight.grad.norm()) for layer in net.layers[:-1]]


LABS = (
    Lab(
        "initial-weights",
        "The first weights",
        "Too small weights make activations vanish with depth, too large ones saturate or explode; He's keep them",
        ("S2-01", "S2-02", "S2-03", "S2-04", "S4-37"),
        forwards,
        seconds=4,
    ),
    Lab(
        "vanishing-gradients",
        "What comes back",
        "Gradients vanish in deep sigmoid networks, and hardly with He's weights and ReLU",
        ("S4-35", "S4-36", "S4-38"),
        backwards,
    ),
)

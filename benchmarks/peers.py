"""How others train the same network: each gives a function (steps) -> seconds a step.

A peer that needs a package of `benchmarks/requirements.txt` is left out where it is not installed.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import time
import warnings
from collections.abc import Callable, Iterator
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.works import Runner, data

os.environ.setdefault("KERAS_BACKEND", "jax")
Run = Callable[[int], float]


def optimiser(work: Runner, module: nn.Module) -> torch.optim.Optimizer:
    """Adam, or SGD without momentum."""
    if work.rule == "adam":
        return torch.optim.Adam(module.parameters(), 1e-3)
    return torch.optim.SGD(module.parameters(), 1e-3)


def _rows(count: int, batch: int) -> Iterator[Tensor]:
    """Row numbers of batches without end, shuffled each epoch."""
    while True:
        yield from torch.randperm(count).split(batch)


def hand_written(work: Runner) -> Run:
    """The loop that everyone writes, over tensors in memory."""
    (X, y), module = data(work), work.module()
    descent = optimiser(work, module)

    def run(steps: int) -> float:
        began = time.perf_counter()
        for _, rows in zip(range(steps), _rows(len(X), work.batch), strict=False):
            descent.zero_grad()
            F.cross_entropy(module(X[rows]), y[rows]).backward()
            descent.step()
        return (time.perf_counter() - began) / steps

    return run


def _loader(work: Runner) -> torch.utils.data.DataLoader:
    return torch.utils.data.DataLoader(torch.utils.data.TensorDataset(*data(work)), work.batch, shuffle=True)


def with_loader(work: Runner) -> Run:
    """The same with PyTorch's DataLoader."""
    module, loader = work.module(), _loader(work)
    descent = optimiser(work, module)

    def run(steps: int) -> float:
        began, done = time.perf_counter(), 0
        while done < steps:
            for x, target in loader:
                descent.zero_grad()
                F.cross_entropy(module(x), target).backward()
                descent.step()
                done += 1
                if done == steps:
                    break
        return (time.perf_counter() - began) / steps

    return run


def lightning(work: Runner) -> Run:
    """Lightning with logging, bars and checkpoints off."""
    import lightning as L

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)

    class Task(L.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = work.module()

        def training_step(self, batch: tuple[Tensor, Tensor], place: int) -> Tensor:
            return F.cross_entropy(self.net(batch[0]), batch[1])

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return optimiser(work, self.net)

    loader, off = _loader(work), {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}

    def run(steps: int) -> float:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trainer = L.Trainer(max_steps=steps, accelerator="cpu", enable_model_summary=False, **off)
            began = time.perf_counter()
            trainer.fit(Task(), loader)
        return (time.perf_counter() - began) / steps

    return run


def skorch(work: Runner) -> Run:
    """skorch's classifier, without a validation split."""
    from skorch import NeuralNetClassifier

    X, y = data(work)
    kind, options = (torch.optim.Adam, {}) if work.rule == "adam" else (torch.optim.SGD, {})
    net = NeuralNetClassifier(
        work.module(),
        criterion=nn.CrossEntropyLoss,
        optimizer=kind,
        lr=1e-3,
        batch_size=work.batch,
        max_epochs=1,
        train_split=None,
        iterator_train__shuffle=True,
        verbose=0,
        **options,
    ).initialize()

    def run(steps: int) -> float:
        rows = min(len(X), steps * work.batch)
        began = time.perf_counter()
        net.partial_fit(X[:rows], y[:rows])
        return (time.perf_counter() - began) / -(-rows // work.batch)

    return run


def keras(work: Runner) -> Run:
    """Keras on JAX, compiled before the clock starts."""
    import keras as K

    X, y = (tensor.numpy() for tensor in data(work))
    if work.spec is None:
        X = X.transpose(0, 2, 3, 1)
        layers = []
        for filters in (32, 64):
            layers += [K.layers.Conv2D(filters, 3, padding="same", use_bias=False), K.layers.BatchNormalization()]
            layers += [K.layers.ReLU(), K.layers.MaxPooling2D()]
        layers += [K.layers.Flatten(), K.layers.Dense(10)]
    else:
        layers = [K.layers.Dense(units, activation=work.spec.activations[0]) for units in work.spec.hidden]
        layers.append(K.layers.Dense(work.spec.outputs))
    model = K.Sequential([K.layers.Input(X.shape[1:]), *layers])
    rule = K.optimizers.Adam(1e-3) if work.rule == "adam" else K.optimizers.SGD(1e-3)
    model.compile(rule, K.losses.SparseCategoricalCrossentropy(from_logits=True))

    def run(steps: int) -> float:
        rows = min(len(X), steps * work.batch) // work.batch * work.batch
        began = time.perf_counter()
        model.fit(X[:rows], y[:rows], batch_size=work.batch, epochs=1, verbose=0)
        return (time.perf_counter() - began) / (rows // work.batch)

    return run


def jax_scan(work: Runner) -> Run:
    """One jitted `lax.scan` over the batches, the gradient by JAX, compiled before the clock starts."""
    import jax
    import jax.numpy as jnp

    X, y = (jnp.asarray(tensor.numpy()) for tensor in data(work))
    sizes = (work.spec.inputs, *work.spec.hidden, work.spec.outputs)
    rng = np.random.default_rng(0)
    start = [(jnp.asarray(rng.normal(size=s, scale=0.05), jnp.float32), jnp.zeros(s[1])) for s in pairwise(sizes)]
    act = jax.nn.sigmoid if work.spec.activations[0] == "sigmoid" else jax.nn.relu

    def loss(weights: list, x: object, target: object) -> object:
        for W, b in weights[:-1]:
            x = act(x @ W + b)
        logits = x @ weights[-1][0] + weights[-1][1]
        logs = jax.nn.log_softmax(logits)
        return -jnp.take_along_axis(logs, target[:, None], 1).mean()

    def step(state: tuple, rows: object) -> tuple:
        weights, m, v, t = state
        value, G = jax.value_and_grad(loss)(weights, X[rows], y[rows])
        if work.rule == "sgd":
            return (jax.tree.map(lambda w, g: w - 1e-3 * g, weights, G), m, v, t), value
        t = t + 1
        m = jax.tree.map(lambda a, g: 0.9 * a + 0.1 * g, m, G)
        v = jax.tree.map(lambda a, g: 0.999 * a + 0.001 * g * g, v, G)
        scale = 1e-3 * jnp.sqrt(1 - 0.999**t) / (1 - 0.9**t)
        weights = jax.tree.map(lambda w, a, b: w - scale * a / (jnp.sqrt(b) + 1e-8), weights, m, v)
        return (weights, m, v, t), value

    scan = jax.jit(lambda state, rows: jax.lax.scan(step, state, rows))
    zeros = jax.tree.map(jnp.zeros_like, start)
    state = (start, zeros, zeros, jnp.float32(0))

    def run(steps: int) -> float:
        count = min(steps, len(X) // work.batch)
        rows = jnp.asarray(rng.permutation(len(X))[: count * work.batch].reshape(count, work.batch))
        jax.block_until_ready(scan(state, rows))  # compiles for this length
        began = time.perf_counter()
        jax.block_until_ready(scan(state, rows))
        return (time.perf_counter() - began) / count

    return run


def scikit_learn(work: Runner) -> Run:
    """scikit-learn's MLPClassifier, one epoch a call."""
    from sklearn.neural_network import MLPClassifier

    X, y = (tensor.numpy() for tensor in data(work))
    activation = "logistic" if work.spec.activations[0] == "sigmoid" else "relu"

    def run(steps: int) -> float:
        rows = min(len(X), steps * work.batch)
        options = {"solver": work.rule, "batch_size": work.batch, "max_iter": 1, "alpha": 0.0, "momentum": 0.0}
        model = MLPClassifier(work.spec.hidden, activation=activation, nesterovs_momentum=False, **options)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            began = time.perf_counter()
            model.fit(X[:rows], y[:rows])
        return (time.perf_counter() - began) / -(-rows // work.batch)

    return run


def numpy_loop(work: Runner) -> Run:
    """The four equations in matrix form, in NumPy (one hidden layer, SGD)."""
    X, y = (tensor.numpy() for tensor in data(work))
    rng, hidden = np.random.default_rng(0), work.spec.hidden[0]
    W1 = rng.normal(size=(work.spec.inputs, hidden)).astype(np.float32) * 0.03
    W2 = rng.normal(size=(hidden, work.spec.outputs)).astype(np.float32) * 0.1
    b1, b2 = np.zeros(hidden, np.float32), np.zeros(work.spec.outputs, np.float32)

    def run(steps: int) -> float:
        began, order = time.perf_counter(), rng.permutation(len(X))
        for step in range(steps):
            start = step * work.batch % (len(X) - work.batch)
            rows = order[start : start + work.batch]
            x = X[rows]
            a1 = 1 / (1 + np.exp(-(x @ W1 + b1)))
            z2 = a1 @ W2 + b2
            e = np.exp(z2 - z2.max(1, keepdims=True))
            d2 = e / e.sum(1, keepdims=True)
            d2[np.arange(len(rows)), y[rows]] -= 1
            d2 /= len(rows)
            d1 = d2 @ W2.T * a1 * (1 - a1)
            W2[:] -= 1e-3 * (a1.T @ d2)
            b2[:] -= 1e-3 * d2.sum(0)
            W1[:] -= 1e-3 * (x.T @ d1)
            b1[:] -= 1e-3 * d1.sum(0)
        return (time.perf_counter() - began) / steps

    return run


def products(work: Runner) -> Run:
    """The bare matrix products of one network's step, by PyTorch's own `mm`: what a step cannot go below with it."""
    sizes, B = (work.spec.inputs, *work.spec.hidden, work.spec.outputs), work.batch
    layers = list(pairwise(sizes))
    W = [torch.randn(b, a) for a, b in layers]
    A, dZ = [torch.randn(B, a) for a, _ in layers], [torch.randn(B, b) for _, b in layers]

    def run(steps: int) -> float:
        began = time.perf_counter()
        for _ in range(steps):
            for i in range(len(layers)):
                torch.mm(A[i], W[i].T)
                torch.mm(dZ[i].T, A[i])
                if i:
                    torch.mm(dZ[i], W[i])
        return (time.perf_counter() - began) / steps

    return run


# name: (what it needs, how it runs, works it is for)
PEERS: dict[str, tuple[str, Callable[[Runner], Run], str]] = {
    "hand-written PyTorch loop": ("torch", hand_written, "abcd"),
    "PyTorch with DataLoader": ("torch", with_loader, "abcd"),
    "Lightning": ("lightning", lightning, "abcd"),
    "skorch": ("skorch", skorch, "abcd"),
    "Keras on JAX": ("keras", keras, "abcd"),
    "JAX, one jitted scan": ("jax", jax_scan, "abd"),
    "scikit-learn MLPClassifier": ("sklearn", scikit_learn, "abd"),
    "NumPy loop": ("numpy", numpy_loop, "a"),
    "bare matrix products": ("torch", products, "abd"),
}


def contenders(work: Runner) -> dict[str, Run]:
    """Everyone who is installed and can train this work."""
    result = {}
    for name, (package, make, works) in PEERS.items():
        if work.name in works and importlib.util.find_spec(package) is not None:
            result[name] = make(work)
    return result

"""Nielsen's programs: their interface, their equations checked by differences, and the engine beside them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from luthier.classic import mnist_loader, network, network2
from luthier.engine import Member, Population, Settings
from luthier.engine.feed import batches_for
from luthier.errors import InputError
from luthier.nets import DenseSpec
from luthier.rows import Inputs, Rows


def samples(count: int, sizes: tuple[int, ...] = (4, 5, 3), seed: int = 0) -> list[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(seed)
    return [
        (rng.random((sizes[0], 1)), network2.vectorized_result(int(k), sizes[-1]))
        for k in rng.integers(0, sizes[-1], count)
    ]


def cost(net: network.Network, x: np.ndarray, y: np.ndarray) -> float:
    a = net.feedforward(x)
    return net.cost.fn(a, y) if isinstance(net, network2.Network) else float(0.5 * ((a - y) ** 2).sum())


@pytest.mark.parametrize(
    "make", [network.Network, network2.Network, lambda sizes: network2.Network(sizes, cost=network2.QuadraticCost)]
)
def test_backprop_agrees_with_central_differences(make: object) -> None:
    net = make([4, 5, 3])  # type: ignore[operator]
    (x, y), h = samples(1)[0], 1e-6
    for values, gradients in zip((net.biases, net.weights), net.backprop(x, y), strict=True):
        for value, gradient in zip(values, gradients, strict=True):
            assert gradient.shape == value.shape
            for place in np.ndindex(value.shape):
                kept = value[place]
                value[place] = kept + h
                above = cost(net, x, y)
                value[place] = kept - h
                below = cost(net, x, y)
                value[place] = kept
                assert gradient[place] == pytest.approx((above - below) / (2 * h), abs=1e-8)


def test_a_mini_batch_as_matrices_is_the_loop() -> None:
    batch = samples(7)
    loop, matrix = network2.Network([4, 5, 3]), network2.Network([4, 5, 3])
    loop.update_mini_batch(batch, 0.5)
    matrix.update_mini_batch_matrix(batch, 0.5)
    for a, b in zip((*loop.weights, *loop.biases), (*matrix.weights, *matrix.biases), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-12)


def test_one_step_is_the_mean_of_single_gradients_and_moves_the_output_layer() -> None:
    batch, net = samples(3), network.Network([4, 5, 3])
    before = [w.copy() for w in net.weights]
    gradients = [net.backprop(x, y)[1] for x, y in batch]
    net.update_mini_batch(batch, 0.3)
    for layer in (0, 1):
        wanted = before[layer] - 0.3 * np.mean([one[layer] for one in gradients], 0)
        np.testing.assert_allclose(net.weights[layer], wanted, rtol=0, atol=1e-14)
    assert not np.allclose(net.weights[-1], before[-1])


def test_l2_shrinks_weights_and_leaves_biases() -> None:
    data = samples(50)
    net = network2.Network([4, 5, 3])
    net._shrink(net.weights, 0.5 * 0.1 / 1000, "l2")
    fresh = network2.Network([4, 5, 3])
    np.testing.assert_allclose(net.weights[0], fresh.weights[0] * 0.99995, rtol=1e-12)
    np.testing.assert_array_equal(net.biases[0], fresh.biases[0])
    plain, penalised = fresh.total_cost(data), fresh.total_cost(data, 2.0)
    squares = sum(float((w**2).sum()) for w in fresh.weights)
    assert penalised - plain == pytest.approx(2.0 / (2 * 50) * squares)


def test_the_monitors_return_a_list_each() -> None:
    data, held = samples(60), [(x, int(y.argmax())) for x, y in samples(30, seed=1)]
    lines: list[str] = []
    result = network2.Network([4, 5, 3]).SGD(
        data,
        4,
        10,
        0.5,
        lmbda=0.1,
        evaluation_data=held,
        monitor_evaluation_cost=True,
        monitor_evaluation_accuracy=True,
        monitor_training_cost=True,
        monitor_training_accuracy=True,
        say=lines.append,
    )
    assert [len(one) for one in result] == [4, 4, 4, 4]
    assert result[2][-1] < result[2][0]
    first = lines[: len(lines) // 4]
    assert first == [
        "Epoch 0 training complete",
        f"Cost on training data: {result[2][0]}",
        f"Accuracy on training data: {result[3][0]} / 60",
        f"Cost on evaluation data: {result[0][0]}",
        f"Accuracy on evaluation data: {result[1][0]} / 30",
        "",
    ]
    assert network2.Network([4, 5, 3]).SGD(data, 2, 10, 0.5, say=lines.append) == ([], [], [], [])
    assert lines[-2] == "Epoch 1 training complete"
    with pytest.raises(InputError, match="evaluation_data"):
        network2.Network([4, 5, 3]).SGD(data, 1, 10, 0.5, monitor_evaluation_cost=True)


def test_a_saved_network_comes_back_and_others_are_refused(tmp_path: Path) -> None:
    net, path = network2.Network([4, 5, 3], cost=network2.QuadraticCost), tmp_path / "net.json"
    net.save(path)
    again = network2.load(path)
    assert again.cost is network2.QuadraticCost
    np.testing.assert_array_equal(again.weights[1], net.weights[1])
    for content in (
        '{"sizes": [2]}',
        "not json",
        '{"sizes": [4, 5, 3], "cost": "os.system", "weights": [], "biases": []}',
    ):
        path.write_text(content)
        with pytest.raises(InputError, match="not a saved network"):
            network2.load(path)


def test_sigmoid_never_overflows() -> None:
    with np.errstate(over="raise", invalid="raise"):
        assert network.sigmoid(np.array([-1e6, 0.0, 1e6])).tolist() == [0.0, 0.5, 1.0]
    assert network.sigmoid_prime(0.0) == 0.25


def test_the_engine_makes_the_same_steps() -> None:
    """Twenty steps of the engine's sigmoid network, by the cross-entropy of each output, against the NumPy program."""
    batch = samples(20, (4, 5, 1))
    batch = [(x, np.array([[float(k % 2)]])) for k, (x, _) in enumerate(batch)]
    theirs = network2.Network([4, 5, 1])
    spec = DenseSpec(inputs=4, hidden=(5,), outputs=1, activation="sigmoid")
    X = torch.tensor(np.hstack([x for x, _ in batch]).T)
    y = torch.tensor([int(y[0, 0]) for _, y in batch])
    part = Rows(Inputs(numbers=X), y)
    settings = Settings("binary", "sgd", 20, 20, 20, dtype=torch.float64)
    names = ("layers.0.weight", "layers.0.bias", "layers.1.weight", "layers.1.bias")
    state = {
        names[0]: theirs.weights[0],
        names[1]: theirs.biases[0][:, 0],
        names[2]: theirs.weights[1],
        names[3]: theirs.biases[1][:, 0],
    }
    initial = [{name: torch.tensor(value) for name, value in state.items()}]
    population = Population.of([Member(spec, 0, 0.5, momentum=0.0)], settings, 20, initial)
    batches = batches_for(population, part)
    for step in range(20):
        population.step([batches.at(step)], step + 1, population.rates.at(step))
        theirs.update_mini_batch_matrix(batch, 0.5)
    result = population.kind.state_dict(population.state.parameters, population.state.buffers)
    np.testing.assert_allclose(result["layers.0.weight"].numpy(), theirs.weights[0], rtol=0, atol=1e-12)
    np.testing.assert_allclose(result["layers.1.bias"].numpy(), theirs.biases[1][:, 0], rtol=0, atol=1e-12)


def test_the_loader_gives_lists_that_can_be_sliced(tmp_path: Path) -> None:
    def write(name: str, array: np.ndarray) -> None:
        head = bytes([0, 0, 8, array.ndim]) + b"".join(size.to_bytes(4, "big") for size in array.shape)
        (tmp_path / name).write_bytes(head + array.astype(np.uint8).tobytes())

    rng = np.random.default_rng(0)
    for part, rows in (("train", 60), ("t10k", 10)):
        write(f"{part}-images-idx3-ubyte", rng.integers(0, 256, (rows, 28, 28)))
        write(f"{part}-labels-idx1-ubyte", rng.integers(0, 10, rows))
    training, validation, test = mnist_loader.load_data_wrapper(tmp_path)
    assert [len(part) for part in (training, validation, test)] == [50, 10, 10]
    x, y = training[:1][0]
    assert x.shape == (784, 1)
    assert y.shape == (10, 1)
    assert 0 <= x.min() <= x.max() <= 1
    assert isinstance(test[0][1], int)
    with pytest.raises(InputError, match="no MNIST"):
        mnist_loader.load_data(tmp_path / "nowhere")

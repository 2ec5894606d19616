"""The course's rules on its landscapes, with the numbers that their formulas give; its dropout network both ways."""

from __future__ import annotations

import numpy as np
import pytest

from luthier.classic.cs231n import DropoutNet, UpdateRule
from luthier.errors import InputError


def valley(x: np.ndarray) -> np.ndarray:
    return x * np.array([1.0, 50.0])


def height(path: np.ndarray) -> float:
    return float(0.5 * (path[-1, 0] ** 2 + 50 * path[-1, 1] ** 2))


def test_the_valley_after_a_hundred_steps() -> None:
    start = [-7.0, 2.0]
    assert height(UpdateRule("sgd", learning_rate=0.035).run(valley, start, 100)) == pytest.approx(0.0197, rel=0.01)
    assert height(UpdateRule("momentum", learning_rate=0.01).run(valley, start, 100)) == pytest.approx(0.0010, rel=0.06)
    assert height(UpdateRule("nesterov", learning_rate=0.01).run(valley, start, 100)) == pytest.approx(1.2e-5, rel=0.06)
    zigzag = UpdateRule("sgd", learning_rate=0.035).run(valley, start, 20)[:, 1]
    assert (np.sign(zigzag[1:]) == -np.sign(zigzag[:-1])).all()
    assert height(UpdateRule("sgd", learning_rate=0.041).run(valley, start, 400)) > 1e3


STEPS = {"sgd": 582, "momentum": 117, "nesterov": 110, "rmsprop": 72, "adam": 77}


@pytest.mark.parametrize("name", STEPS)
def test_steps_to_leave_the_saddle(name: str) -> None:
    """x^2 - y^2 from (1, 1e-5) at 0.01. RMSProp's 72 belong to a decay of 0.9; with 0.99 it takes 17."""
    rule = UpdateRule(name, learning_rate=0.01, decay_rate=0.9)
    path = rule.run(lambda x: x * np.array([2.0, -2.0]), [1.0, 1e-5], 700)
    assert abs(int(np.argmax(np.abs(path[:, 1]) > 1)) - STEPS[name]) <= 1


def test_steps_under_a_constant_gradient() -> None:
    def moves(name: str, steps: int, **options: float) -> np.ndarray:
        return -np.diff(
            UpdateRule(name, learning_rate=1.0, epsilon=0.0, **options).run(np.ones_like, [0.0], steps)[:, 0]
        )

    np.testing.assert_allclose(moves("adagrad", 9), 1 / np.sqrt(np.arange(1, 10)))
    assert moves("rmsprop", 1, decay_rate=0.9)[0] == pytest.approx(3.162, abs=1e-3)
    assert moves("rmsprop", 1, decay_rate=0.99)[0] == pytest.approx(10.0)
    assert moves("adam-uncorrected", 1)[0] == pytest.approx(3.162, abs=1e-3)
    uncorrected = moves("adam-uncorrected", 40)
    assert (round(float(uncorrected.max()), 2), int(uncorrected.argmax()) + 1) == (6.57, 12)
    np.testing.assert_allclose(moves("adam", 50), 1.0)
    for rho in (0.5, 0.9, 0.99):
        assert moves("momentum", 3000, rho=rho)[-1] == pytest.approx(1 / (1 - rho), rel=1e-3)


def test_no_gradient_is_no_step() -> None:
    for name in ("adagrad", "rmsprop", "adam", "adam-uncorrected"):
        assert (UpdateRule(name, learning_rate=1.0).run(np.zeros_like, [3.0], 5) == 3.0).all()
    with pytest.raises(InputError, match="momentum"):
        UpdateRule("momentun", learning_rate=1.0)


def test_nesterov_looks_ahead() -> None:
    """The rule after a change of variables is the gradient taken at where momentum would lead (S2-17, S2-18)."""
    rho, rate, x, v = 0.9, 0.01, np.array([-7.0, 2.0]), np.zeros(2)
    rule, y = UpdateRule("nesterov", learning_rate=rate, rho=rho), x.copy()
    for _ in range(30):
        v = rho * v - rate * valley(x + rho * v)
        x = x + v
        y = rule.step(y, valley(y))
        np.testing.assert_allclose(y, x + rho * v, rtol=1e-10)


@pytest.mark.parametrize("inverted", [True, False])
def test_dropout_keeps_its_share_and_a_layer_agrees_in_expectation(inverted: bool) -> None:
    net = DropoutNet([6, 200, 40, 3], p=0.5, inverted=inverted)
    X = np.random.default_rng(1).standard_normal((6, 5))
    layer = np.maximum(0, net.W[0] @ X + net.b[0])
    expected = layer if inverted else net.p * layer  # what the next layer is to expect at test time
    drawn = []
    for _ in range(2000):
        net.train_step(X)
        drawn.append(net._H[1])
    np.testing.assert_allclose(np.mean(drawn, 0), expected, atol=0.25)
    assert np.mean(net.masks[0] > 0) == pytest.approx(0.5, abs=0.06)
    np.testing.assert_array_equal(net.predict(X), net.predict(X))
    other = DropoutNet([6, 200, 40, 3], p=0.5, inverted=not inverted)
    assert not np.allclose(net.predict(X), other.predict(X))


def test_dropout_backward_agrees_with_differences() -> None:
    net = DropoutNet([3, 4, 5, 2], p=0.7)
    X, h = np.random.default_rng(2).standard_normal((3, 6)), 1e-6
    out = net.train_step(X)
    masks = list(net.masks)
    dW, db = net.backward(out)  # of half the sum of squares
    for values, gradients in ((net.W, dW), (net.b, db)):
        for value, gradient in zip(values, gradients, strict=True):
            for place in np.ndindex(value.shape):
                kept, ends = value[place], []
                for step in (h, -h):
                    value[place] = kept + step
                    ends.append(0.5 * float((net.train_step(X, masks) ** 2).sum()))
                value[place] = kept
                assert gradient[place] == pytest.approx((ends[0] - ends[1]) / (2 * h), abs=1e-6)

"""What the exercises' answers are held to: the classic programs, the contract of rules, and the mistakes people make.

n units of a layer, m samples as columns, C classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from luthier.classic import ng
from luthier.classic.network import Network, sigmoid, sigmoid_prime
from luthier.labs.exercise import Formula, WrongAnswerError, agrees
from luthier.messages import Message
from luthier.optimise import RULES, Rule, State
from luthier.testing import check_rule
from luthier.testing.rule_contract import first_parameters, stepped

EXACT_STEPS = 1e-9  # over 200 steps, of numbers near 10
DROPPED, SHARE = 0.3, 0.01  # of 60,000 units the standard error of a share is 0.002


def _drawn(*shapes: tuple[int, ...]) -> list[np.ndarray]:
    rng = np.random.default_rng(3)
    return [rng.standard_normal(shape) for shape in shapes]


def check_softmax(answer: Formula) -> None:
    """Probabilities (C, m) of scores; columns add up to 1, and large scores overflow nothing."""
    (z,) = _drawn((4, 3))
    mistakes = {
        "it divides by the sum over all numbers: each column has a sum of its own, over axis 0": (
            lambda z: np.exp(z) / np.exp(z).sum()
        ),
        "it divides by the sum over samples: the shares of a column add up to 1, so sum over axis 0": (
            lambda z: np.exp(z) / np.exp(z).sum(1, keepdims=True)
        ),
        "the exponential is missing: scores below 0 have shares as well": lambda z: z / z.sum(0),
        "it gives logarithms of shares: take their exponential": lambda z: np.log(ng.softmax(z)),
    }
    agrees(answer, ng.softmax, [[z]], mistakes, "z")
    with np.errstate(all="ignore"):
        large = np.asarray(answer(np.array([[1000.0], [999.0]])))
    if not np.isfinite(large).all():
        raise WrongAnswerError(
            "scores of 1000 give NaN, since their exponential is infinite: subtract each column's largest score first, "
            "which changes no share"
        )


def check_output_error(answer: Formula) -> None:
    """BP1 for the quadratic cost, from a, y and z (n, m)."""
    z, y = _drawn((3, 4), (3, 4))
    mistakes = {
        "the sign is wrong: the slope of |a - y|^2 / 2 by a is a - y": lambda a, y, z: (y - a) * sigmoid_prime(z),
        "the slope of the sigmoid is missing: a - y is the error by cross-entropy; the quadratic cost's has the factor "
        "sigma'(z)": lambda a, y, z: a - y,
        "the cost has a factor of one half, so its slope is a - y and not 2 (a - y)": (
            lambda a, y, z: 2 * (a - y) * sigmoid_prime(z)
        ),
        "sigma' is taken at a: it is that of the weighted input z": lambda a, y, z: (a - y) * sigmoid_prime(a),
    }
    agrees(answer, lambda a, y, z: Network([1, 1]).output_error(z, a, y), [[sigmoid(z), y, z]], mistakes, "a, y, z")


def check_error_below(answer: Formula) -> None:
    """BP2, from the weights above, their layer's error and the z below."""
    w, delta, z, square, same = _drawn((3, 5), (3, 4), (5, 4), (3, 3), (3, 4))
    mistakes = {
        "the weights are not transposed: errors go back from each neuron of the layer above to those that feed it": (
            lambda w, delta, z: (w @ delta) * sigmoid_prime(z)
        ),
        "the slope of the sigmoid is missing: the product is by activations, and sigma'(z) leads to weighted inputs": (
            lambda w, delta, z: w.T @ delta
        ),
        "the sigmoid itself stands where its slope belongs": lambda w, delta, z: (w.T @ delta) * sigmoid(z),
    }
    cases = [[square, delta, same], [w, delta, z]]
    agrees(answer, lambda w, delta, z: (w.T @ delta) * sigmoid_prime(z), cases, mistakes, "w, delta, z")


def check_bias_gradient(answer: Formula) -> None:
    """BP3: (n, 1) of errors (n, m)."""
    mistakes = {
        "each sample has its own column: add them up over axis 1": lambda delta: delta,
        "it adds up neurons: samples are columns, so the sum is over axis 1": lambda delta: delta.sum(0),
        "the shape is (n,): keep it a column, as biases are: keepdims=True": lambda delta: delta.sum(1),
        "it is the mean over samples: the gradient of the mini-batch's summed cost is the sum": (
            lambda delta: delta.mean(1, keepdims=True)
        ),
    }
    agrees(answer, lambda delta: delta.sum(1, keepdims=True), [_drawn((3, 4))], mistakes, "delta")


def check_weight_gradient(answer: Formula) -> None:
    """BP4, from the activations below and the errors."""
    mistakes = {
        "it is transposed: weight [j, k] goes from neuron k to neuron j, so rows are those of delta": (
            lambda a, delta: a @ delta.T
        ),
        "samples are mixed: the product sums over samples, delta times a transposed": lambda a, delta: delta @ a,
        "it multiplies entry by entry: each neuron below meets each neuron above": lambda a, delta: delta * a,
        "it is the mean over samples: the gradient of the mini-batch's summed cost is the sum": (
            lambda a, delta: delta @ a.T / a.shape[1]
        ),
    }
    agrees(answer, lambda a, delta: delta @ a.T, [_drawn((5, 4), (3, 4))], mistakes, "a, delta")


def check_batch_norm(answer: Formula) -> None:
    """A batch (n, m) in training, with gamma and beta (n, 1)."""

    def right(Z: np.ndarray, gamma: np.ndarray, beta: np.ndarray, epsilon: float) -> np.ndarray:
        return ng.batch_norm(Z, gamma, beta, epsilon).out

    mistakes = {
        "mean and variance are each sample's: a unit is normalised over the batch, so over axis 1": _normalised(axis=0),
        "its variance divides by m - 1: in training batch norm divides by m": _normalised(ddof=1),
        "it divides by the variance: divide by its root, the standard deviation": _normalised(np.add),
        "epsilon is added to the root: it belongs inside, where it keeps the root of 0 away": _normalised(
            lambda variance, epsilon: np.sqrt(variance) + epsilon
        ),
        "scale and shift are missing: what was normalised is multiplied by gamma, and beta is added": (
            lambda Z, gamma, beta, epsilon: right(Z, np.ones_like(gamma), np.zeros_like(beta), epsilon)
        ),
    }
    Z, gamma, beta = _drawn((3, 5), (3, 1), (3, 1))
    agrees(answer, right, [[2 * Z + 1, gamma, beta, 0.1]], mistakes, "Z, gamma, beta, epsilon")


def _normalised(
    divisor: Formula = lambda variance, epsilon: np.sqrt(variance + epsilon), *, axis: int = 1, ddof: int = 0
) -> Formula:
    """Batch norm with another divisor, or with other statistics."""

    def out(Z: np.ndarray, gamma: np.ndarray, beta: np.ndarray, epsilon: float) -> Any:
        centred, variance = Z - Z.mean(axis, keepdims=True), Z.var(axis, ddof=ddof, keepdims=True)
        return gamma * centred / divisor(variance, epsilon) + beta

    return out


def check_dropout(answer: Formula) -> None:
    """Inverted dropout of activations (n, m), its masks from a generator."""
    rng, H = np.random.default_rng(0), np.random.default_rng(1).random((200, 300)) + 0.5
    given = H.copy()
    result = answer(given, DROPPED, rng)
    if result is None or result is ...:
        raise WrongAnswerError("a blank is left: put the formula where `...` stands")
    if np.shape(result) != H.shape:
        template = "it gives an array of shape {given}; expected: {shape}, that of H"
        raise WrongAnswerError(Message(template, given=str(np.shape(result)), shape=str(H.shape)))
    if not np.array_equal(given, H):
        raise WrongAnswerError("`H` is changed on the way: the backward pass needs it, so work on a copy")
    times = np.asarray(result, dtype=float) / H
    dropped = times == 0
    _check_shares(dropped)
    if np.array_equal(answer(H, DROPPED, rng) == 0, dropped):
        raise WrongAnswerError("every call drops the same units: draw from the generator that is handed in")
    kept = times[~dropped]
    if np.allclose(kept, 1):
        raise WrongAnswerError(
            "what stays is not scaled: divide by 1 - p, so that the mean of each unit stays the same"
        )
    if not np.allclose(kept, 1 / (1 - DROPPED)):
        template = "with p = {p:g} what stays is multiplied by {factor:.3g}; expected: 1 / (1 - p) = {expected:.3g}"
        raise WrongAnswerError(Message(template, p=DROPPED, factor=kept.mean(), expected=1 / (1 - DROPPED)))


def _check_shares(dropped: np.ndarray) -> None:
    share = float(dropped.mean())
    if not dropped.any():
        raise WrongAnswerError("nothing is dropped")
    if abs(share - (1 - DROPPED)) < SHARE:
        template = "p is the probability to drop; here units are kept with it: {share:.0%} of them are dropped"
        raise WrongAnswerError(Message(template, share=share))
    for axis, sentence in (
        (1, Message("all samples share one mask: draw a number for each entry of H, rng.random(H.shape)")),
        (0, Message("all units share one mask: draw a number for each entry of H, rng.random(H.shape)")),
    ):
        if (dropped == dropped.take([0], axis)).all():
            raise WrongAnswerError(sentence)
    if abs(share - DROPPED) > SHARE:
        template = "with p = {p:g} a share of {share:.3g} is dropped; expected: {p:g}"
        raise WrongAnswerError(Message(template, p=DROPPED, share=share))


def _adams(
    *, square: float = 2.0, correct: tuple[bool, bool] = (True, True), inside: bool = False, shared: bool = False
) -> Rule:
    """Adam with a mistake: the power of the gradient, moments that are not corrected, epsilon inside the root."""

    def update(P: Tensor, G: Tensor, state: State, hyper: Mapping[str, Tensor], step: int | Tensor) -> None:
        beta1, beta2 = hyper["beta1"], hyper["beta1"] if shared else hyper["beta2"]
        state["mean"].mul_(beta1).add_((1 - beta1) * G)
        state["square"].mul_(beta2).add_((1 - beta2) * G.abs() ** square)
        mean = state["mean"] / (1 - beta1**step) if correct[0] else state["mean"]
        second = state["square"] / (1 - beta2**step) if correct[1] else state["square"]
        root = (second + hyper["epsilon"]).sqrt() if inside else second.sqrt() + hyper["epsilon"]
        P.sub_(hyper["rate"] * mean / root)

    return Rule(lambda P: {"mean": torch.zeros_like(P), "square": torch.zeros_like(P)}, update)


ADAMS = {
    "no moment is corrected for its start at 0: divide each by 1 - beta^step": {"correct": (False, False)},
    "the mean of gradients is not corrected for its start at 0: divide it by 1 - beta1^step": {
        "correct": (False, True)
    },
    "the mean of squares is not corrected for its start at 0: divide it by 1 - beta2^step": {"correct": (True, False)},
    "epsilon is added to the mean of squares: it belongs outside the root": {"inside": True},
    "the mean of squares follows the gradients' sizes: follow G squared": {"square": 1.0},
    "both moments follow with beta1: the squares' is beta2": {"shared": True},
}


def check_adam(init: Formula, update: Formula) -> None:
    """Adam as a rule of the engine, on three members for 200 steps, and the contract that every rule keeps."""
    rule, start = Rule(init, update), first_parameters()
    before = start.clone()
    if (result := stepped(rule, before)).equal(start):
        raise WrongAnswerError("no parameter moves: write into P in place, P.sub_(...), and fill in every blank")
    if not torch.allclose(result, stepped(RULES["adam"], start), rtol=EXACT_STEPS, atol=EXACT_STEPS):
        for sentence, mistake in ADAMS.items():
            if torch.allclose(result, stepped(_adams(**mistake), start), rtol=EXACT_STEPS, atol=EXACT_STEPS):  # type: ignore[arg-type]
                raise WrongAnswerError(sentence)
        one, right = (stepped(each, start, steps=1) - start for each in (rule, RULES["adam"]))
        template = (
            "after 200 steps it is elsewhere; the first step of the first number is {given:+.6g}, expected "
            "{expected:+.6g}"
        )
        raise WrongAnswerError(Message(template, given=float(one[0, 0]), expected=float(right[0, 0])))
    try:
        check_rule(rule)
    except AssertionError as error:
        raise WrongAnswerError(Message("the steps are Adam's, but {why}", why=str(error).splitlines()[0])) from None

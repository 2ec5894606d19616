"""The exercises as they are handed out, each with a blank: softmax, the four equations, Adam, dropout, batch norm."""

from __future__ import annotations

import re
from pathlib import Path

from luthier import storage
from luthier.errors import ConfigError, InputError, nearest
from luthier.labs import exercise_checks as checks
from luthier.labs.exercise import Exercise
from luthier.messages import Message, spoken, tr

EXERCISES = {
    one.name: one
    for one in (
        Exercise(
            "softmax",
            "Softmax: probabilities of scores",
            ("S0-26", "S1-63"),
            '''
import numpy as np


def softmax(z):
    """Probabilities (C, m) of scores (C, m): each sample is a column, whose probabilities add up to 1."""
    ...
''',
            ("softmax",),
            checks.check_softmax,
        ),
        Exercise(
            "bp1",
            "BP1: the error of the output layer",
            ("S1-15",),
            '''
from luthier.classic.network import sigmoid_prime


def output_error(a, y, z):
    """The derivative of |a - y|^2 / 2 by the weighted inputs z, where a = sigmoid(z): all of them are (n, m)."""
    ...
''',
            ("output_error",),
            checks.check_output_error,
        ),
        Exercise(
            "bp2",
            "BP2: the error of a layer from that of the layer above",
            ("S1-16",),
            '''
from luthier.classic.network import sigmoid_prime


def error_below(w, delta, z):
    """The error (k, m) of the layer below, whose weighted inputs are z (k, m).

    w (n, k) leads from it to the layer above, whose error is delta (n, m).
    """
    ...
''',
            ("error_below",),
            checks.check_error_below,
        ),
        Exercise(
            "bp3",
            "BP3: the gradient by the biases",
            ("S1-17",),
            '''
def bias_gradient(delta):
    """The gradient (n, 1) of the cost, summed over a mini-batch, by the biases of a layer with errors delta (n, m)."""
    ...
''',
            ("bias_gradient",),
            checks.check_bias_gradient,
        ),
        Exercise(
            "bp4",
            "BP4: the gradient by the weights",
            ("S1-18",),
            '''
def weight_gradient(a, delta):
    """The gradient (n, k) of the cost, summed over a mini-batch, by the weights w (n, k) of a layer.

    a (k, m) are the activations of the layer below, delta (n, m) the errors of this one.
    """
    ...
''',
            ("weight_gradient",),
            checks.check_weight_gradient,
        ),
        Exercise(
            "adam",
            "Adam, as a rule of the engine",
            ("S2-23", "S2-24"),
            '''
import torch


def init(P):
    """What Adam remembers of parameters P [M, N]: the running means of gradients and of their squares, 0 at first."""
    return {"mean": torch.zeros_like(P), "square": torch.zeros_like(P)}


def update(P, G, state, hyper, step):
    """Take step number `step`, from 1, by gradients G [M, N]: write into P and the tensors of state, as P.sub_ does.

    hyper["rate"], hyper["beta1"], hyper["beta2"] and hyper["epsilon"] are [M, 1].
    """
    ...
''',
            ("init", "update"),
            checks.check_adam,
        ),
        Exercise(
            "dropout",
            "Dropout in training, inverted",
            ("S2-31", "S4-23"),
            '''
import numpy as np


def dropout(H, p, rng):
    """Activations H (n, m) of which each is 0 with probability p, the others scaled so that their mean stays.

    Draw with rng.random(shape): numbers between 0 and 1.
    """
    ...
''',
            ("dropout",),
            checks.check_dropout,
        ),
        Exercise(
            "batch-norm",
            "Batch norm in training",
            ("S0-11", "S2-05"),
            '''
import numpy as np


def batch_norm(Z, gamma, beta, epsilon):
    """Weighted inputs Z (n, m), each unit normalised over the batch, scaled by gamma (n, 1) and shifted by beta (n, 1).

    epsilon keeps the root away from 0.
    """
    ...
''',
            ("batch_norm",),
            checks.check_batch_norm,
        ),
    )
}


def exercise_named(name: str) -> Exercise:
    """An exercise by its name. ConfigError that names the nearest one.

    >>> exercise_named("BP1").asks
    ('output_error',)
    """
    if name.lower() not in EXERCISES:
        known = nearest(name, EXERCISES) or Message("they are {names}", names=", ".join(EXERCISES))
        raise ConfigError([Message("there is no exercise '{name}'; {known}", name=name, known=known)])
    return EXERCISES[name.lower()]


def hand_out(exercise: Exercise, path: Path) -> None:
    """Write an exercise with its blanks. InputError where a file is there already: it may be an answer."""
    if path.exists():
        raise InputError(
            Message("'{path}' is there already, and may hold an answer", path=path),
            remedy=Message(
                "judge it: luthier lab exercise {name} --check {path}; or name another file with -o",
                name=exercise.name,
                path=path,
            ),
        )
    storage.write_text(path, in_words(exercise))


def in_words(exercise: Exercise) -> str:
    """An exercise's file, its docstrings in the language that is spoken; what Python runs is the same in each."""
    asked = tr("Fill in what stands as `...`, then: luthier lab exercise {name} --check FILE", name=exercise.name)
    text = re.sub('"""(.*?)"""', lambda found: f'"""{spoken(found[1])}"""', exercise.text, flags=re.DOTALL)
    return f'"""{spoken(exercise.title)}\n\n{asked}\n"""\n' + text

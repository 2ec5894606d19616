"""How a model of numbers answers: its prediction plus residuals of other rows give equally likely values, and an answer
is one number of these.

The law of a row depends on its prediction alone, so an answer is a function of it: a shift on the modelled scale, the
same for all rows where the answer moves and grows with the values, else a line through knots.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from luthier.assess import score, smearing
from luthier.assess.drift import weighted_quantiles
from luthier.data.target_transform import TargetTransform
from luthier.objective import metric_named
from luthier.objective.metrics import OWN
from luthier.task.best_answers import ANSWERS, answer_for, answer_named

ATOMS, KNOTS = 400, 33
_MOVES = ("mean", "median", "middle of the shortest half")  # with the values, when something is added to all
_GROWS = (*_MOVES, "relative median", "least symmetric error")  # and when all are multiplied
LARGEST_LOG, LEAST_RISE = 700.0, 1e-3
FAR, BEYOND = 1e6, 8.0  # standard deviations: where there are no bounds, knots reach so far


def residual_atoms(residuals: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """At most 400 equally likely values [Q] that stand for weighted residuals [N].

    >>> residual_atoms(np.array([3.0, 1.0, 2.0]))
    array([1., 2., 3.])
    """
    if weights is None and len(residuals) <= ATOMS:
        return np.sort(residuals)
    count = ATOMS if weights is None else min(ATOMS, len(residuals))
    at = (np.arange(count) + 0.5) / count
    return weighted_quantiles(residuals, np.ones(len(residuals)) if weights is None else weights, at)


def law_around(transform: TargetTransform, modelled: np.ndarray, atoms: np.ndarray) -> np.ndarray:
    """Equally likely values [N, Q] on the target's own scale around predictions on the modelled scale [N], within the
    bounds of predictions."""
    low, high = (float(transform.modelled(np.array(end))) for end in (transform.lowest, transform.highest))
    if transform.kind.is_linked:
        values = transform.beside(modelled[:, None], atoms)
        return np.round(values) if transform.kind.whole else values
    values = np.clip(modelled[:, None] + atoms, low, high)
    return np.asarray(np.exp(np.clip(values, -LARGEST_LOG, LARGEST_LOG)) if transform.log else values)


def with_answer(transform: TargetTransform, atoms: np.ndarray, answer: str) -> TargetTransform:
    """The transform whose way back ends at an answer; the mean is the transform as it is fitted, without a shift."""
    plain = replace(transform, knots=(), shifts=())
    if answer == "mean" or not len(atoms):
        return plain
    of = answer_named(answer)
    same = not transform.kind.is_linked and (answer in (_GROWS if transform.log else _MOVES) or answer not in ANSWERS)
    low, high = (end if abs(end) < FAR else np.sign(end) * BEYOND for end in (transform.lowest, transform.highest))
    knots = np.array([(low + high) / 2]) if same else np.linspace(low, high, KNOTS)  # well within the bounds
    modelled = np.asarray(plain.modelled(knots))
    answers = of(law_around(plain, modelled, atoms))
    ends = np.log(np.maximum(answers, 1e-300)) if transform.log else transform.kind.link.output(answers)
    rise = LEAST_RISE * modelled  # an answer rises with the prediction: intervals find their way back
    ends = np.maximum.accumulate(ends - rise) + rise
    return replace(plain, knots=tuple(knots.tolist()), shifts=tuple((ends - modelled).tolist()))


def chosen_answer(
    metric: str,
    transform: TargetTransform,
    outputs: np.ndarray,
    modelled: np.ndarray,
    weights: np.ndarray | None = None,
) -> str:
    """The answer that a metric asks for; of one's own metric the best on these rows, not learnt from."""
    known = metric_named(metric)
    if known.name not in OWN:
        return answer_for(metric)
    y = np.exp(modelled) if transform.log else modelled

    def loss(answer: str) -> float:
        told = answer_from(transform, outputs, modelled, answer, weights).answer(outputs)
        value = score(metric, y, told, weights)
        return -known.sign * value if np.isfinite(value) else np.inf

    return min(ANSWERS, key=loss)


def answer_from(
    transform: TargetTransform,
    outputs: np.ndarray,
    modelled: np.ndarray,
    answer: str,
    weights: np.ndarray | None = None,
) -> TargetTransform:
    """The way back to an answer, from outputs for rows not learnt from [N] and their targets on the modelled scale."""
    residuals = transform.residuals(modelled, outputs)
    if transform.log:
        transform = replace(transform, smear=smearing(residuals, weights))
    return with_answer(transform, residual_atoms(residuals, weights), answer)

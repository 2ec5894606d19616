"""How a model of numbers answers: its prediction plus residuals of other rows give equally likely values, and an answer
is one number of these.

The law of a row depends on its prediction alone, so an answer is a function of it: a shift on the modelled scale, the
same for all rows where residuals are alike and the answer moves and grows with the values, else a line through knots.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from luthier.assess import score, smearing
from luthier.data.target_transform import TargetTransform
from luthier.objective import metric_named
from luthier.objective.metrics import OWN
from luthier.task.best_answers import ANSWERS, answer_for, answer_named
from luthier.task.residual_law import ResidualLaw, fitted_law

KNOTS = 33
SCORED = 1 << 22  # numbers that stand for the laws of rows while these are scored
_MOVES = ("mean", "median", "middle of the shortest half")  # with the values, when something is added to all
_GROWS = (*_MOVES, "relative median", "least symmetric error")  # and when all are multiplied
LARGEST_LOG, LEAST_RISE = 700.0, 1e-3
FAR, BEYOND = 1e6, 8.0  # standard deviations: where there are no bounds, knots reach so far


def law_around(transform: TargetTransform, modelled: np.ndarray, atoms: np.ndarray) -> np.ndarray:
    """Equally likely values [N, Q] on the target's own scale, by residuals [N, Q] or [Q] beside predictions on the
    modelled scale [N], within the bounds of predictions."""
    low, high = (float(transform.modelled(np.array(end))) for end in (transform.lowest, transform.highest))
    if transform.kind.is_linked:
        values = transform.beside(modelled[:, None], atoms)
        return np.round(values) if transform.kind.whole else values
    values = np.clip(modelled[:, None] + atoms, low, high)
    return np.asarray(np.exp(np.clip(values, -LARGEST_LOG, LARGEST_LOG)) if transform.log else values)


def with_answer(transform: TargetTransform, law: ResidualLaw, answer: str) -> TargetTransform:
    """The transform whose way back ends at an answer; the mean is the transform as it is fitted, without a shift."""
    plain = replace(transform, knots=(), shifts=())
    if answer == "mean":
        return plain
    of = answer_named(answer)
    moves = not transform.kind.is_linked and (answer in (_GROWS if transform.log else _MOVES) or answer not in ANSWERS)
    low, high = (end if abs(end) < FAR else np.sign(end) * BEYOND for end in (transform.lowest, transform.highest))
    if moves and not law.by_prediction:
        knots = np.array([(low + high) / 2])  # well within the bounds
    else:
        places = [place for place in law.places if law.by_prediction and low < place < high]
        knots = np.unique([*np.linspace(low, high, KNOTS), *places])
    modelled = np.asarray(plain.modelled(knots))
    answers = of(law_around(plain, modelled, law.at(knots)))
    ends = np.log(np.maximum(answers, 1e-300)) if transform.log else transform.kind.link.output(answers)
    rise = LEAST_RISE * modelled  # an answer rises with the prediction: intervals find their way back
    ends = np.maximum.accumulate(ends - rise) + rise
    return replace(plain, knots=tuple(knots.tolist()), shifts=tuple((ends - modelled).tolist()))


@dataclass(frozen=True)
class LawAround:
    """How values lie around answers, as a score of their whole law sees it. (A decision; see there.)"""

    transform: TargetTransform
    residuals: ResidualLaw

    def seen(self, answers: np.ndarray) -> np.ndarray:
        """Equally likely values [N, Q] of rows with these answers [N].

        >>> law = LawAround(TargetTransform(mean=1.0), ResidualLaw(((-1.0, 1.0),)))
        >>> law.seen(np.array([3.0])).tolist()
        [[2.0, 4.0]]
        """
        outputs = (self.transform.centre(answers) - self.transform.mean) / self.transform.std
        return values_around(self.transform, self.residuals, outputs)


def values_around(transform: TargetTransform, law: ResidualLaw, outputs: np.ndarray) -> np.ndarray:
    """Equally likely values [N, Q] of rows with these outputs [N]: fewer of each where there are many rows."""
    return law_around(transform, np.asarray(transform.modelled(outputs)), law.at(outputs, within=SCORED))


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
    if answer == "mean":
        return replace(transform, knots=(), shifts=())
    return with_answer(transform, fitted_law(residuals, outputs, weights), answer)

"""How far rows' values lie from their predictions: equally likely residuals, alike for all rows or by the prediction.

N rows, P places among the predictions, Q residuals of a place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from luthier.assess.drift import weighted_quantiles

ATOMS, PLACED_ATOMS = 400, 100  # residuals that stand for all rows; for those of a place
ROWS, MOST_PLACES = 500, 9  # a place stands for at least so many rows
COMPARED = 8_000  # rows by which the two are compared
FEWER = 20, PLACED_ATOMS  # residuals of a row where there are many rows
LEVELS = np.linspace(0.05, 0.95, 19)


@dataclass(frozen=True)
class ResidualLaw:
    """Equally likely `residuals` [P, Q], in rising order, of rows whose predictions lie at `places` [P], which rise.

    Between places residuals follow a line, outside they are those of the outermost. One place: alike for all rows.

    >>> law = ResidualLaw(((-1.0, 1.0), (-3.0, 5.0)), (0.0, 10.0))
    >>> law.at(np.array([-4.0, 5.0])).tolist()
    [[-1.0, 1.0], [-2.0, 3.0]]
    """

    residuals: tuple[tuple[float, ...], ...]
    places: tuple[float, ...] = (0.0,)

    @classmethod
    def alike(cls, atoms: np.ndarray) -> ResidualLaw:
        """One for all rows, of equally likely residuals [Q]."""
        return cls((tuple(atoms.tolist()),))

    @property
    def by_prediction(self) -> bool:
        """Whether it depends on the prediction."""
        return len(self.places) > 1

    def at(self, outputs: np.ndarray, *, within: int = 0) -> np.ndarray:
        """The residuals [N, Q] of rows with these predictions [N]; `within` so many numbers in all, 20 to 100 of them
        stand for all of a row."""
        atoms = np.array(self.residuals)
        few = int(np.clip(within // max(1, len(outputs)), *FEWER)) if within else atoms.shape[1]
        if few < atoms.shape[1]:
            atoms = atoms[:, ((np.arange(few) + 0.5) / few * atoms.shape[1]).astype(np.intp)]
        if not self.by_prediction:
            return np.broadcast_to(atoms, (len(outputs), atoms.shape[1]))
        places = np.array(self.places)
        after = np.clip(np.searchsorted(places, outputs), 1, len(places) - 1)
        share = np.clip((outputs - places[after - 1]) / (places[after] - places[after - 1]), 0.0, 1.0)[:, None]
        return np.asarray(atoms[after - 1] * (1 - share) + atoms[after] * share)


def residual_atoms(residuals: np.ndarray, weights: np.ndarray | None = None, most: int = ATOMS) -> np.ndarray:
    """At most 400 equally likely values [Q], or `most`, that stand for weighted residuals [N].

    >>> residual_atoms(np.array([3.0, 1.0, 2.0]))
    array([1., 2., 3.])
    """
    if weights is None and len(residuals) <= most:
        return np.sort(residuals)
    count = most if weights is None else min(most, len(residuals))
    at = (np.arange(count) + 0.5) / count
    return weighted_quantiles(residuals, np.ones(len(residuals)) if weights is None else weights, at)


def fitted_law(residuals: np.ndarray, outputs: np.ndarray, weights: np.ndarray | None = None) -> ResidualLaw:
    """Of residuals [N] beside predictions [N] for rows that were not learnt from, each counting by its weight [N]: by
    the prediction where that is closer on other rows, by the pinball loss of 19 quantiles in the mean of two
    halves."""
    alike = ResidualLaw.alike(residual_atoms(residuals, weights))
    places = min(MOST_PLACES, len(residuals) // ROWS)
    if places < 2:
        return alike
    known = residuals, outputs, np.ones(len(residuals)) if weights is None else weights
    some = np.linspace(0, len(residuals) - 1, min(len(residuals), COMPARED)).astype(np.intp)
    losses = np.zeros(2)
    for half in (0, 1):
        learnt, others = ([values[some[at::2]] for values in known] for at in (half, 1 - half))
        for way, law in enumerate((ResidualLaw.alike(residual_atoms(learnt[0], learnt[2])), _placed(learnt, places))):
            losses[way] += _pinball(law, *others)
    return _placed(known, places) if losses[1] < losses[0] else alike


def _placed(known: Sequence[np.ndarray], places: int) -> ResidualLaw:
    """Residuals, predictions and weights in parts of about as many rows each; predictions that are equal stay together.
    Alike for all rows where a part has too few."""
    residuals, outputs, weights = known
    part = np.searchsorted(np.quantile(outputs, np.arange(1, places) / places), outputs)
    parts = [part == k for k in np.unique(part)]
    atoms = [residual_atoms(residuals[own], weights[own], PLACED_ATOMS) for own in parts]
    if min(len(one) for one in atoms) < PLACED_ATOMS:
        return ResidualLaw.alike(residual_atoms(residuals, weights))
    at = (float(np.median(outputs[own])) for own in parts)
    return ResidualLaw(tuple(tuple(one.tolist()) for one in atoms), tuple(at))


def _pinball(law: ResidualLaw, residuals: np.ndarray, outputs: np.ndarray, weights: np.ndarray) -> float:
    predicted = np.quantile(law.at(outputs), LEVELS, axis=1).T  # [N, 19]
    beside = residuals[:, None] - predicted
    return float(np.average(np.maximum(LEVELS * beside, (LEVELS - 1) * beside).mean(1), weights=weights))

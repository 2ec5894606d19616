"""What a designed experiment says of its factors: a linear model of the logarithm of losses, shrunk by itself.

R settings, S shapes, P points that are asked about, F factors (coded), D columns of the model. The response of a
setting is log(its mean out-of-fold loss) minus that of its shape's first setting on the same folds. An effect's error
comes from the scatter between settings, for factors of a shape from that between shapes: rows and folds are shared by
all settings, so they are not observations of an effect.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from luthier.seeds import numpy_generator
from luthier.statistics.designs import ShapeFactor

REACH = 0.5  # coded, root mean square over the factors besides the rate: how far a diverged setting closes the region


@dataclass(frozen=True)
class FactorEffect:
    """The change of the log loss from a factor's low to its high end, with its standard error; below 0 helps.

    >>> FactorEffect("dropout", -0.04, 0.01).clear
    True
    """

    name: str
    size: float
    error: float

    @property
    def clear(self) -> bool:
        """Whether it is more than two standard errors."""
        return abs(self.size) > 2 * self.error


@dataclass(frozen=True)
class LevelEffect:
    """The change of the log loss at a level against the mean of the factor's levels, with its standard error."""

    name: str
    level: Hashable
    size: float
    error: float


@dataclass(frozen=True, eq=False)
class Effects:
    """Effects of numeric factors on the log loss of settings, against their shapes' first settings.

    >>> points = np.linspace(-1, 1, 21)[:, None]
    >>> effects = Effects.fit(["rate"], points, np.zeros_like(points), 0.1 * points[:, 0])
    >>> round(effects.effect("rate").size, 2)
    0.2
    """

    names: tuple[str, ...]
    rate: str
    coefficients: np.ndarray  # [D]: main effects, squares, products with the rate
    covariance: np.ndarray  # [D, D], of their posterior
    noise: float  # standard deviation of a setting's log loss around the model
    closed: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))  # [closed, F]: settings that diverged

    @classmethod
    def fit(
        cls,
        names: Sequence[str],
        points: np.ndarray,
        firsts: np.ndarray,
        responses: np.ndarray,
        rate: str = "rate",
        shapes: np.ndarray | None = None,
    ) -> Effects:
        """Fit responses [R] at coded points [R, F] with the first settings of their shapes [R, F].

        Rows that are the first setting itself (the same point, a response of 0) may be there or not. The first
        setting's own luck is in all responses of its shape, and is taken out as such. Responses that are not finite
        stay out of the fit, and close their region. `shapes` [R] numbers the shapes, where two of them may have the
        same first setting.
        """
        points, firsts = (np.asarray(one, float).reshape(-1, len(names)) for one in (points, firsts))
        responses = np.asarray(responses, float)
        known = np.isfinite(responses) & ~((points == firsts).all(1) & (responses == 0))
        design = _columns(points, names, rate) - _columns(firsts, names, rate)
        if shapes is None:
            shapes = np.unique(firsts, axis=0, return_inverse=True)[1].reshape(-1)
        fitted = _posterior(*_contrasts(design[known], responses[known], np.asarray(shapes)[known]))
        return cls(tuple(names), rate, *fitted, points[np.isnan(responses) | (responses == np.inf)])

    def mean(self, points: np.ndarray, firsts: np.ndarray) -> np.ndarray:
        """Expected log loss [P] against the first settings; infinite in regions where settings diverged."""
        return np.where(self._is_closed(points), np.inf, self._differences(points, firsts) @ self.coefficients)

    def deviation(self, points: np.ndarray, firsts: np.ndarray) -> np.ndarray:
        """Posterior standard deviation [P] of the mean; the noise of a single setting is not in it."""
        rows = self._differences(points, firsts)
        return np.asarray(np.sqrt(np.maximum(np.einsum("pd,de,pe->p", rows, self.covariance, rows), 0.0)))

    def draws(self, points: np.ndarray, firsts: np.ndarray, count: int, seed: int) -> np.ndarray:
        """Joint posterior draws [count, P] of the mean, infinite where it is."""
        values, vectors = np.linalg.eigh(self.covariance)
        normal = numpy_generator(seed, "posterior").normal(size=(count, len(values)))
        drawn = self.coefficients + normal * np.sqrt(np.maximum(values, 0.0)) @ vectors.T
        return np.where(self._is_closed(points), np.inf, drawn @ self._differences(points, firsts).T)

    def effect(self, name: str) -> FactorEffect:
        """The main effect of a factor over its whole range: squares cancel, the rate is in the middle of its own."""
        k = self.names.index(name)
        return FactorEffect(name, 2 * float(self.coefficients[k]), 2 * float(np.sqrt(self.covariance[k, k])))

    def effects(self) -> tuple[FactorEffect, ...]:
        """The main effects of all factors."""
        return tuple(self.effect(name) for name in self.names)

    def _differences(self, points: np.ndarray, firsts: np.ndarray) -> np.ndarray:
        return np.asarray(_columns(points, self.names, self.rate) - _columns(firsts, self.names, self.rate))

    def _is_closed(self, points: np.ndarray) -> np.ndarray:
        """Whether points [P, F] lie near a setting that diverged, at its rate or a higher one."""
        points = np.asarray(points, float)
        if not len(self.closed):
            return np.zeros(len(points), bool)
        apart = points[:, None] - self.closed[None]
        if self.rate not in self.names:
            return np.asarray((_distance(apart) <= REACH).any(1))
        k = self.names.index(self.rate)
        return np.asarray(((apart[..., k] >= 0) & (_distance(np.delete(apart, k, -1)) <= REACH)).any(1))


@dataclass(frozen=True, eq=False)
class ShapeEffects:
    """Effects of what makes a shape on the log loss of shapes' first settings.

    >>> layers = (ShapeFactor("layers", (1, 2)),)
    >>> shapes = [{"layers": 1}, {"layers": 2}] * 20
    >>> fitted = ShapeEffects.fit(layers, shapes, np.tile([-1.0, -1.2], 20))
    >>> [round(effect.size, 2) for effect in fitted.effects()]
    [0.1, -0.1]
    """

    choices: tuple[ShapeFactor, ...]
    intercept: float
    coefficients: np.ndarray  # [D]: one for each level of each factor
    covariance: np.ndarray  # [D, D]
    noise: float  # standard deviation of a shape's log loss around the model

    @classmethod
    def fit(
        cls, choices: Sequence[ShapeFactor], shapes: Sequence[Mapping[str, Hashable]], responses: np.ndarray
    ) -> ShapeEffects:
        """Fit the log losses [S] of shapes' first settings; those that are not finite stay out."""
        responses = np.asarray(responses, float)
        known = np.isfinite(responses)
        design, responses = _levels(choices, shapes)[known], responses[known]
        coefficients, covariance, noise = _posterior(*_contrasts(design, responses, None))
        intercept = float((responses - design @ coefficients).mean()) if len(responses) else 0.0
        return cls(tuple(choices), intercept, coefficients, covariance, noise)

    def mean(self, shapes: Sequence[Mapping[str, Hashable]]) -> np.ndarray:
        """Expected log losses [P] of shapes' first settings."""
        return np.asarray(self.intercept + _levels(self.choices, shapes) @ self.coefficients)

    def effects(self) -> tuple[LevelEffect, ...]:
        """The effect of each level of each factor."""
        result, start = [], 0
        for choice in self.choices:
            levels = len(choice.levels)
            for k, level in enumerate(choice.levels):
                weights = np.zeros(len(self.coefficients))
                weights[start : start + levels] = -1 / levels
                weights[start + k] += 1
                error = float(np.sqrt(max(0.0, weights @ self.covariance @ weights)))
                result.append(LevelEffect(choice.name, level, float(weights @ self.coefficients), error))
            start += levels
        return tuple(result)


def _columns(points: np.ndarray, names: Sequence[str], rate: str) -> np.ndarray:
    """The model's columns [P, D] of coded points: main effects, squares, products of the others with the rate."""
    points = np.asarray(points, float).reshape(-1, len(names))
    parts = [points, points**2]
    if rate in names:
        k = list(names).index(rate)
        parts.append(np.delete(points, k, 1) * points[:, [k]])
    return np.hstack(parts)


def _levels(choices: Sequence[ShapeFactor], shapes: Sequence[Mapping[str, Hashable]]) -> np.ndarray:
    """One-hot levels [S, D] of shapes, each factor's centred over its levels."""
    columns = [
        np.array([[float(shape[choice.name] == level) for level in choice.levels] for shape in shapes]).reshape(
            len(shapes), len(choice.levels)
        )
        - 1 / len(choice.levels)
        for choice in choices
    ]
    return np.hstack(columns) if columns else np.zeros((len(shapes), 0))


def _contrasts(design: np.ndarray, responses: np.ndarray, shapes: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Rows whose noise is independent and alike, from those [R, D] and [R] that share an unknown level.

    In a shape the first setting's luck is in all rows: it joins them as a row of zeros, and orthonormal contrasts
    leave out the level that all of these share. Without shapes all rows share one level.
    """
    from scipy.linalg import helmert

    rows = np.column_stack([design, responses])
    if shapes is None:
        mixed = helmert(len(rows)) @ rows if len(rows) > 1 else rows[:0]
    else:
        groups = [np.vstack([np.zeros(rows.shape[1]), rows[shapes == shape]]) for shape in np.unique(shapes)]
        mixed = np.vstack([rows[:0], *(helmert(len(group)) @ group for group in groups)])
    return mixed[:, :-1], mixed[:, -1]


def _posterior(design: np.ndarray, responses: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Coefficients [D], their covariance, and the standard deviation of the noise.

    The strength of the shrinkage is learnt from the rows. With fewer rows than columns all could be signal or all
    noise; so the noise begins as large as the responses, and what they show is weighed against one row that says so.
    """
    from sklearn.linear_model import BayesianRidge

    columns = design.shape[1]
    scale = float(np.sqrt((responses**2).mean())) if len(responses) else 0.0
    if not len(responses) or not columns:
        return np.zeros(columns), np.eye(columns), scale  # unknown: a factor of e either way
    if scale == 0:
        return np.zeros(columns), np.zeros((columns, columns)), 0.0
    model = BayesianRidge(
        fit_intercept=False, max_iter=1000, tol=1e-6, alpha_init=1.0, lambda_init=10.0, alpha_1=0.5, alpha_2=0.5
    ).fit(design, responses / scale)
    return model.coef_ * scale, model.sigma_ * scale**2, scale / float(np.sqrt(model.alpha_))


def _distance(apart: np.ndarray) -> np.ndarray:
    """Root mean square of differences [..., F] over factors; 0 where there is none."""
    return np.sqrt((apart**2).mean(-1)) if apart.shape[-1] else np.zeros(apart.shape[:-1])

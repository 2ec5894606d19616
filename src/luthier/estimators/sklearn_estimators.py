"""scikit-learn's estimators: populations of networks behind `fit`, `predict` and `predict_proba`.

All rows that `fit` gets are open: a share of them validates, no test part is sealed, since scikit-learn's users hold
rows out themselves. Several rates and amounts of dropout train at once; the setting with the lowest validation loss
over the seeds is delivered as the mean of its networks. Lengths are counted in epochs, so the same call gives the same
numbers wherever it runs; with a budget of time they depend on the machine.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import polars as pl
import torch
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils import Tags
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from luthier.data import Preprocess, TableEncoder, Task, centre_of
from luthier.data.arrays import to_polars
from luthier.data.target_transform import TargetTransform
from luthier.engine import Member, Settings, step_time, train
from luthier.engine.members.devices import AUTO, CPU
from luthier.engine.placing import candidates, faster
from luthier.errors import InputError
from luthier.estimators.sklearn_rows import (
    Counted,
    all_numbers,
    columns_in,
    counted_rows,
    flat_targets,
    is_frame,
    require_own_names,
    require_scale_of,
    seed_from,
    targets_of_several,
    unmasked,
)
from luthier.kinds import TaskKind
from luthier.nets import DenseSpec
from luthier.objective import USUAL_LOSSES
from luthier.optimise import Schedule
from luthier.recipe import Budget, first_width
from luthier.recipe.preparing.problem import embeddings_of
from luthier.rows import Rows
from luthier.saved import Model
from luthier.seeds import numpy_generator

RATES, DROPOUTS = (1e-3, 4e-3, 1.6e-2), (0.0, 0.25)
WIDEST = 128
FEWEST_HELD_OUT = 20  # rows below which all of them learn, and the last weights count
TARGET = "target"
BATCH = 64
EVALUATIONS = 30


class _Luthier(BaseEstimator):  # type: ignore[misc]
    """What both estimators share."""

    def __init__(
        self,
        *,
        max_epochs: int = 60,
        budget: str | None = None,
        hidden: tuple[int, ...] | None = None,
        seeds: int = 3,
        validation_share: float = 0.2,
        encoding: str = "standardise",
        device: str = AUTO,
        random_state: int | None = 0,
    ) -> None:
        self.max_epochs = max_epochs
        self.budget = budget
        self.hidden = hidden
        self.seeds = seeds
        self.validation_share = validation_share
        self.encoding = encoding
        self.device = device
        self.random_state = random_state

    @staticmethod
    def search_space() -> dict[str, list[Any]]:
        """What a `GridSearchCV` may try beside what `fit` chooses: how numbers enter, and the hidden layers."""
        return {"encoding": ["standardise", "quantile", "piecewise"], "hidden": [None, (32,), (128, 128)]}

    def __sklearn_tags__(self) -> Tags:
        """Missing values may come; tables may have columns of text."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags

    def _table(self, X: Any, *, reset: bool) -> pl.DataFrame:
        """The rows as a table; columns of an array go by their numbers."""
        X = unmasked(X)
        if is_frame(X):
            require_own_names(X)
        if is_frame(X) and not all_numbers(X):
            frame = to_polars(X)
            names = list(frame.columns)
            if reset:
                self.feature_names_in_, self.n_features_in_ = np.array(names, dtype=object), len(names)
            elif names != list(getattr(self, "feature_names_in_", names)):
                raise ValueError(f"the columns are {names}, but in fit they were {list(self.feature_names_in_)}")
            if reset and not len(frame):
                raise ValueError("the table has no rows")
            return frame
        array = validate_data(self, X, reset=reset, dtype=np.float64, ensure_all_finite="allow-nan")
        names = list(getattr(self, "feature_names_in_", ())) or [f"x{k}" for k in range(array.shape[1])]
        return pl.DataFrame(dict(zip(names, array.T, strict=True)))

    def _learn(self, rows: Counted, task: Task, targets: torch.Tensor, seed: int) -> Model:
        """The fitted model; targets are class numbers, or values on their own scale."""
        frame, weights = rows.frame, rows.weights
        if self.max_epochs < 1 or self.seeds < 1 or not 0 <= self.validation_share < 1:
            raise ValueError(
                f"max_epochs and seeds must be at least 1 and validation_share below 1, not {self.max_epochs}, "
                f"{self.seeds} and {self.validation_share}"
            )
        rng = numpy_generator(seed, "estimator")
        training, validation = self._parts(rows, targets.numpy() if task.classes else None, rng)
        columns = columns_in(frame)
        encoder = TableEncoder.fit(frame[training], columns)
        inputs = encoder.encode(frame)
        preprocess = Preprocess.fit(inputs.numbers[training], self.encoding)
        mean, std = 0.0, 1.0
        if not task.classes:
            mean, std = centre_of(targets[training], None if weights is None else weights[training])
            targets = ((targets - mean) / (std or 1.0)).float()
        targets = targets.float() if task.family == "binary" else targets
        whole = Rows(preprocess.prepared(inputs), targets, weights)
        parts = whole.rows(torch.from_numpy(training)), whole.rows(torch.from_numpy(validation))
        outcome, chosen = self._trained(task, encoder, parts, seed)
        nets = tuple(outcome.module(m) for m in chosen)
        self.n_iter_ = max(getattr(self, "n_iter_", 0), *(int(outcome.best_step[m]) for m in chosen))
        reach = float(whole.targets.abs().max()) * 1.5 + 1 if not task.classes else np.inf
        transform = TargetTransform(mean, std or 1.0, lowest=-reach, highest=reach)
        return Model(task, encoder, preprocess, nets, (1 / len(nets),) * len(nets), transform=transform)

    def _parts(
        self, rows: Counted, classes: np.ndarray | None, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Row numbers that learn and that validate; groups stay whole, and of each class the first row learns."""
        count = len(rows.frame)
        held = int(count * self.validation_share)
        groups = np.arange(count) if rows.groups is None else np.unique(rows.groups, return_inverse=True)[1].ravel()
        if held < FEWEST_HELD_OUT or groups.max() == 0:
            return np.arange(count), np.zeros(0, dtype=np.int64)
        place = np.empty(groups.max() + 1)
        place[rng.permutation(len(place))] = np.arange(len(place))
        if classes is not None:
            order = np.argsort(place[groups], kind="stable")
            place[groups[order[np.unique(classes[order], return_index=True)[1]]]] = -1  # these learn
        order = np.argsort(place[groups], kind="stable")
        last = place[groups[order[-held]]]  # the group in which the held-out rows begin
        validating = place[groups] >= last if last > place.min() else place[groups] > last
        return np.flatnonzero(~validating), np.flatnonzero(validating)

    def _trained(self, task: Task, encoder: TableEncoder, parts: tuple[Rows, Rows], seed: int) -> tuple[Any, list[int]]:
        """All settings at once, and the members of the best one."""
        training, validation = parts
        loss = USUAL_LOSSES[task.kind]
        outputs = task.outputs
        embeddings = embeddings_of(encoder.category_sizes)
        inputs = training.numbers.shape[1]
        width = min(WIDEST, first_width(len(training), max(1, inputs + sum(w for _, w in embeddings)), outputs))
        hidden = (width,) * 2 if self.hidden is None else tuple(self.hidden)
        spec = DenseSpec(inputs=inputs, hidden=hidden, outputs=outputs, embeddings=embeddings)
        kinds = [(rate, p) for rate in RATES for p in (DROPOUTS if len(validation) else DROPOUTS[:1])]
        members = [
            Member(spec, seed + 1000 * s, rate, Schedule("cosine"), dropout=(p,) * len(hidden) if p else ())
            for rate, p in kinds
            for s in range(self.seeds)
        ]
        batch = min(BATCH, len(training))
        settings = Settings(loss, "adam", batch, 1, 1, patience=10, tolerance=1e-4, batch_seed=seed)
        devices = candidates(self.device, CPU, processes=1)
        device = devices[0] if len(devices) == 1 else faster(members, training, settings, devices)[0]
        steps = self._steps(members, training, validation, settings, device)
        every = max(1, steps // EVALUATIONS)
        settings = replace(settings, steps=steps, evaluate_every=every, device=device)
        outcome = train(members, training, validation if len(validation) else None, settings)
        losses = outcome.best_validation_loss if len(validation) else outcome.best_train_loss
        table = np.nan_to_num(np.asarray(losses, dtype=float), nan=np.inf).reshape(len(kinds), self.seeds)
        best = int(table.mean(1).argmin())
        if not np.isfinite(table[best]).all():
            raise ValueError(
                "no network could be trained on these rows: all diverged; are the numbers finite and scaled?"
            )
        return outcome, list(range(best * self.seeds, (best + 1) * self.seeds))

    def _steps(
        self, members: list[Member], training: Rows, validation: Rows, settings: Settings, device: torch.device
    ) -> int:
        """How many steps all networks take at most: by `budget` where there is one, else by `max_epochs`."""
        if self.budget is None:
            return self.max_epochs * -(-len(training) // settings.batch_size)
        budget = Budget.parse(self.budget)
        if budget.steps is not None:
            return budget.steps
        assert budget.seconds is not None
        assert isinstance(settings.loss, str)
        judged, size = validation if len(validation) else training, settings.batch_size
        step, evaluation = step_time(
            members, training, judged, loss=settings.loss, rule="adam", batch_size=size, device=device
        )
        return max(1, int((budget.seconds - EVALUATIONS * evaluation) / step))

    def __getstate__(self) -> dict[str, Any]:
        """Parameters and plain attributes, and the model as the bytes of its bundle."""
        state: dict[str, Any] = dict(super().__getstate__())
        if "models_" in state:
            state["_bundles"] = [_as_bytes(model) for model in state.pop("models_")]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """The estimator as it was."""
        bundles = state.pop("_bundles", None)
        super().__setstate__(state)
        if bundles is not None:
            self.models_ = tuple(_from_bytes(bundle) for bundle in bundles)

    @property
    def model_(self) -> Model:
        """The fitted model. InputError where there are several, one for each output."""
        check_is_fitted(self)
        if len(self.models_) > 1:
            expected = f"one of models_, which has {len(self.models_)}"
            raise InputError("there is a model for each output", expected=expected, remedy="models_[0].save(path)")
        return self.models_[0]

    def __sklearn_is_fitted__(self) -> bool:
        """Whether there is a model."""
        return hasattr(self, "models_")

    def save(self, path: str | Path) -> Path:
        """Write the fitted model as a `model.luthier` file, which `luthier.load` opens without scikit-learn."""
        self.model_.save(Path(path))
        return Path(path)


class LuthierClassifier(ClassifierMixin, _Luthier):  # type: ignore[misc]
    """A classifier for scikit-learn's pipelines and searches.

    `max_epochs` bounds the training, or `budget` in its place: "2000steps", or a time such as "10s", which a short
    timing turns into steps (then another machine may give other numbers). `hidden` are the units of each hidden layer
    (chosen by the data otherwise), `seeds` is how many networks are averaged, `validation_share` how many rows choose
    the setting and when to stop (none where that would be fewer than 20), `encoding` how numbers enter ("standardise",
    "robust", "quantile", "piecewise", "periodic"), `device` where networks train ("auto", "cpu", "cuda"),
    `random_state` the seed. Columns of text in a data frame are categories. Missing numbers may be NaN. ValueError, in
    `fit`, for parameters and rows that cannot be used.

    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> LuthierClassifier(max_epochs=50).fit(X, y).score(X, y) > 0.9
    True
    """

    def fit(self, X: Any, y: Any, sample_weight: Any = None, groups: Any = None) -> Self:
        """Learn classes y [N] from rows X [N, F]. ValueError for rows that cannot be used for training.

        Rows of one of `groups` [N] learn together or validate together. In a search or a pipeline, `set_fit_request`
        asks for `sample_weight` and `groups`.
        """
        frame, y = self._table(X, reset=True), np.asarray(unmasked(y))
        y = flat_targets(y, len(frame))
        check_classification_targets(y)
        rows, y = counted_rows(frame, y, sample_weight, groups)
        self.n_iter_ = 0
        self.classes_, numbers = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"LuthierClassifier needs two classes; the data have one class: {self.classes_[0]!r}")
        kind: TaskKind = "binary" if len(self.classes_) == 2 else "multiclass"
        task = Task(kind, TARGET, tuple(str(one) for one in self.classes_), label_kind="text")
        self.models_ = (self._learn(rows, task, torch.from_numpy(numbers), seed_from(self.random_state)),)
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities [N, C], in the order of `classes_`."""
        check_is_fitted(self)
        result = self.model_.probabilities(self.model_.encode(self._table(X, reset=False)))
        shares: np.ndarray = result / result.sum(1, keepdims=True)
        return shares

    def predict(self, X: Any) -> np.ndarray:
        """The most probable class of each row [N]."""
        likeliest = self.predict_proba(X).argmax(1)
        result: np.ndarray = self.classes_[likeliest]
        return result


class LuthierRegressor(RegressorMixin, _Luthier):  # type: ignore[misc]
    """A regressor for scikit-learn's pipelines and searches; parameters as those of `LuthierClassifier`.

    Several outputs, y [N, K], have a model each, `models_`, on the same rows.

    >>> from sklearn.datasets import load_diabetes
    >>> X, y = load_diabetes(return_X_y=True)
    >>> LuthierRegressor(max_epochs=20).fit(X[:300], y[:300]).score(X[300:], y[300:]) > 0.3
    True
    """

    def __sklearn_tags__(self) -> Tags:
        """Several outputs may be asked for."""
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def fit(self, X: Any, y: Any, sample_weight: Any = None, groups: Any = None) -> Self:
        """Learn values y [N] or [N, K] from rows X [N, F]. ValueError for rows that cannot be used for training.

        Rows of one of `groups` [N] learn together or validate together. In a search or a pipeline, `set_fit_request`
        asks for `sample_weight` and `groups`.
        """
        frame, y = self._table(X, reset=True), np.asarray(unmasked(y))
        several = y.ndim == 2 and y.shape[1] > 1
        values = (targets_of_several(y, len(frame)) if several else flat_targets(y, len(frame))).astype(np.float64)
        rows, values = counted_rows(frame, values, sample_weight, groups)
        require_scale_of(values)
        outputs = values.T if several else values[None]
        self.n_iter_, seed = 0, seed_from(self.random_state)
        self.models_ = tuple(
            self._learn(rows, Task("regression", TARGET), torch.from_numpy(np.ascontiguousarray(one)), seed)
            for one in outputs
        )
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Values [N], or [N, K] for several outputs."""
        check_is_fitted(self)
        frame = self._table(X, reset=False)
        columns = [np.asarray(model.values(model.encode(frame)), dtype=np.float64) for model in self.models_]
        return columns[0] if len(columns) == 1 else np.stack(columns, 1)


def _as_bytes(model: Model) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.luthier"
        model.save(path)
        return path.read_bytes()


def _from_bytes(bundle: bytes) -> Model:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.luthier"
        path.write_bytes(bundle)
        return Model.load(path)

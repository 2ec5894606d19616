"""What is to be solved, frozen: the rows, what is predicted and how networks see it, and what was asked for.

N rows, C outputs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any

import polars as pl
import torch
from torch import Tensor

from luthier.data import Encoder, Prepare, Task
from luthier.data.split import fold_rows, group_numbers, strata_of
from luthier.data.target_transform import TargetTransform
from luthier.engine import Stream
from luthier.kinds import KINDS, JointKind
from luthier.nets import DenseSpec
from luthier.objective import USUAL_LOSSES, Loss, loss_by_name, shared_outputs
from luthier.recipe.planning.plan import FOLDS
from luthier.recipe.preparing.joint_targets import JointTargets
from luthier.recipe.preparing.prepare import Prepared
from luthier.recipe.rows.full_training_rows import StreamedInputs
from luthier.request import RunRequest
from luthier.rows import Rows
from luthier.seeds import numpy_generator
from luthier.task import deciding_metric, losses_asked, quantile_levels


@dataclass(frozen=True)
class Problem:
    """Data, target transform and what was asked; what follows from them.

    `preprocess` is kept from an earlier run, by method; other methods are fitted when they are needed first: on the
    training rows, or on all open ones where these are `crossed`, learnt from in folds. None of them looks at targets.
    """

    data: Prepared
    target: TargetTransform
    asked: RunRequest
    preprocess: Mapping[str, Prepare] = field(default_factory=dict)
    crossed: bool = False
    _parts: dict[str, tuple[Prepare, Rows, Rows]] = field(default_factory=dict, repr=False)
    _open_rows: dict[str, Rows] = field(default_factory=dict, repr=False)
    _dealt: dict[int, Tensor] = field(default_factory=dict, repr=False)

    @property
    def task(self) -> Task:
        """What is predicted."""
        return self.data.task

    @property
    def seed(self) -> int:
        """From which every random number of the run follows."""
        return self.asked.seed

    @property
    def medium(self) -> str:
        """What rows are: cells of a table, pictures, or text (perhaps beside other cells)."""
        return self.data.encoder.medium

    @property
    def transfers(self) -> bool:
        """Whether a backbone is fitted, to pictures or texts alone; what it sees in pictures beside other columns is
        computed once."""
        return bool(self.asked.backbone) and self.medium in ("pictures", "text")

    @property
    def joint(self) -> JointTargets | None:
        """Several targets, where they share their networks; `task` is the first of them."""
        return self.data.joint

    @property
    def kind(self) -> str | JointKind:
        """The kind of the target, or of all targets together."""
        return self.task.kind if self.joint is None else self.joint.kind

    @property
    def loss(self) -> str | Loss:
        """The engine's name of the loss; of several targets the loss of all."""
        return USUAL_LOSSES[self.task.kind] if self.joint is None else self.joint.loss

    @property
    def quantiles(self) -> tuple[float, ...]:
        """The quantiles of each row's value that were asked for."""
        return quantile_levels(self.asked.quantiles)

    @property
    def losses(self) -> tuple[str, ...]:
        """The losses that the experiments ask about: those that the metric that decides calls for; of levels whose
        order was inferred that of classes too; the kind's own other one where values call for it; else one alone."""
        usual = USUAL_LOSSES[self.task.kind]
        if not self.data.encoder.dense:
            return (usual,)
        if self.task.traits.is_ordered and not (self.asked.order or self.asked.task):
            return usual, KINDS["multiclass"].loss
        if self._other_loss:
            return usual, self._other_loss
        asked = self.task.kind == "regression" and self.asked_metric
        return (losses_asked(self.asked_metric) if asked else ()) or (usual,)

    @cached_property
    def _other_loss(self) -> str:
        """Another loss of the kind that the training rows' targets call for; empty where none does."""
        part, other = self.data.training, self.task.traits.other_loss
        if other is None or self.joint is not None or part.targets is None:
            return ""
        return other(part.targets.double().numpy(), part.weights_array)

    @property
    def asks_losses(self) -> bool:
        """Whether settings learn by several losses, so that none of them compares them."""
        return self.joint is None and len(self.losses) > 1

    @property
    def is_judged_by_answers(self) -> bool:
        """Whether the deciding metric of answers compares settings, in place of the kind's own loss."""
        return self.asks_losses and not (self.task.is_classes or self.task.traits.is_linked)

    def outputs_for(self, loss: str) -> int:
        """How many outputs a network has that learns by one of the losses."""
        of_classes = self.task.traits.is_ordered and loss == KINDS["multiclass"].loss
        return len(self.task.classes) if of_classes else self.outputs

    @property
    def mixes(self) -> bool:
        """Whether targets may be shares of classes, as mix-up, smoothing and distilling make them."""
        if self.task.traits.is_labels:
            return False
        return self.joint is None and loss_by_name(USUAL_LOSSES[self.task.kind]).mixes

    @property
    def metric(self) -> str:
        """What is reported first: the metric that was asked for, or the task's usual one."""
        return deciding_metric(self.asked.metric, self.task.kind)

    @property
    def asked_metric(self) -> str:
        """The metric that decides, where one was asked for or the kind has its own; else empty: the loss decides."""
        if self.joint is not None:
            return ""
        return self.metric if self.asked.metric or self.task.traits.is_ordered else ""

    @property
    def outputs(self) -> int:
        """C: logits of a network."""
        return self.task.outputs if self.joint is None else self.joint.outputs

    def cross_fitted(self, crossed: bool = True) -> Problem:
        """The same problem, its open rows learnt from in folds; or its validation part judging, where not `crossed`."""
        return replace(self, crossed=crossed, _parts={}, _open_rows={}, _dealt={})

    def prepared(self, method: str) -> tuple[Prepare, Rows, Rows]:
        """Preprocessing fitted on the rows that are learnt from, and both parts through it."""
        if method not in self._parts:
            full, numbers = self.data.full_training_rows, self.data.training.numbers
            if self.crossed:
                numbers = torch.cat([numbers, self.data.validation.numbers])
            fitted = self.preprocess.get(method) or self.data.encoder.preprocess(
                numbers, method, None if full is None else full.measured
            )
            training, validation = (self.part(fitted, part) for part in (self.data.training, self.data.validation))
            if self.crossed:  # both parts are pieces of all open rows, which take their memory once
                whole = self._open_rows[method] = training.joined(validation)
                training, validation = whole.span(0, len(training)), whole.span(len(training), len(whole))
            self._parts[method] = (fitted, training, validation)
        return self._parts[method]

    def open_rows(self, method: str) -> Rows:
        """All rows that may be learnt from, the validation rows last, behind one way of preprocessing."""
        _, training, validation = self.prepared(method)
        return self._open_rows[method] if self.crossed else training.joined(validation)

    def judged(self, method: str) -> Rows:
        """The rows that settings are judged by: all open ones where these are crossed, or else the validation part."""
        return self.open_rows(method) if self.crossed else self.prepared(method)[2]

    @property
    def judging(self) -> Mapping[str, Rows]:
        """The parts that these rows are, by name, in their order."""
        validation = {"validation": self.data.validation}
        return {"training": self.data.training, **validation} if self.crossed else validation

    def dealt(self, number: int) -> Tensor:
        """The rows that judge, in folds [N]: equal rows and rows of a group stay together, classes in equal shares.

        Each number is another partition. Crossed rows are learnt from in these folds; weights of networks are chosen
        without one and scored on it.
        """
        if number not in self._dealt:
            self._dealt[number] = self._deal(number)
        return self._dealt[number]

    def with_folds(self, folds: Tensor) -> Problem:
        """The same problem, its rows that judge in these folds [N]."""
        return replace(self, _dealt={0: folds})

    def _deal(self, number: int) -> Tensor:
        frame, group = pl.concat([self.data.frames[name] for name in self.judging]), self.asked.group
        if self.crossed:
            groups, whole = group_numbers(frame[group]) if group else self.data.together, bool(group)
        else:
            units = self.data.units["validation"]
            groups, whole = units.numbers(len(frame)), units.kind != "rows"
        rng = numpy_generator(self.seed, "folds", number)
        left_out = fold_rows(groups, strata_of(frame[self.task.target], self.task), FOLDS, rng, whole=whole)
        result = torch.empty(len(frame), dtype=torch.int64)
        for fold, rows in enumerate(left_out):
            result[torch.from_numpy(rows)] = fold
        return result

    def full_training_rows(self, method: str) -> tuple[Rows | Stream, Rows]:
        """All training rows, from the disk where memory holds but a sample of them, and the validation part."""
        fitted, training, validation = self.prepared(method)
        if self.data.full_training_rows is None:
            return training, validation
        return Stream(StreamedInputs(self.data.full_training_rows.rows, partial(self.part, fitted))), validation

    def part(self, fitted: Prepare, dataset: Rows) -> Rows:
        """Rows as the networks of this run see them."""
        targets = dataset.targets
        assert targets is not None
        if self.joint is not None:
            targets = self.joint.standardised(targets).float()
        elif not self.task.is_classes:
            targets = self.target.standardise(targets).float()
        return Rows(fitted.prepared(dataset.inputs), targets, dataset.weights)

    def spec(self, method: str, hidden: tuple[int, ...], **options: Any) -> DenseSpec:
        """A dense network for this task behind one way of preprocessing."""
        _, training, _ = self.prepared(method)
        return DenseSpec(
            inputs=training.numbers.shape[1],
            hidden=hidden,
            outputs=self.outputs,
            constant_outputs=shared_outputs(self.loss, self.outputs),
            embeddings=embeddings_of(self.data.encoder.category_sizes),
            **options,
        )


def embedding_width(levels: int) -> int:
    """Width of a category's embedding: grows slowly with its levels, fastai's rule of thumb.

    >>> embedding_width(2), embedding_width(50), embedding_width(10_000)
    (2, 14, 50)
    """
    return int(min(50, max(2, round(1.6 * levels**0.56))))


def embeddings_of(sizes: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """Levels and width of each category's embedding."""
    return tuple((levels, embedding_width(levels)) for levels in sizes)


def input_count(encoder: Encoder, numbers: int) -> int:
    """Ni: numeric columns plus the widths of the categories' embeddings."""
    return max(1, numbers + sum(embedding_width(levels) for levels in encoder.category_sizes))

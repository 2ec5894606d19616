"""The delivered model: raw columns in, predictions in the target's own type out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor

from luthier.assess import (
    Decision,
    Familiarity,
    Profile,
    RowIntervals,
    RowQuantiles,
    of_second,
    prediction_sets,
    seen_by,
    tempered,
)
from luthier.data import (
    Encoder,
    Prepare,
    Task,
    Unread,
    decode_classes,
    read_source,
)
from luthier.data.target_transform import TargetTransform
from luthier.data.typed_columns.numerals import NumberStyle
from luthier.data.values import styles_of
from luthier.errors import ConfigError, InputError, LuthierError, in_a_line
from luthier.messages import Message
from luthier.nets import Licence, Net
from luthier.rows import Inputs, arguments
from luthier.saved.blend import Blend, activate, read_as
from luthier.saved.bundle import read_bundle, write_bundle
from luthier.saved.bundled_parts import contents_of
from luthier.saved.explained_rows import medium_of
from luthier.saved.explanation import Explanation, dependence_frame
from luthier.saved.in_threads import in_threads
from luthier.saved.other_answers import changes_for
from luthier.saved.rebuilding import MismatchError, parts_of
from luthier.saved.row_laws import interval_ends, quantile_values
from luthier.saved.word_shares import WordShare, word_shares
from luthier.task import ClassAnswer, LabelAnswer, LawAround, ResidualLaw

ROWS, NUMBERS = 8192, 2**21  # rows through the networks at once, and numbers of these
PIECE = 8192  # rows of a table that a thread computes at a time
ROWS_OF_TABLES = 2048  # so few that the activations of a hidden layer stay in the cache


@dataclass(frozen=True)
class Model:
    """Encoder, preprocessing and one or more networks whose outputs are averaged with `weights`.

    Classes: probabilities are averaged, then tempered. Values: averaged, then brought back by `transform`. `half_width`
    is the 90 % conformal half width on the modelled scale; where there are `row_intervals`, each row has its own.
    Of two classes the second is predicted from probability `threshold` on (`positive_threshold` says it of the positive
    one); of several the likeliest, or by a `decision`; of labels those that reach their `label_thresholds`. A model of
    numbers gives the `answer` that the run's metric asked for: with a law of `residuals` on the modelled scale it can
    give others. Classes with at least the probability `set_threshold` are in a row's 90 % set; `familiarity`
    detects rows unlike those of training. `licences` are those of a backbone and of its weights.
    """

    task: Task
    encoder: Encoder
    preprocess: Prepare
    nets: tuple[Net, ...]
    weights: tuple[float, ...]
    temperature: float = 1.0
    transform: TargetTransform = field(default_factory=TargetTransform)
    half_width: float = 0.0
    threshold: float = 0.5
    set_threshold: float = 0.0
    decision: ClassAnswer | None = None
    label_thresholds: tuple[float, ...] = ()
    answer: str = "mean"
    residuals: ResidualLaw | None = None
    familiarity: Familiarity | None = None
    profile: Profile | None = None
    licences: tuple[Licence, ...] = ()
    row_intervals: RowIntervals | None = None
    row_quantiles: RowQuantiles | None = None
    metrics: Mapping[str, Any] = field(default_factory=dict)

    def predict(self, frame: Any) -> pl.Series:
        """Classes, values, or lists of labels (text, `a;b`), for the rows of a table."""
        return self.decoded(self.answers(self.encode(frame)))

    def predict_proba(self, frame: Any) -> pl.DataFrame:
        """Probabilities for the rows of a table, one column a class or label."""
        probabilities = self.probabilities(self.encode(frame))
        return pl.DataFrame({label: probabilities[:, c] for c, label in enumerate(self.task.classes)})

    def predict_interval(self, frame: Any) -> pl.DataFrame:
        """A 90 % interval for each row of a table, columns `low` and `high`; for regressions."""
        if self.task.is_classes:
            raise LuthierError("prediction intervals are for regressions", remedy="use predict_proba")
        inputs = self.encode(frame)
        low, high = self.intervals(self.answers(inputs), inputs)
        return pl.DataFrame({"low": low, "high": high})

    @property
    def styles(self) -> dict[str, NumberStyle]:
        """How numbers are written in the columns of text that a table may have, and in its target."""
        return styles_of(self.encoder.columns, self.task)

    def encode(self, frame: Any, *, impute_missing_columns: bool = False, unread: Unread | None = None) -> Inputs:
        """The inputs of a table's rows, as they are encoded; cells that training did not know count in `unread`.

        The table is whatever `luthier.fit` takes: a frame of pandas, Polars or Arrow, a path, dicts, an array. Rows
        that are encoded already stay as they are, so all methods take them in place of a table.
        """
        if isinstance(frame, Inputs):
            return frame
        frame = frame if isinstance(frame, pl.DataFrame) else read_source(frame, styles=self.styles).frame
        return self.encoder.encode(frame, impute_missing_columns=impute_missing_columns, unread=unread)

    def answers(self, inputs: Inputs) -> np.ndarray:
        """What all answers follow from: probabilities [N, C] of classes, or values [N] on the target's own scale.

        Of a large table a few thousand rows at a time, one thread each: several threads on a product so small wait for
        each other, and longer where a core is busy. The pieces, so the numbers, are the same for any number of threads.
        """
        answer = self.probabilities if self.task.is_classes else self.values
        return self.in_pieces(answer, inputs)

    def in_pieces(self, answer: Callable[..., np.ndarray], *rows: Inputs | Tensor) -> np.ndarray:
        """What `answer` gives of rows, of many of them a piece at a time, in threads."""
        return in_threads(answer, *rows, at_once=PIECE) if self.encoder.dense else answer(*rows)

    def decoded(self, answers: np.ndarray) -> pl.Series:
        """Classes, or values, in the target's own type."""
        if not self.task.is_classes:
            return pl.Series(self.task.target, answers)
        if self.answer == "probability":
            two = self.task.family == "binary"
            return pl.Series(self.task.target, answers[:, self.task.positive_index] if two else answers.max(1))
        return decode_classes(torch.from_numpy(self.classes_of(answers)), self.task)

    def classes_of(self, probabilities: np.ndarray) -> np.ndarray:
        """Class numbers [N] of probabilities [N, C]; of labels 1 for those that a row has [N, C]."""
        if self.task.traits.is_labels:
            return LabelAnswer(np.array(self.label_thresholds)).seen(probabilities)
        if self.task.family == "binary":
            return np.asarray(probabilities[:, 1] >= self.threshold).astype(np.int64)
        return np.asarray(probabilities.argmax(1)) if self.decision is None else self.decision.classes(probabilities)

    def seen_by(self, metric: str, prediction: np.ndarray) -> np.ndarray:
        """Answers, values [N] or probabilities [N, C], as a metric is to see them: perhaps the classes decided for."""
        return seen_by(metric, prediction, self.threshold, self.decides)

    @property
    def decides(self) -> Decision | None:
        """What is answered of probabilities, where that is not the likeliest class; how values lie around numbers."""
        if not self.task.is_classes:
            return None if self.residuals is None else LawAround(self.transform, self.residuals)
        return LabelAnswer(np.array(self.label_thresholds)) if self.label_thresholds else self.decision

    def answering(self, answer: str) -> Model:
        """The same model with another answer: mean, median, a quantile such as q0.9; of classes, `probability`.

        InputError for an answer that it cannot give.
        """
        return replace(self, **changes_for(answer, self.task, self.answer, self.transform, self.residuals))

    @property
    def positive_threshold(self) -> float:
        """The probability of the positive class from which on a row is called so."""
        return of_second(self.threshold, self.task.positive_index)

    def predict_set(self, frame: Any) -> pl.Series:
        """The 90 % prediction set of each row, as text with `|` between the classes."""
        return self.sets_of(self.probabilities(self.encode(frame)))

    def sets_of(self, probabilities: np.ndarray) -> pl.Series:
        """The 90 % prediction sets [N] of probabilities [N, C], as text."""
        inside = self.inside_sets(probabilities)
        return pl.Series("set", ["|".join(np.asarray(self.task.classes)[row]) for row in inside], dtype=pl.String)

    def inside_sets(self, probabilities: np.ndarray) -> np.ndarray:
        """Which classes are in the 90 % prediction sets of probabilities [N, C]."""
        if self.task.traits.is_labels:
            raise InputError("prediction sets are of one class a row", remedy="use predict_proba")
        return prediction_sets(probabilities, self.set_threshold, ordered=self.task.traits.is_ordered)

    @torch.no_grad()
    def unlike_training(self, frame: Any) -> pl.Series:
        """Whether each row lies farther from the training rows than nearly all validation rows did; none where the
        model has no picture of its training."""
        inputs = self.encode(frame)
        if self.familiarity is None or not inputs.rows:
            return pl.Series("unlike_training", np.zeros(inputs.rows, dtype=bool))
        return pl.Series("unlike_training", self.familiarity.unlike(self.features(inputs)))

    def features(self, inputs: Inputs) -> np.ndarray:
        """What rows are compared by [N, F]: numbers standardised, gaps filled; pictures by the means of their parts."""
        return np.asarray(self.preprocess.plain(inputs).double().numpy())

    def intervals(self, values: np.ndarray, inputs: Inputs) -> tuple[np.ndarray, np.ndarray]:
        """The ends of the 90 % intervals around the predicted values [N] of encoded rows."""
        return interval_ends(self, values, inputs)

    def predict_quantiles(self, frame: Any) -> pl.DataFrame:
        """The quantiles that the run was asked for, columns such as `q0.1`; InputError where it was for none."""
        inputs = self.encode(frame)
        found = self.quantiles(self.answers(inputs), inputs)
        return pl.DataFrame({name: found[:, q] for q, name in enumerate(self.quantile_names)})

    @property
    def quantile_names(self) -> tuple[str, ...]:
        """The quantiles that the model knows, as answers: q0.1, q0.9."""
        return () if self.row_quantiles is None else tuple(f"q{level:g}" for level in self.row_quantiles.levels)

    def quantiles(self, values: np.ndarray, inputs: Inputs) -> np.ndarray:
        """The quantiles [N, Q] of encoded rows with the predicted values [N]."""
        return quantile_values(self, values, inputs)

    def probabilities(self, inputs: Inputs) -> np.ndarray:
        """Class probabilities [N, C]."""
        if not self.task.is_classes:
            raise LuthierError("a regression has no probabilities", remedy="use predict or predict_interval")
        return self.tempered(self.averaged(inputs))

    def tempered(self, averaged: np.ndarray) -> np.ndarray:
        """Probabilities [N, C] of the networks' mean."""
        return tempered(averaged, self.temperature, each=self.task.traits.is_labels)

    def values(self, inputs: Inputs) -> np.ndarray:
        """Predicted values [N] on the target's own scale."""
        return self.transform.answer(self.averaged(inputs)[:, 0])

    def averaged(self, inputs: Inputs) -> np.ndarray:
        """The weighted mean output in float64: probabilities [N, C] not yet tempered, or values [N, 1]."""
        blocks = list(self._blocks(inputs))
        return np.concatenate(blocks) if blocks else np.zeros((0, max(1, len(self.task.classes))))

    @torch.no_grad()
    def _blocks(self, inputs: Inputs) -> Iterator[np.ndarray]:
        at_once = ROWS_OF_TABLES if self.encoder.dense else min(ROWS, inputs.rows_within(NUMBERS))
        for some in inputs.pieces(at_once):
            ready = self.preprocess.prepared(some)
            parts = [
                weight * activate(net(*arguments(net, ready)), self.reading)
                for net, weight in zip(self.nets, self.weights, strict=True)
            ]
            mean = torch.stack(parts).sum(0).numpy()
            yield mean if self.task.classes else self.transform.bounded(mean)

    @property
    def blend(self) -> Blend:
        """From the networks' logits to the answer, in differentiable operations."""
        return Blend(self.reading, self.weights, self.temperature, self.transform)

    @property
    def reading(self) -> str:
        """The kind by which the networks' outputs are read."""
        return read_as(self.task, self.nets[0].spec.outputs)

    def explain(self, frame: Any, of: str | None = None) -> Explanation:
        """Feature attributions of each row's prediction, for columns or pixels, by integrated gradients.

        Explained are the log-odds of the class `of`, or of the predicted one, or the value of a regression, relative
        to a typical row: medians and most frequent levels, no text, or a flat picture of the same mean colour.
        Where text or a picture stands beside other columns, shares are Shapley values of whole columns; a text's words
        are explained by `explain_words`. Needs Captum (extra `explain`) for gradients. InputError for an unknown class.
        """
        inputs = self.encode(frame)
        told = torch.from_numpy(self._explained(inputs, of))
        medium, pieces = medium_of(self.encoder), []
        for some in torch.split(torch.arange(len(told)), medium.at_once):
            few = inputs.map(lambda value, some=some: value[some])  # type: ignore[misc]
            pieces.append(medium.explained(self, few, told[some]))
        names, columns = self.task.classes or (self.task.target,), medium.columns(self.encoder)
        answer, typical, shares = (torch.cat(parts).double().numpy() for parts in zip(*pieces, strict=True))
        return Explanation(tuple(names[int(c)] for c in told), answer, typical, shares, columns)

    def explain_words(self, frame: Any, of: str | None = None) -> list[list[WordShare]]:
        """For each row of a table with text its words, those first whose absence changes most what `explain` explains.

        InputError for a model without text, and for a class that the model does not know.
        """
        if not self.encoder.texts:
            raise InputError("the model has no column of text", remedy="use explain, for columns or pixels")
        frame = frame if isinstance(frame, pl.DataFrame) else read_source(frame, styles=self.styles).frame
        told = torch.from_numpy(self._explained(self.encode(frame), of))

        def answer(some: pl.DataFrame, rows: np.ndarray) -> np.ndarray:
            return self.margins(self.encode(some)).gather(1, told[rows][:, None])[:, 0].numpy()

        return word_shares(answer, frame, self.encoder.texts[0].names)

    @torch.no_grad()
    def margins(self, inputs: Inputs) -> Tensor:
        """Log-odds [N, C] of classes, or values [N, 1], of encoded rows."""
        pieces = [
            self.blend.margins([net(*arguments(net, ready)) for net in self.nets])
            for ready in map(self.preprocess.prepared, inputs.pieces(ROWS))
        ]
        return torch.cat(pieces) if pieces else torch.zeros(0, max(1, len(self.task.classes)))

    def dependence(self, frame: Any, column: str, ends_of: int = 0) -> pl.DataFrame:
        """Partial dependence: the mean prediction over a table's rows at each value of a column, by value and class.

        Columns `value`, `of` (the class, or the target), `mean`, and the 10th and 90th percentile of the
        rows' predictions, `low` and `high`, of all classes or of the `ends_of` that change most. InputError for a
        column of dates, text or pictures.
        """
        inputs = self.encode(frame)
        place = medium_of(self.encoder).settable(self, column)
        answer = self.probabilities if self.task.is_classes else self.values
        return dependence_frame(answer, inputs, place, self.task.classes or (self.task.target,), ends_of)

    def typical_row(self) -> dict[str, float | str | bool | None]:
        """A typical row: medians and most frequent levels, None for text, dates and unknown values.

        Empty for a model of pictures.
        """
        return medium_of(self.encoder).typical_row(self)

    def _explained(self, inputs: Inputs, of: str | None) -> np.ndarray:
        if of is not None:
            if of not in self.task.classes:
                raise InputError(
                    Message("there is no class '{of}'", of=of), expected=", ".join(self.task.classes[:20]) or "no class"
                )
            return np.full(inputs.rows, self.task.classes.index(of))
        if not self.task.is_classes:
            return np.zeros(inputs.rows, dtype=np.int64)
        shares = self.probabilities(inputs)
        return shares.argmax(1) if self.task.traits.is_labels else self.classes_of(shares)

    def save(self, path: Path) -> None:
        """Write the model as one file."""
        write_bundle(path, contents_of({part.name: getattr(self, part.name) for part in fields(self)}))

    @classmethod
    def load(cls, path: str | Path) -> Model:
        """Read a model file. InputError when it is damaged or not a model."""
        try:
            return cls(**parts_of(read_bundle(Path(path))))
        except ConfigError as error:  # of a network's spec
            raise InputError(
                Message("'{path}' does not describe a model", path=path), received=in_a_line(error)
            ) from error
        except MismatchError as error:
            raise error.about(f"'{path}' does not describe a model") from None

"""What is written of a judged run: its scores, and what lies below them.

Frozen records, made by whoever measures, written as JSON with their version and read as the same types (`versioned`).
A file of an earlier version has none: what it lacks has its default. A number that is not defined is NaN, in JSON null.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields, replace
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AliasChoices, BeforeValidator, Field, WrapValidator

from luthier.assess.calibration import Reliability
from luthier.assess.conformal import SetFigures
from luthier.assess.importance import ColumnImportance
from luthier.assess.label_scores import LabelScore
from luthier.assess.register import SealHistory
from luthier.assess.row_intervals import Coverage
from luthier.assess.subgroups import SubgroupScore, WorstCase
from luthier.assess.versioned import (
    VERSION,
    Measured,
    SaidFinding,
    Version,
    null_as_nan,
    whole_interval,
    without_nulls,
    written_record,
)
from luthier.records import JsonObject, Measure
from luthier.schema_types import (
    Count,
    MessageText,
    Number,
    Share,
    Text,
    Undefined,
    with_its_messages,
)

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Comparison = Literal["better", "worse", "within noise", "unknown"]


@dataclass(frozen=True)
class Headline(Measure):
    """The first metric, and what validation rows say of it."""

    validation: Measured = field(kw_only=True)


MeasuredHeadline = Annotated[
    Headline, BeforeValidator(null_as_nan), WrapValidator(with_its_messages), AfterValidator(whole_interval)
]


@dataclass(frozen=True)
class JudgedBaseline:
    """A baseline beside the network: its scores, and what the network gains over it."""

    name: Text
    test: Measured
    difference: Measured
    verdict: Comparison
    validation: Measured | None = None
    note: Text = ""


@dataclass(frozen=True)
class SeedScore:
    """A network alone."""

    seed: MessageText
    value: Undefined
    validation: Undefined = float("nan")


@dataclass(frozen=True)
class Confusion:
    """How true and predicted classes meet: rows, or the sums of their weights."""

    labels: list[Text]
    matrix: list[list[Annotated[float, Field(ge=0, le=2**63, allow_inf_nan=False)]]]
    weighted: bool = False

    def to_json(self) -> JsonObject:
        """The matrix as it is: `asdict` would copy each of a million numbers by itself."""
        return {one.name: getattr(self, one.name) for one in fields(self)}


@dataclass(frozen=True)
class PredictedPoints:
    """True and predicted values."""

    true: Annotated[list[Number], Field(min_length=1)]
    predicted: list[Number]


@dataclass(frozen=True)
class StoredRangeTest:
    """A range test of the learning rate, and the rate that short runs near its pick confirmed."""

    rule: Text
    rates: Annotated[list[Positive], Field(min_length=1)]
    losses: list[Number | None]
    low: list[Number | None]
    high: list[Number | None]
    rules: dict[Text, Annotated[float, Field(gt=1e-300, allow_inf_nan=False)]]
    confirmed_rate: Number
    band: dict[Text, tuple[Number, Number]] = field(default_factory=dict)
    pick: Number = 0.0
    widened: bool = False
    trials: list[dict[Text, Number | None]] = field(default_factory=list)
    confirmed: list[dict[Text, Number | None]] = field(default_factory=list)


@dataclass(frozen=True)
class TrialFacts:
    """A network of a fit, or a setting of an experiment with the mean of its networks' losses."""

    stage: Text
    population: Text
    label: MessageText
    inputs: Text
    rule: Text
    schedule: Text
    learning_rate: Number
    width: Count
    depth: Count
    norm: Text
    dropout: list[Share]
    train_loss: Undefined
    validation_loss: Undefined
    status: MessageText
    member: Count = 0
    l2: Number = 0.0
    weight_decay: Number = 0.0
    clip_norm: Number = 1e9
    batch_size: Count = 0
    seed: int = 0
    validation_score: Undefined = float("nan")


@dataclass(frozen=True)
class QuantileScore:
    """A quantile of test rows: the share of values below, its pinball loss, and that of boosted trees."""

    level: Number
    below: Number
    loss: Number
    trees: Number | None


@dataclass(frozen=True)
class DependenceRow:
    """The mean answer at a value."""

    value: Number | Text | bool | None
    of: Text
    mean: Number
    low: Number
    high: Number


@dataclass(frozen=True)
class Dependence:
    """The answer by the values of a column."""

    column: Text
    kind: Text
    rows: Annotated[list[DependenceRow], Field(min_length=1)]


@dataclass(frozen=True)
class UnlikeRows:
    """How many test rows are unlike the training rows."""

    rows: Count
    share: Number


@dataclass(frozen=True)
class ThresholdCost:
    """What a row costs at the chosen threshold and at one half, and how rows are sorted at the chosen one."""

    threshold: Number
    cost: Number
    at_one_half: Annotated[float, Field(validation_alias=AliasChoices("at_one_half", "at one half"))]
    false_positives: Annotated[int, Field(validation_alias=AliasChoices("false_positives", "false positives"))]
    false_negatives: Annotated[int, Field(validation_alias=AliasChoices("false_negatives", "false negatives"))]
    positive: Text = ""


@dataclass(frozen=True)
class Inside:
    """The six questions of optimisation with their answers, and in how many networks each finding was seen."""

    questions: list[Annotated[list[MessageText], Field(min_length=2, max_length=2)]]
    networks: Count
    findings: dict[Text, Count] = field(default_factory=dict)


@dataclass(frozen=True)
class PictureSheet:
    """Pictures as one PNG in base64: so many `columns` of them, with what is `said` of each."""

    png: Annotated[str, Field(pattern=r"^[A-Za-z0-9+/=]*$")]
    columns: Count = 0
    said: list[MessageText] = field(default_factory=list)


@dataclass(frozen=True)
class PictureSheets:
    """Sheets of pictures by what they show."""

    augmented: PictureSheet | None = None
    worst: PictureSheet | None = None
    why: PictureSheet | None = None


@dataclass(frozen=True)
class Reading:
    """The test set read once more."""

    when: Text
    headline: Measured
    metrics: list[Measured] = field(default_factory=list)


@dataclass(frozen=True)
class Scores:
    """The final judgement: the deliverable, its seeds and the baselines on the test set, and what lies below them.

    Where nothing is sealed (`estimate`) open rows stand for the test set, each predicted by networks that had not
    learnt from it; `openings` is how often the test set was read, None in runs of versions that did not count.
    """

    metric: Annotated[str, Field(min_length=1)]
    headline: MeasuredHeadline
    difference_to_validation: Measured
    metrics: list[Measured]
    seeds: list[SeedScore]
    baselines: list[JudgedBaseline]
    sentence: MessageText
    next_step: MessageText = ""
    calibration: Reliability | Coverage | None = None
    positive: Text = ""
    confusion: Confusion | None = None
    labels: list[LabelScore] = field(default_factory=list)
    predicted: PredictedPoints | None = None
    quantiles: list[QuantileScore] = field(default_factory=list)
    no_better_than_constant: SaidFinding | None = None
    failed_baselines: dict[Text, MessageText] = field(default_factory=dict)
    absent: list[Text] = field(default_factory=list)
    range_tests: list[StoredRangeTest] = field(default_factory=list)
    trials: list[TrialFacts] = field(default_factory=list)
    importance: list[ColumnImportance] = field(default_factory=list)
    dependence: list[Dependence] = field(default_factory=list)
    subgroups: list[SubgroupScore] = field(default_factory=list)
    worst: list[WorstCase] = field(default_factory=list)
    why: list[list[tuple[Text, Number]]] = field(default_factory=list)
    unlike: UnlikeRows | None = None
    sets: SetFigures | None = None
    cost: ThresholdCost | None = None
    forgotten: Measured | None = None
    inside: Inside | None = None
    sheets: PictureSheets = PictureSheets()
    estimate: bool = False
    openings: Count | None = None
    readings: list[Reading] = field(default_factory=list)
    seal: SealHistory | None = None
    version: Version = VERSION

    @property
    def history(self) -> SealHistory:
        """What was known of the test rows when they were read; runs of earlier versions counted their own readings."""
        return self.seal or SealHistory(self.headline.n, 1 if self.openings is None else self.openings)

    def to_json(self) -> JsonObject:
        """The record as JSON values, with what its sentences are made of."""
        seal, confusion = (None if one is None else one.to_json() for one in (self.seal, self.confusion))
        return written_record({**asdict(replace(self, confusion=None)), "seal": seal, "confusion": confusion})


def _fits_together(scores: Scores) -> Scores:
    """What is read beside each other is equally long, and places are places of what they point to."""
    if scores.calibration is None or not scores.next_step:
        raise ValueError("Input should be scores with a calibration and a next step")
    points, tests, equal = scores.predicted, scores.range_tests, list[list[int]]()
    equal += [] if points is None else [[len(points.true), len(points.predicted)]]
    equal += [[len(values) for values in (test.rates, test.losses, test.low, test.high)] for test in tests]
    equal += [[len(scores.worst), len(scores.why)]] if scores.why else []
    if scores.confusion is not None:
        classes = len(scores.confusion.labels)
        equal += [[classes, len(scores.confusion.matrix)], [classes, *map(len, scores.confusion.matrix)]]
        places = [place for row in scores.worst for place in (row.true, row.predicted)]
        if any(place not in range(classes) for place in places) or any(one.probability is None for one in scores.worst):
            raise ValueError("Input should be scores whose worst rows have classes and probabilities")
    if any(len(set(lengths)) > 1 for lengths in equal):
        raise ValueError("Input should be scores with lists of equal lengths")
    if any(all(loss is None for loss in test.losses) for test in tests):
        raise ValueError("Input should be scores with a loss in every range test")
    return scores


StoredScores: Any = Annotated[Scores, BeforeValidator(without_nulls), AfterValidator(_fits_together)]

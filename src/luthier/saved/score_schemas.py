"""What scores.json and drift.json hold; see `schemas`."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired

from pydantic import AfterValidator, Field
from typing_extensions import TypedDict

from luthier.saved.label_schema import LabelFacts, require_places
from luthier.saved.quantile_schema import QuantileFacts
from luthier.schema_types import OPEN, Count, Number, Sentence, Share, Text


def _whole_interval(measure: Any) -> Any:
    ends = measure.get("low"), measure.get("high")
    if (ends[0] is None) != (ends[1] is None) or (measure["value"] is None and ends != (None, None)):
        raise ValueError("Input should be a value with both ends of its interval, or with none")
    return measure


class Measured(TypedDict):
    """A number with its interval; see `Measure`."""

    __pydantic_config__ = OPEN  # type: ignore[misc]
    name: Sentence
    value: Number | None
    low: Number | None
    high: Number | None
    n: Count
    of: NotRequired[Text]
    note: NotRequired[Text]


MeasureFacts = Annotated[Measured, AfterValidator(_whole_interval)]


class Headline(Measured):
    """The first metric, and what validation rows say of it."""

    validation: MeasureFacts


class BaselineFacts(TypedDict):
    """A baseline beside the network."""

    __pydantic_config__ = OPEN  # type: ignore[misc]
    name: Text
    test: MeasureFacts
    difference: MeasureFacts
    verdict: Literal["better", "worse", "within noise", "unknown"]


class SeedFacts(TypedDict):
    """A network alone."""

    __pydantic_config__ = OPEN  # type: ignore[misc]
    seed: Text
    value: Number | None


class ConfusionFacts(TypedDict):
    """How true and predicted classes meet: rows, or the sums of their weights."""

    __pydantic_config__ = OPEN  # type: ignore[misc]
    labels: list[Text]
    matrix: list[list[Annotated[float, Field(ge=0, le=2**63, allow_inf_nan=False)]]]
    weighted: NotRequired[bool]


class PointFacts(TypedDict):
    """True and predicted values."""

    __pydantic_config__ = OPEN  # type: ignore[misc]
    true: Annotated[list[Number], Field(min_length=1)]
    predicted: list[Number]


class RangeFacts(TypedDict):
    """A range test of the learning rate."""

    __pydantic_config__ = OPEN  # type: ignore[misc]
    rule: Text
    rates: Annotated[list[Annotated[float, Field(gt=0, allow_inf_nan=False)]], Field(min_length=1)]
    losses: list[Number | None]
    low: list[Number | None]
    high: list[Number | None]
    rules: dict[Text, Annotated[float, Field(gt=1e-300, allow_inf_nan=False)]]
    confirmed_rate: Number


class TrialFacts(TypedDict):
    """A network of a fit."""

    __pydantic_config__ = OPEN  # type: ignore[misc]
    stage: Text
    population: Text
    label: Text
    inputs: Text
    rule: Text
    schedule: Text
    learning_rate: Number
    width: Count
    depth: Count
    norm: Text
    dropout: list[Share]
    train_loss: Number | None
    validation_loss: Number | None
    status: Text


class BinFacts(TypedDict):
    """A bin of confidence."""

    __pydantic_config__ = OPEN  # type: ignore[misc]
    confidence: Number
    accuracy: Number
    count: Annotated[int, Field(ge=1, le=2**53)]


class CalibrationFacts(TypedDict):
    """Of classes."""

    __pydantic_config__ = OPEN  # type: ignore[misc]
    bins: Annotated[list[BinFacts], Field(min_length=1)]
    ece: Number
    before: Number


class ThirdFacts(TypedDict):
    """Of a third of the rows: how often its intervals hold the value."""

    __pydantic_config__ = OPEN  # type: ignore[misc]
    rows: Count
    coverage: Number
    mean_width: Number


class CoverageFacts(TypedDict):
    """Of values; `thirds` are those of the intervals' widths, none where all are as wide."""

    __pydantic_config__ = OPEN  # type: ignore[misc]
    nominal: Number
    coverage: Number
    thirds: NotRequired[list[ThirdFacts]]


class ImportanceFacts(TypedDict):
    """What shuffling a column costs."""

    __pydantic_config__ = OPEN  # type: ignore[misc]
    column: Text
    drop: Number | None
    spread: Number | None


class DependenceRow(TypedDict):
    """The mean answer at a value."""

    __pydantic_config__ = OPEN  # type: ignore[misc]
    value: Number | Text | bool | None
    of: Text
    mean: Number
    low: Number
    high: Number


class DependenceFacts(TypedDict):
    """The answer by the values of a column."""

    __pydantic_config__ = OPEN  # type: ignore[misc]
    column: Text
    kind: Text
    rows: Annotated[list[DependenceRow], Field(min_length=1)]


class SubgroupFacts(TypedDict):
    """The score of some rows."""

    __pydantic_config__ = OPEN  # type: ignore[misc]
    column: Text
    value: Text
    rows: Count
    score: Number | None
    chance: Number | None
    worse: bool


class WorstFacts(TypedDict):
    """A row with a bad prediction; of classes their numbers, of labels those of all that it has."""

    __pydantic_config__ = OPEN  # type: ignore[misc]
    row: Count
    true: Number | list[Count]
    predicted: Number | list[Count]
    probability: NotRequired[Number]


class UnlikeFacts(TypedDict):
    """How many test rows are unlike the training rows."""

    __pydantic_config__ = OPEN  # type: ignore[misc]
    rows: Count
    share: Number


SetFacts = TypedDict("SetFacts", {"nominal": Number, "coverage": Number, "mean size": Number, "sure": Number})
CostFacts = TypedDict(
    "CostFacts",
    {
        "positive": NotRequired[Text],
        "threshold": Number,
        "cost": Number,
        "at one half": Number,
        "false positives": Count,
        "false negatives": Count,
    },
)


class InsideFacts(TypedDict):
    """The six questions of optimisation."""

    __pydantic_config__ = OPEN  # type: ignore[misc]
    questions: list[Annotated[list[Text], Field(min_length=2, max_length=2)]]
    networks: Count


class SheetFacts(TypedDict):
    """A sheet of pictures."""

    __pydantic_config__ = OPEN  # type: ignore[misc]
    png: Annotated[str, Field(pattern=r"^[A-Za-z0-9+/=]*$")]


class Augmented(SheetFacts):
    """Augmented pictures, so many in a row."""

    columns: Count


class WorstSheet(SheetFacts):
    """The worst pictures, with what each is."""

    said: list[Text]


class Sheets(TypedDict):
    """Sheets of pictures by what they show."""

    __pydantic_config__ = OPEN  # type: ignore[misc]
    augmented: NotRequired[Augmented | None]
    worst: NotRequired[WorstSheet | None]
    why: NotRequired[SheetFacts | None]


class SealFacts(TypedDict):
    """What was known of the test rows when they were read."""

    __pydantic_config__ = OPEN  # type: ignore[misc]
    rows: Annotated[int, Field(ge=0, le=2**53)]
    readings: Annotated[int, Field(ge=0, le=2**53)]  # 0 where nothing is sealed
    read: Annotated[float, Field(ge=0, le=1)]
    opened: Annotated[float, Field(ge=0, le=1)]
    runs: Annotated[int, Field(ge=0, le=2**31)]
    counted: bool
    damaged: Annotated[int, Field(ge=0, le=2**31)]


class ReadingFacts(TypedDict):
    """The test set read once more."""

    __pydantic_config__ = OPEN  # type: ignore[misc]
    when: Text
    headline: MeasureFacts


class ConstantFacts(TypedDict):
    """A finding: the network is no better than a constant."""

    __pydantic_config__ = OPEN  # type: ignore[misc]
    sentence: Text
    remedy: Text


class Scores(TypedDict):
    """The final judgement."""

    __pydantic_config__ = OPEN  # type: ignore[misc]
    metric: Sentence
    headline: Annotated[Headline, AfterValidator(_whole_interval)]
    difference_to_validation: MeasureFacts
    metrics: list[MeasureFacts]
    seeds: list[SeedFacts]
    baselines: list[BaselineFacts]
    sentence: Sentence
    confusion: ConfusionFacts | None
    labels: NotRequired[list[LabelFacts] | None]
    predicted: PointFacts | None
    calibration: CalibrationFacts | CoverageFacts
    quantiles: NotRequired[list[QuantileFacts]]
    next_step: Sentence
    no_better_than_constant: NotRequired[ConstantFacts | None]
    failed_baselines: NotRequired[dict[Text, Text]]
    absent: NotRequired[list[Text]]
    range_tests: NotRequired[list[RangeFacts]]
    trials: NotRequired[list[TrialFacts]]
    importance: NotRequired[list[ImportanceFacts] | None]
    dependence: NotRequired[list[DependenceFacts] | None]
    subgroups: NotRequired[list[SubgroupFacts] | None]
    worst: NotRequired[list[WorstFacts] | None]
    why: NotRequired[list[list[tuple[Text, Number]]] | None]
    unlike: NotRequired[UnlikeFacts | None]
    sets: NotRequired[SetFacts | None]
    cost: NotRequired[CostFacts | None]
    forgotten: NotRequired[MeasureFacts | None]
    inside: NotRequired[InsideFacts | None]
    sheets: NotRequired[Sheets | None]
    estimate: NotRequired[bool]  # by rows that also chose: nothing is sealed
    openings: NotRequired[Annotated[int, Field(ge=0, le=2**31)]]
    readings: NotRequired[list[ReadingFacts]]
    seal: NotRequired[SealFacts]


def _lengths_agree(scores: Any) -> Any:
    """What is read beside each other is equally long, and places are places of what they point to."""
    confusion, points, worst = scores["confusion"], scores["predicted"], scores.get("worst") or []
    equal = [] if points is None else [list(map(len, points.values()))[:2]]
    tests = scores.get("range_tests", [])
    equal += [[len(test[name]) for name in ("rates", "losses", "low", "high")] for test in tests]
    equal += [[len(worst), len(scores["why"])]] if scores.get("why") else []
    if confusion is not None:
        classes = len(confusion["labels"])
        equal += [[classes, len(confusion["matrix"])], [classes, *map(len, confusion["matrix"])]]
        places = [row[name] for row in worst for name in ("true", "predicted")]
        if any(place not in range(classes) for place in places) or any("probability" not in row for row in worst):
            raise ValueError("Input should be scores whose worst rows have classes and probabilities")
        for row in worst:
            row["true"], row["predicted"] = int(row["true"]), int(row["predicted"])
    require_places(scores.get("labels"), worst)
    if any(len(set(lengths)) > 1 for lengths in equal):
        raise ValueError("Input should be scores with lists of equal lengths")
    if any(all(loss is None for loss in test["losses"]) for test in tests):
        raise ValueError("Input should be scores with a loss in every range test")
    return scores


ScoreFacts: Any = Annotated[Scores, AfterValidator(_lengths_agree)]


class DriftColumn(TypedDict):
    """How far a column has drifted."""

    __pydantic_config__ = OPEN  # type: ignore[misc]
    column: Text
    statistic: Text
    value: Number
    threshold: Annotated[float, Field(gt=1e-300, allow_inf_nan=False)]
    drifted: bool


class Apart(TypedDict):
    """How well trees tell new rows from training rows."""

    __pydantic_config__ = OPEN  # type: ignore[misc]
    auc: Number
    low: Number
    high: Number


class DriftFacts(TypedDict):
    """What `luthier check` found last."""

    __pydantic_config__ = OPEN  # type: ignore[misc]
    source: Text
    rows: Count
    columns: list[DriftColumn]
    told_apart: NotRequired[Apart | None]
    finding: NotRequired[ConstantFacts | None]
    score: MeasureFacts | None
    verdict: Text


class CheckFacts(TypedDict):
    """One check among all of a run: when, on which rows, and what it found."""

    __pydantic_config__ = OPEN  # type: ignore[misc]
    at: Sentence
    source: Text
    rows: Count
    until: Text
    level: Literal["fine", "watch", "act"]
    drifted: list[Text]
    farthest: Number
    score: MeasureFacts | None

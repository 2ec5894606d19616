"""What the lines of ledger.jsonl hold, by kind; see `schemas`. Kinds that are not named may hold anything."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired

from pydantic import Discriminator, Field, Tag
from typing_extensions import TypedDict

from luthier.schema_types import OPEN, Count, Number, Plain, Sentence, Text

Step = Annotated[int, Field(ge=0, le=6)]


class _Gain(TypedDict):
    __pydantic_config__ = OPEN  # type: ignore[misc]
    gain: Number | None
    half_width: Number | None
    clear: bool


class _Measured(TypedDict):
    __pydantic_config__ = OPEN  # type: ignore[misc]
    loss: NotRequired[Number | None]
    gain: NotRequired[_Gain | Number | None]


class OptionRecord(TypedDict):
    """What a decision could have chosen, with what was measured for it."""

    __pydantic_config__ = OPEN  # type: ignore[misc]
    name: Text
    evidence: _Measured


class DecisionRecord(TypedDict):
    """A decision: what its evidence holds is checked by the code that decides."""

    __pydantic_config__ = OPEN  # type: ignore[misc]
    kind: Literal["decision"]
    step: Step
    code: Text
    of: Text
    choice: Plain
    evidence: dict[Text, Plain]


class WrittenDecision(TypedDict):
    """A decision of an earlier version, in sentences."""

    __pydantic_config__ = OPEN  # type: ignore[misc]
    kind: Literal["decision"]
    step: Step
    topic: Text
    chosen: Text
    reason: Text
    options: list[OptionRecord]
    evidence: dict[Text, Plain]
    override: NotRequired[Text]


class FindingRecord(TypedDict):
    """A finding."""

    __pydantic_config__ = OPEN  # type: ignore[misc]
    kind: Literal["finding"]
    step: NotRequired[Step]
    severity: Literal["note", "warning", "error"]
    sentence: Text
    remedy: Text


class PlanRecord(TypedDict):
    """The plan."""

    __pydantic_config__ = OPEN  # type: ignore[misc]
    kind: Literal["plan"]
    sentence: Text
    plan: dict[Text, Plain]


class CutRecord(TypedDict):
    """Work that ended before its plan did."""

    __pydantic_config__ = OPEN  # type: ignore[misc]
    kind: Literal["cut"]
    work: Text
    step: Count
    reason: Text


class RepeatRecord(TypedDict):
    """A round of folds."""

    __pydantic_config__ = OPEN  # type: ignore[misc]
    kind: Literal["repeat"]
    steps: Count
    sentence: Text


class PiecesRecord(TypedDict):
    """A population that was trained in pieces at once."""

    __pydantic_config__ = OPEN  # type: ignore[misc]
    kind: Literal["pieces"]
    work: Text
    sizes: list[Annotated[int, Field(ge=1)]]


class OpeningRecord(TypedDict):
    """A reading of the test set."""

    __pydantic_config__ = OPEN  # type: ignore[misc]
    kind: Literal["opening"]
    purpose: Text
    rows: Count


class SentenceRecord(TypedDict):
    """A note, or the judgement."""

    __pydantic_config__ = OPEN  # type: ignore[misc]
    kind: Literal["note", "judgement"]
    step: Step
    sentence: Sentence


class OtherRecord(TypedDict):
    """Of a kind that nothing here reads."""

    __pydantic_config__ = OPEN  # type: ignore[misc]
    kind: Text
    step: NotRequired[Step]


_KNOWN = ("decision", "finding", "plan", "cut", "repeat", "pieces", "opening")


def _kind(record: Any) -> str:
    if not isinstance(record, dict):
        return "other"
    kind = record.get("kind")
    if kind == "decision" and "code" not in record:
        return "written"
    return "sentence" if kind in ("note", "judgement") else str(kind) if kind in _KNOWN else "other"


LedgerRecord: Any = Annotated[
    Annotated[DecisionRecord, Tag("decision")]
    | Annotated[WrittenDecision, Tag("written")]
    | Annotated[FindingRecord, Tag("finding")]
    | Annotated[PlanRecord, Tag("plan")]
    | Annotated[CutRecord, Tag("cut")]
    | Annotated[RepeatRecord, Tag("repeat")]
    | Annotated[PiecesRecord, Tag("pieces")]
    | Annotated[OpeningRecord, Tag("opening")]
    | Annotated[SentenceRecord, Tag("sentence")]
    | Annotated[OtherRecord, Tag("other")],
    Discriminator(_kind),
]

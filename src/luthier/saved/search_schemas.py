"""What search.json holds; see `schemas`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from typing_extensions import TypedDict

from luthier.schema_types import CLOSED, OPEN, Count, Number, Plain, Text, Whole


class _Finding(TypedDict):
    __pydantic_config__ = OPEN  # type: ignore[misc]
    severity: Literal["note", "warning", "error"]
    sentence: Text
    remedy: Text


class _Best(TypedDict):
    __pydantic_config__ = OPEN  # type: ignore[misc]
    value: Number
    values: dict[Text, Plain]


class _Refitted(TypedDict):
    __pydantic_config__ = OPEN  # type: ignore[misc]
    mean: Number
    spread: Number
    seeds: list[Number]


class _Gain(TypedDict):
    __pydantic_config__ = OPEN  # type: ignore[misc]
    mean: Number
    low: Number
    high: Number
    pairs: Count
    clear: bool


class _Effort(TypedDict):
    __pydantic_config__ = OPEN  # type: ignore[misc]
    sampler: Text
    halving: Text
    tiers: bool
    epochs: Count
    seed: Whole


Value = bool | Whole | Number | Text


class _NumberFacts(TypedDict):
    __pydantic_config__ = CLOSED  # type: ignore[misc]
    low: Number
    high: Number
    scale: Text
    integer: bool
    default: Number | None
    tier: Whole | None
    when: dict[Text, list[Value]]


class _ChoiceFacts(TypedDict):
    __pydantic_config__ = CLOSED  # type: ignore[misc]
    options: Annotated[list[Value], Field(min_length=1)]
    default: Value | None
    tier: Whole | None
    when: dict[Text, list[Value]]


class SpaceFacts(TypedDict):
    """What was searched."""

    __pydantic_config__ = OPEN  # type: ignore[misc]
    dimensions: dict[Text, _NumberFacts | _ChoiceFacts]
    fixed: dict[Text, Value]


class _ShareFacts(TypedDict):
    __pydantic_config__ = OPEN  # type: ignore[misc]
    name: Text
    tier: Whole
    share: Number
    low: Number
    high: Number


class _BoxFacts(TypedDict):
    __pydantic_config__ = OPEN  # type: ignore[misc]
    stage: Text
    box: dict[Text, tuple[Number, Number]]


class StudyFacts(TypedDict):
    """What a search found."""

    __pydantic_config__ = OPEN  # type: ignore[misc]
    space: SpaceFacts
    effort: _Effort
    complete: bool
    trials: Count
    cut: Count
    best: _Best | None
    measured: _Refitted | None
    score: Number | None
    gain: _Gain | None
    refits: dict[Text, Annotated[list[Number], Field(min_length=1)]]
    tables: dict[Text, list[_ShareFacts]]
    boxes: list[_BoxFacts]
    notes: list[Text]
    findings: list[_Finding]

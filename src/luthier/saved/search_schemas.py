"""What search.json holds; see `schemas`."""

from __future__ import annotations

from typing import Annotated, Literal, final

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


@final
class NumberRange(TypedDict):
    """A number that is searched."""

    __pydantic_config__ = CLOSED  # type: ignore[misc]
    low: Number
    high: Number
    scale: Text
    integer: bool
    default: Number | None
    tier: Whole | None
    when: dict[Text, list[Value]]


@final
class ChoiceOptions(TypedDict):
    """A choice that is searched."""

    __pydantic_config__ = CLOSED  # type: ignore[misc]
    options: Annotated[list[Value], Field(min_length=1)]
    default: Value | None
    tier: Whole | None
    when: dict[Text, list[Value]]


class SpaceFacts(TypedDict):
    """What was searched."""

    __pydantic_config__ = OPEN  # type: ignore[misc]
    dimensions: dict[Text, NumberRange | ChoiceOptions]
    fixed: dict[Text, Value]


class ShareFacts(TypedDict):
    """What a hyper-parameter explains of the trials."""

    __pydantic_config__ = OPEN  # type: ignore[misc]
    name: Text
    tier: Whole
    share: Number
    low: Number
    high: Number


class BoxFacts(TypedDict):
    """The ranges of a stage of a search from coarse to fine."""

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
    tables: dict[Text, list[ShareFacts]]
    boxes: list[BoxFacts]
    notes: list[Text]
    findings: list[_Finding]

"""How records of measures, findings and sentences are written with a version, and read again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, WrapValidator

from luthier.messages import with_messages
from luthier.records import Finding, JsonObject, Measure
from luthier.schema_types import Count, with_its_messages

VERSION = 1


def null_as_nan(measure: Any) -> Any:
    """A measure as JSON has it, whose value is NaN where it is null."""
    undefined = isinstance(measure, Mapping) and "value" in measure and measure["value"] is None
    return {**measure, "value": float("nan")} if undefined else measure


def whole_interval(measure: Measure) -> Measure:
    """A measure with both ends of its interval, or with none; ValueError for others."""
    ends = measure.low, measure.high
    if (ends[0] is None) != (ends[1] is None) or (measure.value != measure.value and ends != (None, None)):
        raise ValueError("Input should be a value with both ends of its interval, or with none")
    return measure


def _known_version(version: int) -> int:
    if version > VERSION:
        raise ValueError(f"version {VERSION} or older: it was written by a newer version of Luthier")
    return version


Version = Annotated[Count, AfterValidator(_known_version)]
Measured = Annotated[
    Measure, BeforeValidator(null_as_nan), WrapValidator(with_its_messages), AfterValidator(whole_interval)
]
SaidFinding = Annotated[Finding, WrapValidator(with_its_messages)]


def written_record(content: Mapping[str, Any]) -> JsonObject:
    """A record for a JSON file: its version, and beside its messages what they are made of."""
    made: JsonObject = with_messages({"version": VERSION, **content})
    return made


def without_nulls(content: Any) -> Any:
    """What an earlier version left out, or wrote as null, has its default."""
    if not isinstance(content, Mapping):
        return content
    return {name: value for name, value in content.items() if value is not None}

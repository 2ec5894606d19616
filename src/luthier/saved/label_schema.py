"""What `scores.json` holds of labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from typing_extensions import TypedDict

from luthier.schema_types import OPEN, Count, Number, Text


class LabelFacts(TypedDict):
    """How a label does by itself."""

    __pydantic_config__ = OPEN  # type: ignore[misc]
    label: Text
    place: Count
    rows: Count
    share: Number
    threshold: Number
    precision: Number | None
    recall: Number | None
    f1: Number | None


def require_places(labels: Sequence[Any] | None, worst: Sequence[Any]) -> None:
    """ValueError where the worst rows have labels that there are not, or lists without labels."""
    places = {one["place"] for one in labels or ()}
    given = [row[name] for row in worst for name in ("true", "predicted")]
    if any(isinstance(one, list) != bool(labels) or (labels and not places.issuperset(one)) for one in given):
        raise ValueError("Input should be scores whose worst rows have labels that there are")

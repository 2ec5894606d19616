"""What scores.json holds of a quantile."""

from __future__ import annotations

from typing_extensions import TypedDict

from luthier.schema_types import OPEN, Number


class QuantileFacts(TypedDict):
    """A quantile of test rows: the share of values below, its pinball loss, and that of boosted trees."""

    __pydantic_config__ = OPEN  # type: ignore[misc]
    level: Number
    below: Number
    loss: Number
    trees: Number | None

"""What a check of a run against new rows found, and the list of a run's checks. Frozen records; see `versioned`."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, WrapValidator

from luthier.assess.distribution_shift import ToldApart
from luthier.assess.drift import DriftRow
from luthier.assess.versioned import VERSION, Measured, SaidFinding, Version, without_nulls, written_record
from luthier.records import JsonObject
from luthier.schema_types import Count, MessageText, Number, Text, with_its_messages

SaidDrift = Annotated[DriftRow, WrapValidator(with_its_messages)]
Level = Literal["fine", "watch", "act"]


@dataclass(frozen=True)
class ScoreChange:
    """A new score minus that `before`, turned so that more is better, with its interval; `where` is what was before."""

    value: Number
    low: Number
    high: Number
    before: Number
    where: MessageText = "on the test set"


@dataclass(frozen=True)
class RunCheck:
    """What a check of a run against new rows found."""

    source: Text
    rows: Count
    verdict: MessageText
    columns: list[SaidDrift] = field(default_factory=list)
    until: Text = ""
    prediction: SaidDrift | None = None
    told_apart: ToldApart | None = None
    unread: list[MessageText] = field(default_factory=list)
    unlike: Number = 0.0
    known: Count = 0
    score: Measured | None = None
    unscored: MessageText = ""
    change: ScoreChange | None = None
    finding: SaidFinding | None = None
    level: Level = "fine"
    version: Version = VERSION

    @property
    def drifted(self) -> list[str]:
        """The names of the columns that have drifted, each once."""
        return list(dict.fromkeys(row.column for row in self.columns if row.drifted))

    def to_json(self) -> JsonObject:
        """The record as JSON values, with what its sentences are made of."""
        return written_record(asdict(self))


@dataclass(frozen=True)
class PastCheck:
    """One check among all of a run: when, on which rows, and what it found."""

    at: Annotated[str, Field(min_length=1)]
    source: Text
    rows: Count
    until: Text
    level: Level
    drifted: list[Text]
    farthest: Number
    score: Measured | None
    version: Version = VERSION

    def to_json(self) -> JsonObject:
        """The record as JSON values."""
        return written_record(asdict(self))


StoredCheck: Any = Annotated[RunCheck, BeforeValidator(without_nulls)]

"""Plain records that any room may return; who keeps them is decided further down the house."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, TypeAlias, TypeVar

from luthier.citations import cited
from luthier.messages import Message, as_message, spoken, tr, with_messages

Severity = Literal["note", "warning", "error"]
# What is written as JSON. Records that are read back have types of their own.
JsonValue: TypeAlias = "bool | int | float | str | Sequence[JsonValue] | Mapping[str, JsonValue] | None"
JsonObject: TypeAlias = "Mapping[str, JsonValue]"
Result = TypeVar("Result")


def figure(value: float | None) -> str:
    """A number of four digits, or that it is not defined (NaN; in JSON None).

    >>> figure(0.97123), figure(float("nan")), figure(None)
    ('0.9712', 'undefined', 'undefined')
    """
    return "undefined" if value is None or value != value else f"{value:.4g}"


@dataclass(frozen=True)
class Measure:
    """A number with its uncertainty.

    `low` and `high` bound a 95 % interval (both None where none was computed); `n` is how many
    rows, seeds or repeats it rests on. `of` is the class of two that it is about; `note` says why its value
    (then NaN) or its interval could not be worked out.

    >>> str(Measure("accuracy", 0.971, 0.955, 0.982, 360))
    'accuracy 0.971 [0.955, 0.982] (n=360)'
    >>> str(Measure("f1", 0.5, None, None, 40, of="fraud", note="no interval: 5 groups, fewer than 8"))
    "f1 of 'fraud' 0.5, no interval: 5 groups, fewer than 8 (n=40)"
    """

    name: str
    value: float
    low: float | None = None
    high: float | None = None
    n: int = 0
    of: str = ""
    note: str = ""

    def __str__(self) -> str:
        return f"{self.name_of} {self.figures}" + (f" (n={self.n})" if self.n else "")

    @property
    def in_words(self) -> Message:
        """The number as a message, of which the metric's name follows the language.

        >>> str(Measure("accuracy", 0.971, 0.955, 0.982, 360).in_words)
        'accuracy 0.971 [0.955, 0.982] (n=360)'
        """
        rows = f" (n={self.n})" if self.n else ""
        return Message("{name} {figures}{rows}", name=self.title, figures=self.figures, rows=rows)

    @property
    def title(self) -> Message:
        """The name, with the class that it is about, as a message."""
        name = Message(self.name)
        return Message("{metric} of '{name}'", metric=name, name=self.of) if self.of else name

    @property
    def name_of(self) -> str:
        """The name, with the class that it is about."""
        return f"{self.name} of '{self.of}'" if self.of else self.name

    @property
    def figures(self) -> str:
        """The value with its interval, or why there is none."""
        if self.value != self.value:
            return self.note or "undefined"
        if self.low is None or self.high is None:
            return f"{self.value:.4g}" + (f", {self.note}" if self.note else "")
        return f"{self.value:.4g} [{self.low:.4g}, {self.high:.4g}]"

    @property
    def interval(self) -> str:
        """The interval alone, or why there is none."""
        if self.low is None or self.high is None:
            return spoken(self.note)
        return tr("{low:.4g} to {high:.4g}", low=self.low, high=self.high)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Measure:
        """The record that `to_json` gave, of which JSON has null where the value is not defined."""
        known = {name: value[name] for name in cls.__dataclass_fields__ if name in value}
        return cls(**{**known, "value": float("nan") if value["value"] is None else value["value"]})

    def to_json(self) -> JsonObject:
        """The record as plain JSON values."""
        return asdict(self)


def signed(gain: Measure) -> str:
    """A difference with its sign and its interval, or why there is none.

    >>> signed(Measure("accuracy gained", 0.02, -0.01, 0.05))
    '+0.02 [-0.01, +0.05]'
    """
    if gain.low is None or gain.high is None:
        return gain.note if gain.value != gain.value else f"{gain.value:+.4g}" + (f", {gain.note}" if gain.note else "")
    return f"{gain.value:+.4g} [{gain.low:+.4g}, {gain.high:+.4g}]"


@dataclass(frozen=True)
class Finding:
    """A named diagnosis: what was seen, the numbers that show it, and one thing to do about it.

    `code` is stable and machine-readable ("dead-relu"); `source` names the document row or paper
    that the threshold comes from; `to_json` gives it as a title.
    """

    code: str
    severity: Severity
    sentence: str
    evidence: Mapping[str, Any] = field(default_factory=dict)
    remedy: str = ""
    source: str = ""

    def __post_init__(self) -> None:
        for name in ("sentence", "remedy"):
            object.__setattr__(self, name, as_message(getattr(self, name)))

    def to_json(self) -> JsonObject:
        """The record as plain JSON values, with what its sentences are made of."""
        content: JsonObject = with_messages({**asdict(self), "source": cited(self.source)})
        return content


@dataclass(frozen=True)
class Option:
    """One of the things a decision could have chosen, with what was measured for it; `taken` marks the choice."""

    name: str
    evidence: Mapping[str, Any] = field(default_factory=dict)
    taken: bool = False


@dataclass(frozen=True)
class Wording:
    """A decision in words: what was asked, what was chosen and why, and the options with what was measured for them.

    `measured` says what their numbers are, `override` how a user can decide otherwise (empty where that cannot be).

    >>> Wording("loss", "softmax cross-entropy", "the target has 10 classes").sentence()
    'loss: softmax cross-entropy; the target has 10 classes'
    """

    topic: str
    chosen: str
    reason: str
    options: tuple[Option, ...] = ()
    measured: str = ""
    override: str = ""

    def sentence(self) -> str:
        """The decision as one readable sentence."""
        asked = self.topic.endswith(("?", "？"))
        template = "{topic} {chosen}; {reason}" if asked else "{topic}: {chosen}; {reason}"
        text = tr(template, topic=self.topic, chosen=self.chosen, reason=self.reason)
        return text + (tr("; override with {option}", option=self.override) if self.override else "")

    def to_json(self) -> JsonObject:
        """The words as plain JSON values."""
        return asdict(self)


@dataclass(frozen=True)
class Entry:
    """A line for the ledger: its kind ("decision", "finding", "note", "cut", "round" ...) and what it says.

    An entry that is not `synced` may wait for the next one that is before it is safe on the disk. `words` are a
    decision's in the language that is spoken, for who listens.
    """

    kind: str
    content: Mapping[str, Any]
    synced: bool = True
    words: Wording | None = None


# What work says while it goes on, entry by entry, and at last what it came to. It goes on once an entry is written.
Said: TypeAlias = Generator[Entry, None, Result]


def noted(step: int, sentence: str) -> Entry:
    """A note of a step of the recipe."""
    return Entry("note", {"step": step, "sentence": as_message(sentence)})


def found(step: int, finding: Finding) -> Entry:
    """A finding of a step of the recipe."""
    return Entry("finding", {"step": step, **finding.to_json()})


def result_and_entries(said: Said[Result]) -> tuple[Result, list[Entry]]:
    """What work comes to and all that it says on the way, written nowhere.

    >>> def counted(rows: int) -> Said[int]:
    ...     yield noted(0, f"{rows} rows")
    ...     return rows
    >>> result, (entry,) = result_and_entries(counted(3))
    >>> result, str(entry.content["sentence"])
    (3, '3 rows')
    """
    entries: list[Entry] = []
    while True:
        try:
            entries.append(next(said))
        except StopIteration as end:
            return end.value, entries

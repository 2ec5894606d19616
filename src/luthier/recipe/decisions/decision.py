"""What a decision is: evidence that is stored, a choice that follows from it, and words that are made from both."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import ClassVar, Generic, TypeVar

from luthier.messages import language, speaking, with_messages
from luthier.records import Entry, JsonObject, Said, Wording

Choice = TypeVar("Choice")


@dataclass(frozen=True)
class Evidence(Generic[Choice]):
    """What a choice rests on: plain values alone, so that they come back from JSON as they went in.

    `code` names the decision in the ledger, `about` the field that says what it is about where a run has several of its
    kind.
    """

    code: ClassVar[str]
    about: ClassVar[str] = ""

    @property
    def of(self) -> str:
        """What the decision is about; empty where a run has one of its kind."""
        return str(getattr(self, self.about)) if self.about else ""

    def decide(self) -> Choice:
        """What follows from the evidence, and from nothing else."""
        raise NotImplementedError

    def render(self, choice: Choice) -> Wording:
        """The decision in words, in the language that is spoken now."""
        raise NotImplementedError

    def to_json(self) -> JsonObject:
        """The evidence as plain JSON values, with what its sentences are made of."""
        content: JsonObject = with_messages(asdict(self))
        return content


def decided(step: int, evidence: Evidence[Choice], *, synced: bool = True) -> Said[Choice]:
    """What follows from the evidence at a step of the recipe, said with it.

    Words in English stand beside them, for people and programs that read the file; nothing here reads those.
    """
    choice = evidence.decide()
    words = english = evidence.render(choice)
    if language() != "en":
        with speaking("en"):
            english = evidence.render(choice)
    stored = {"step": step, "code": evidence.code, "of": evidence.of, "choice": choice, "evidence": evidence.to_json()}
    said = {"topic": english.topic, "chosen": english.chosen, "reason": english.reason}
    yield Entry("decision", {**stored, **said}, synced, words)
    return choice


def finite(value: float | None) -> float | None:
    """A number as JSON has it: None where it is not finite.

    >>> finite(0.5), finite(float("nan"))
    (0.5, None)
    """
    return None if value is None or not math.isfinite(value) else float(value)


def digits(value: float | None) -> str:
    """A loss with four decimals, a dash where there is none.

    >>> digits(0.51), digits(None)
    ('0.5100', '-')
    """
    return "-" if value is None else f"{value:.4f}"

"""Before step 1: which rows train, validate and test, and what of a text is read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Literal

from luthier.messages import spoken, tr
from luthier.recipe.decisions.decision import Evidence
from luthier.records import Wording


@dataclass(frozen=True)
class SplitEvidence(Evidence[tuple[int, int, int]]):
    """Rows of each part, and by what they were split.

    `wanted` are the shares of the rows that the parts were to have, in percent; none where the test rows are another
    file's. In order of time `begins` says when the validation and the test rows begin, `late` how many training rows
    lie after the first validation row and how many validation rows after the first test row. `notes` are of the data.
    """

    code: ClassVar[str] = "split"
    training: int
    validation: int
    test: int
    seed: int
    by: Literal["time", "groups", "classes", "values"]
    begins: tuple[str, ...] = ()
    late: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()
    wanted: tuple[float, ...] = ()

    def decide(self) -> tuple[int, int, int]:
        """Rows to train on, to validate on, and sealed."""
        return self.training, self.validation, self.test

    def render(self, choice: tuple[int, int, int]) -> Wording:
        """The sizes, how the rows were split, and what was special about it."""
        names = dict(zip(("training", "validation", "test"), choice, strict=True))
        if not self.test:
            chosen = tr("{training} training and {validation} validation rows; nothing is sealed", **names)
            return Wording(tr("split"), chosen, _listed((self._how(), *self.notes)), override="--test")
        chosen = tr("{training} training, {validation} validation, {test} sealed test rows", **names)
        reason = _listed((self._how(), *self._in_time(), *self.notes))
        return Wording(tr("split"), chosen, reason, override="--seed")

    def _how(self) -> str:
        sizes = self.training, self.validation, self.test
        shares = "{:.0f}, {:.0f}, {:.0f} %".format(*(100 * size / max(1, sum(sizes)) for size in sizes))
        return {
            "time": tr("{shares} of the rows in their order of time", shares=shares),
            "groups": tr("{shares} of the rows in whole groups", shares=shares) + self._as_near_as(),
            "classes": tr("{shares} of the rows, shuffled with the run's seed, equal in classes", shares=shares),
            "values": tr("{shares} of the rows, shuffled with the run's seed, equal in target range", shares=shares),
        }[self.by]

    def _as_near_as(self) -> str:
        shares = ", ".join(f"{share:.3g}" for share in self.wanted)
        return tr(", as near to {shares} % as they allow", shares=shares) if shares else ""

    def _in_time(self) -> tuple[str, ...]:
        if not self.begins:
            return ()
        validation, test = self.begins
        return (
            tr("validation begins at {validation}, the test set at {test}", validation=validation, test=test),
            tr("{count} training rows lie after the first validation row", count=self.late[0]),
            tr("{count} validation rows lie after the first test row", count=self.late[1]),
        )


def _listed(parts: Iterable[str]) -> str:
    return tr("; ").join(spoken(part) for part in parts)


@dataclass(frozen=True)
class TextEvidence(Evidence[tuple[int, int, int]]):
    """The word pieces and pairs of a column of text, how many of a row are read, and what is lost of validation rows:
    the shares of rows that are cut and of pieces that training did not have. Pieces are learnt from the training rows,
    or `known`, those of a backbone."""

    code: ClassVar[str] = "text"
    about: ClassVar[str] = "column"
    column: str
    pieces: int
    pairs: int
    length: int
    cut: float
    unknown: float
    known: bool = False

    def decide(self) -> tuple[int, int, int]:
        """Pieces, pairs, and the length that is read."""
        return self.pieces, self.pairs, self.length

    def render(self, choice: tuple[int, int, int]) -> Wording:
        """What is read, and what that loses."""
        pieces, pairs, length = choice
        lost = {"cut": f"{self.cut:.1%}", "unknown": f"{self.unknown:.2%}"}
        read = tr("{pieces} word pieces; the first {length} of each row are read", pieces=pieces, length=length)
        template = (
            "those of the backbone, and a length that 98 % of the training rows fit, or as many as it reads; "
            "{cut} of the validation rows are truncated, {unknown} of their pieces are unknown"
        )
        if not self.known:
            sizes = {"pieces": pieces, "pairs": pairs, "length": length}
            read = tr("{pieces} word pieces and {pairs} pairs; the first {length} of each row are read", **sizes)
            template = (
                "byte-pair encoding of the training rows, pairs that occur in at least two of them, and a length that "
                "98 % of them fit; {cut} of the validation rows are truncated, {unknown} of their pieces are unknown"
            )
        return Wording(tr("words of `{name}`", name=self.column), read, tr(template, **lost))

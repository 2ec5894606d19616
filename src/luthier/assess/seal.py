"""The sealed test set. This is the only module that can open it, and it writes down that it does."""

from __future__ import annotations

from luthier.assess.register import SealHistory
from luthier.errors import SealError
from luthier.messages import Message
from luthier.records import Entry, Finding, Said
from luthier.rows import Rows


class SealedTest:
    """Rows nobody may look at before the deliverable is frozen. Only their number is known."""

    __slots__ = ("__opened", "__rows")

    def __init__(self, rows: Rows) -> None:
        self.__rows = rows
        self.__opened = False

    def __len__(self) -> int:
        return len(self.__rows)

    def __repr__(self) -> str:
        return f"SealedTest({len(self)} rows)"

    def __reduce__(self) -> str:
        raise SealError("the sealed test set cannot be copied or stored")

    def _open(self, token: object) -> Rows:
        if token is not _TOKEN:
            raise SealError("the test set is sealed", remedy="luthier.assess.open_test, once, at the end")
        if self.__opened:
            raise SealError(
                "the test set was opened before",
                expected="one opening per run",
                remedy="collect fresh rows and evaluate on them with `luthier check`",
            )
        self.__opened = True
        return self.__rows


_TOKEN = object()


def seen_before(history: SealHistory) -> Finding | None:
    """What must be said of numbers from rows that were read, or learnt from, before; None for a first look."""
    if not history.sentence:
        return None
    remedy = "use a new test set for further changes: luthier branch RUN --step 4 --new-test FILE"
    if history.readings < 2:
        return Finding("test-seen-before", "note", history.sentence, history.to_json(), remedy, "S1-81, S4-47")
    sentence = Message("{sentence}: scores on them are biased", sentence=history.sentence)
    return Finding("test-read-twice", "warning", sentence, history.to_json(), remedy, "S1-81, S4-47")


def open_test(sealed: SealedTest, *, purpose: str) -> Said[Rows]:
    """Open the test set: first the line in the ledger, then the rows. SealError the second time."""
    yield Entry("opening", {"step": 5, "purpose": purpose, "rows": len(sealed)})
    return sealed._open(_TOKEN)

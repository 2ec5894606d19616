"""What later commands make of what a run was asked for: one table, which all of them read.

Every field of `RunRequest` has a row, which its `Option` gives, every command a column. A command that works on a run
takes what the run was asked for through `kept_for`: what it obeys stays, what it cannot obey is refused, what has no
meaning for it is left out. `predict` and `serve` read the model alone: obeyed there is what went into the model.
"""

from __future__ import annotations

from typing import NamedTuple

from luthier.errors import InputError
from luthier.messages import Message, joined
from luthier.request import RunRequest, flag_of, option_of

COMMANDS = (
    *("resume RUN", "branch RUN", "branch RUN --new-test", "fit --warm-start", "tune RUN", "resume SEARCH"),
    *("test", "check", "export", "predict", "serve"),
)
OBEYED, REFUSED, MEANINGLESS = "obeyed", "refused", "without meaning"
_CELLS = {"o": OBEYED, "r": REFUSED, "-": MEANINGLESS}


class OptionRow(NamedTuple):
    """An option as it is given to `fit`, and what each command makes of it; `why` says so where it is not obeyed."""

    option: str
    cells: str  # of the commands in their order: o, r or -
    why: str = ""

    def cell(self, command: str) -> str:
        """Obeyed, refused, or without meaning."""
        return _CELLS[self.cells[COMMANDS.index(command)]]


TABLE = {
    name: OptionRow(flag_of(name, field), option_of(field).later.replace(" ", ""), option_of(field).why)
    for name, field in RunRequest.model_fields.items()
}


def kept_for(command: str, asked: RunRequest) -> RunRequest:
    """What a run was asked for, as a later command works under it. InputError for what that command cannot obey.

    >>> asked = RunRequest(source="rows.csv", group="patient", distil=True)
    >>> kept = kept_for("tune RUN", asked)
    >>> kept.group, kept.distil
    ('patient', False)
    """
    untouched = RunRequest(source="")
    given = {name: row for name, row in TABLE.items() if getattr(asked, name) != getattr(untouched, name)}
    refused = {row.option: row.why for row in given.values() if row.cell(command) == REFUSED}
    if refused:
        raise InputError(
            Message(
                "`luthier {command}` does not work for a run with {names}", command=command, names=" and ".join(refused)
            ),
            expected=Message("a run without {names}", names=" and ".join(refused)),
            received=joined(map(Message, dict.fromkeys(refused.values()))),
            remedy="start a new run with `luthier fit`",
        )
    left = {name: getattr(untouched, name) for name, row in given.items() if row.cell(command) == MEANINGLESS}
    return asked.model_copy(update=left)

"""What later commands make of what a run was asked for: one table, which all of them read.

Every field of `FitConfig` has a row, every command a column. A command that works on a run takes what the run was
asked for through `kept_for`: what it obeys stays, what it cannot obey is refused, what has no meaning for it is left
out. `predict` and `serve` read the model alone: obeyed there is what went into the model.
"""

from __future__ import annotations

from typing import NamedTuple

from luthier.errors import InputError
from luthier.recipe.config import FitConfig

COMMANDS = (
    *("fit --resume", "fit --from", "fit --new-test", "fit --warm-start", "tune RUN", "tune --resume"),
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
        return _CELLS[self.cells.replace(" ", "")[COMMANDS.index(command)]]


_PICTURES = "pictures are neither searched nor exported"
_REPLACED = "the way back says it anew"
_OPEN = "the model does not know how rows were split"
TABLE: dict[str, OptionRow] = {
    # resume from new-test warm | tune, tune --resume | test check export | predict serve
    "source": OptionRow("SOURCE", "oooo oo ooo --", "the model holds what it needs of the data"),
    "target": OptionRow("--target", "oooo oo ooo oo"),
    "beside": OptionRow("--target", "oooo oo ooo oo"),
    "budget": OptionRow(
        "--budget", "ooo- -- o-- --", "nothing of the recipe is trained: a search has a budget of its own"
    ),
    "seed": OptionRow("--seed", "oooo oo ooo --", "nothing is drawn"),
    "task": OptionRow("--task", "oooo oo ooo oo"),
    "columns": OptionRow("--column", "oooo oo ooo oo"),
    "metric": OptionRow("--metric", "oooo oo ooo oo"),
    "costs": OptionRow("--cost", "oooo oo ooo oo"),
    "positive": OptionRow("--positive", "oooo oo ooo oo"),
    "group": OptionRow("--group", "oooo oo ooo --", _OPEN),
    "time": OptionRow("--time", "oooo oo ooo --", _OPEN),
    "weight": OptionRow("--sample-weight", "oooo oo ooo --", "a prediction does not depend on how much its row counts"),
    "size": OptionRow("--size", "ooor rr oor oo", _PICTURES),
    "strict": OptionRow(
        "--strict", "ooor rr oor --", f"{_PICTURES}; a picture to predict that cannot be read is refused"
    ),
    "backbone": OptionRow(
        "--backbone", "orrr rr oor oo", f"a backbone is trained in one go, without steps; {_PICTURES}"
    ),
    "weights": OptionRow("--backbone-weights", "orrr rr oor oo", f"they go with --backbone; {_PICTURES}"),
    "memory": OptionRow("--memory", "oooo oo ooo --", "rows to predict come in pieces"),
    "device": OptionRow("--device", "oooo oo o-- --", "a model opens on the processor, and nothing is trained"),
    "distil": OptionRow("--distil", "ooo- -- ooo oo", "one network is delivered anyway"),
    "warm_start": OptionRow("--warm-start", "orro oo ooo oo", "a warm start has no steps 2 to 4 to begin at"),
    "base": OptionRow("tune RUN", "---- -o ooo --", f"a search alone has one; {_OPEN}"),
    "previous": OptionRow("--from", "o--o oo ooo --", f"{_REPLACED}; {_OPEN}"),
    "begin_at": OptionRow("--from", "o--- -- o-- --", f"{_REPLACED}; steps are taken by `fit` and `test` alone"),
    "new_test": OptionRow("--new-test", "oo-o oo ooo --", f"{_REPLACED}; {_OPEN}"),
}
OF_ONE_CALL = (  # options of fit that are no part of what a run is: where it lies, how far it goes, how it is shown
    *(
        "--run",
        "--replace",
        "--config",
        "--resume",
        "--source",
        "--until",
        "--again",
        "--explain",
        "--plan",
        "--no-register",
    ),
    *("--json", "--verbose", "--track", "--open"),
)


def kept_for(command: str, asked: FitConfig) -> FitConfig:
    """What a run was asked for, as a later command works under it. InputError for what that command cannot obey.

    >>> asked = FitConfig(source="rows.csv", group="patient", distil=True)
    >>> kept = kept_for("tune RUN", asked)
    >>> kept.group, kept.distil
    ('patient', False)
    """
    untouched = FitConfig(source="")
    given = {name: row for name, row in TABLE.items() if getattr(asked, name) != getattr(untouched, name)}
    refused = {row.option: row.why for row in given.values() if row.cell(command) == REFUSED}
    if refused:
        raise InputError(
            f"`luthier {command}` does not work for a run with {' and '.join(refused)}",
            expected="a run without " + " and ".join(refused),
            received="; ".join(dict.fromkeys(refused.values())),
            remedy="start a new run with `luthier fit`",
        )
    left = {name: getattr(untouched, name) for name, row in given.items() if row.cell(command) == MEANINGLESS}
    return asked.model_copy(update=left)

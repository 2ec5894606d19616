"""What was asked of a run, and what makes it repeatable: `recipe.toml`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import tomli_w
from pydantic import Field, ValidationError

from luthier import storage
from luthier.errors import ConfigError, InputError
from luthier.messages import Message
from luthier.mistakes import mistakes_in
from luthier.recipe.planning.ledger import Record
from luthier.recipe.planning.plan import Design, Plan, PlannedRecord, Stage
from luthier.request import RunRequest
from luthier.untrusted import read_toml, validated


class Cut(PlannedRecord):
    """A piece of work that the clock or the user ended before its plan did."""

    work: str
    step: int = Field(ge=0)
    reason: str


class PieceSizes(PlannedRecord):
    """A population that was trained in pieces at once: the members of each, since other stacks round otherwise."""

    work: str
    sizes: tuple[Annotated[int, Field(ge=1)], ...]


class Recipe(PlannedRecord):
    """A run as it was: following it gives the same numbers again."""

    asked: RunRequest
    plan: Plan | None = None
    cuts: tuple[Cut, ...] = ()
    pieces: tuple[PieceSizes, ...] = ()
    rounds: tuple[str, ...] | None = None  # of the designed experiments that were begun; None: by the clock

    def cut(self, work: str) -> Cut | None:
        """Where a piece of work was cut, or None."""
        return next((cut for cut in self.cuts if cut.work == work), None)

    def sizes(self, work: str) -> tuple[int, ...] | None:
        """Of how many members the pieces of a population were, where it was trained in pieces at once."""
        return next((one.sizes for one in self.pieces if one.work == work), None)

    def to_toml(self) -> str:
        """The script as commented TOML."""
        head = "# `luthier rerun recipe.toml` repeats this run exactly.\n"
        values = self.model_dump(mode="json", exclude={"asked"}, exclude_none=True)
        return head + tomli_w.dumps({"asked": self.asked.in_sections(), **values})


def read_recipe(path: Path) -> Recipe:
    """Read `recipe.toml`; every mistake in it is reported at once."""
    try:
        content = read_toml(path)
    except FileNotFoundError:
        raise InputError(Message("there is no file '{path}'", path=path), expected="the recipe.toml of a run") from None
    try:
        return Recipe.model_validate(content)
    except ValidationError as error:
        kinds = (Recipe, RunRequest, Plan, Stage, Design, Cut, PieceSizes)
        known = [name for kind in kinds for name in kind.model_fields]
        raise ConfigError(mistakes_in(error, known), remedy=Message("correct '{path}'", path=path)) from None


def write_recipe(path: Path, recipe: Recipe) -> None:
    """Replace `recipe.toml`."""
    storage.write_text(path, recipe.to_toml())


def recipe_from(asked: RunRequest, records: Iterable[Record]) -> Recipe:
    """What the ledger of an interrupted run has decided already."""
    plan, cuts, pieces, rounds, judged = None, [], list[PieceSizes](), list[str](), False
    for record in records:
        if record["kind"] == "plan":
            plan = validated(Plan, record["plan"], "the plan in the run's ledger")
        elif record["kind"] == "cut":
            cuts.append(Cut(work=record["work"], step=record["step"], reason=record["reason"]))
        elif record["kind"] == "pieces":
            pieces.append(PieceSizes(work=record["work"], sizes=tuple(record["sizes"])))
        elif record["kind"] == "round" and record["begun"]:
            rounds.append(str(record["name"]))
        judged |= record["kind"] == "opening"
    whole = Recipe(asked=asked, plan=plan, cuts=tuple(cuts), pieces=tuple(pieces))
    return whole.model_copy(update={"rounds": tuple(rounds)}) if judged else whole

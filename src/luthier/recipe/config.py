"""What was asked of a run, and what makes it repeatable: `recipe.toml`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from luthier import storage
from luthier.errors import ConfigError, InputError, nearest
from luthier.recipe.ledger import Record
from luthier.recipe.plan import Plan, Plans, Stage
from luthier.untrusted import DeviceName, FilePath, Whole, read_toml, validated


class FitConfig(BaseModel):
    """What was asked for. `source` is a path or a bundled name, empty where the data came without one."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    source: FilePath
    target: str | None = None
    budget: str = ""
    seed: Whole = 0
    task: str | None = None
    columns: dict[str, str] = Field(default_factory=dict)
    metric: str = ""  # what is reported first; the usual one of the task where empty
    costs: str = ""  # of a false positive and a false negative, such as 1:5
    positive: str = ""  # the class of two that thresholds, costs and F1 are about; inferred where empty
    group: str = ""  # rows with the same value here stay on one side of the split
    time: str = ""  # the test rows are the latest by this column, the validation rows those before them
    size: int = Field(default=0, ge=0, le=4096)  # pixels of the longer side that pictures are scaled to; 0: at most 64
    backbone: str = ""  # a network for pictures that has learnt elsewhere: one of ours, or module:callable
    weights: FilePath = ""  # the file of its weights; those it comes with where empty
    memory: int = Field(default=0, ge=0)  # bytes; of a table that needs more a sample decides. 0: half the machine's
    text_model: FilePath = "static"  # what gives vectors of texts: the table of Luthier, or "none"
    device: DeviceName = "auto"  # where networks train
    strict: bool = False  # a picture that cannot be read stops the run
    beside: tuple[str, ...] = ()  # other targets of the same table: they are no columns to predict from
    weight: str = ""  # how much each row counts, in training and in every score
    distil: bool = False  # deliver one network that has learnt what the delivered mean says
    previous: FilePath = ""  # the run whose earlier steps are taken over
    begin_at: int = Field(default=1, ge=1, le=5)  # the first step that is walked anew
    warm_start: FilePath = ""  # the run whose networks go on learning from these rows
    base: FilePath = ""  # the run whose table, split and setting a search takes over
    new_test: FilePath = ""  # rows that are sealed in place of the source's, or the previous run's, test part


def config_of(**options: Any) -> FitConfig:
    """A request, whose target may be a number. ConfigError that lists every option of another type.

    >>> config_of(source="rows.csv", metric=3)
    Traceback (most recent call last):
    luthier.errors.ConfigError: a setting is wrong:
      - metric: input should be a valid string, not 3
    """
    target, columns = options.get("target"), options.get("columns") or {}
    options |= {"target": str(target) if isinstance(target, int) else target}
    options |= {"columns": {str(n): kind for n, kind in columns.items()} if isinstance(columns, Mapping) else columns}
    try:
        return FitConfig(**options)
    except ValidationError as error:
        raise ConfigError([f"{line}, not {item['input']!r}" for line, item in _lines(error)]) from None


class Cut(BaseModel):
    """A piece of work that the clock or the user ended before its plan did."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    work: str
    step: int = Field(ge=0)
    reason: str


class Recipe(BaseModel):
    """A run as it was: following it gives the same numbers again."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    asked: FitConfig
    plan: Plans | None = None
    cuts: tuple[Cut, ...] = ()
    repeats: tuple[int, ...] | None = None  # steps of each round of folds; None: by the clock
    rounds: tuple[str, ...] | None = None  # of the designed experiments that were begun; None: by the clock

    def cut(self, work: str) -> Cut | None:
        """Where a piece of work was cut, or None."""
        return next((cut for cut in self.cuts if cut.work == work), None)

    def to_toml(self) -> str:
        """The script as commented TOML."""
        head = "# `luthier fit --config recipe.toml` repeats this run exactly.\n"
        return head + tomli_w.dumps(_without_none(self.model_dump(mode="json")))


def read_recipe(path: Path) -> Recipe:
    """Read `recipe.toml`; every mistake in it is reported at once."""
    try:
        content = read_toml(path)
    except FileNotFoundError:
        raise InputError(f"there is no file '{path}'", expected="the recipe.toml of a run") from None
    try:
        return Recipe.model_validate(content)
    except ValidationError as error:
        raise ConfigError(_mistakes(error), remedy=f"correct '{path}'") from None


def write_recipe(path: Path, recipe: Recipe) -> None:
    """Replace `recipe.toml`."""
    storage.write_text(path, recipe.to_toml())


def recipe_from(asked: FitConfig, records: Iterable[Record]) -> Recipe:
    """What the ledger of an interrupted run has decided already."""
    plan, cuts, repeats, rounds, judged = None, [], list[int](), list[str](), False
    for record in records:
        if record["kind"] == "plan":
            plan = validated(Plans, record["plan"], "the plan in the run's ledger")
        elif record["kind"] == "cut":
            cuts.append(Cut(work=record["work"], step=record["step"], reason=record["reason"]))
        elif record["kind"] == "repeat":
            repeats.append(int(record["steps"]))
        elif record["kind"] == "round" and record["begun"]:
            rounds.append(str(record["name"]))
        judged |= record["kind"] == "opening"
    whole = Recipe(asked=asked, plan=plan, cuts=tuple(cuts))
    return whole.model_copy(update={"repeats": tuple(repeats), "rounds": tuple(rounds)}) if judged else whole


def _mistakes(error: ValidationError) -> list[str]:
    return [line for line, _ in _lines(error)]


def _lines(error: ValidationError) -> Iterator[tuple[str, Any]]:
    """A line for each mistake, and what pydantic says of it."""
    known = [*Recipe.model_fields, *FitConfig.model_fields, *Plan.model_fields, *Stage.model_fields, *Cut.model_fields]
    for item in error.errors():
        place = ".".join(str(part) for part in item["loc"])
        hint = nearest(str(item["loc"][-1]), known) if item["type"] == "extra_forbidden" else ""
        text = "there is no such setting" if item["type"] == "extra_forbidden" else item["msg"].lower()
        yield f"{place}: {text}" + (f"; {hint}" if hint else ""), item


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_none(item) for item in value]
    return value

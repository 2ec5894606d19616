"""What run.json holds, so that a damaged or foreign one is refused in a sentence; `assess.judgement` has others.

They are plain objects as they are written; a key that is not named here is kept as it is. Whatever reads a key of them
without asking whether it is there finds it required here, with the type and the bounds that it relies on.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from luthier.kinds import TaskKind
from luthier.schema_types import CLOSED, OPEN, Count, DeviceName, FileName, FilePath, Number, Plain, Text, Whole


class SourceFacts(TypedDict):
    """Where rows came from."""

    __pydantic_config__ = OPEN  # type: ignore[misc]
    name: Text
    origin: Text
    fingerprint: Text
    contents: NotRequired[Text]
    new_test: NotRequired[Text]
    new_test_contents: NotRequired[Text]


class TableFacts(SourceFacts):
    """The same of a table, with its size."""

    rows: Count
    columns: Count


class TaskFacts(TypedDict):
    """What is predicted, as run.json has it."""

    __pydantic_config__ = OPEN  # type: ignore[misc]
    kind: TaskKind
    classes: list[Text]
    positive: NotRequired[Text]


class AskedFacts(TypedDict):
    """What others than the run itself read of its request; `recipe.asked_of` reads it whole."""

    __pydantic_config__ = OPEN  # type: ignore[misc]
    source: FilePath
    budget: Text
    heads: NotRequired[list[Text]]
    group: NotRequired[Text]
    weight: NotRequired[Text]
    test: NotRequired[FilePath]
    new_test: NotRequired[FilePath]  # its name before


class BudgetFacts(TypedDict):
    """Seconds or steps."""

    __pydantic_config__ = CLOSED  # type: ignore[misc]
    seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None
    steps: Annotated[int, Field(gt=0, le=2**53)] | None


class LicenceFacts(TypedDict):
    """A licence of a backbone or of weights."""

    __pydantic_config__ = OPEN  # type: ignore[misc]
    of: Text
    name: Text
    written: Text


class RefitFacts(TypedDict):
    """What came of a refit."""

    __pydantic_config__ = OPEN  # type: ignore[misc]
    rows: Count
    networks: Count
    disagreement: Number
    spread: Number


class RunFacts(TypedDict):
    """What every run.json has."""

    __pydantic_config__ = OPEN  # type: ignore[misc]
    mark: Literal["luthier run"]
    format: Annotated[int, Field(ge=1, le=2**31)]
    name: Text
    created: Text


class Versions(TypedDict):
    """The versions that are named one by one."""

    __pydantic_config__ = OPEN  # type: ignore[misc]
    luthier: Text
    torch: Text


class TrainedFacts(RunFacts):
    """What a fit and a search have."""

    target: Text
    seed: Whole
    versions: Versions
    machine: dict[Text, Plain]
    status: Literal["running", "cut", "done", "stopped"]
    elapsed_s: NotRequired[Number]


class FitFacts(TrainedFacts):
    """run.json of a fit."""

    kind: NotRequired[Literal[""]]
    source: TableFacts
    task: TaskFacts
    asked: AskedFacts
    budget: BudgetFacts
    repeats: NotRequired[bool]
    registered: NotRequired[bool]
    opened_before: NotRequired[Annotated[int, Field(ge=0, le=2**31)]]
    licences: NotRequired[list[LicenceFacts]]
    refitted: NotRequired[RefitFacts]


class SearchOptions(TypedDict):
    """How a search on a table was to run; where it connects to is named anew by who goes on with it."""

    __pydantic_config__ = OPEN  # type: ignore[misc]
    on: Text
    storage: Text | None
    study: Text | None
    workers: Annotated[int, Field(ge=1, le=4096)] | None
    device: NotRequired[DeviceName]
    epochs: Annotated[int, Field(ge=1, le=10**9)] | None
    inputs: Literal["standardise", "robust", "quantile", "piecewise", "periodic", "common"]
    defaults: dict[Text, Plain]


class SearchFacts(TrainedFacts):
    """run.json of a search: on a table with `options`, or on data in memory."""

    kind: Literal["search"]
    source: SourceFacts
    search: dict[Text, Plain]
    options: NotRequired[SearchOptions]
    registered: NotRequired[bool]
    asked: NotRequired[AskedFacts]


class SeveralFacts(RunFacts):
    """run.json of the runs of several targets, each in a folder right below."""

    kind: Literal["several"]
    source: FilePath
    folders: Annotated[dict[Text, FileName], Field(min_length=1)]
    networks: NotRequired[FileName]
    budget: Text
    options: dict[Text, Plain]


RUN_FACTS: dict[str, Any] = {"": FitFacts, "search": SearchFacts, "several": SeveralFacts}

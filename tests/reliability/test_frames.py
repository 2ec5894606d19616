"""Whatever frame or array comes, it is read, split and encoded, or refused in our words; no library's warning shows.

A draw in the suite, all of them by `make soak`.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from tests.reliability.frames import PANDAS, POLARS, ROWS, SOURCES, Maker

from luthier.errors import LuthierError
from luthier.recipe import read_as_asked
from luthier.recipe.preparing.prepare import parts_of
from luthier.request import RunRequest
from luthier.seeds import numpy_generator

KINDS = ("number", "boolean", "category", "date", "text", "identifier")
ASKED: list[dict[str, Any]] = [
    *({"columns": {"q": kind}} for kind in KINDS),
    *({}, {"group": "q"}, {"time": "q"}, {"sample_weight": "q"}),
]
TASKS: list[dict[str, Any]] = [{}, {"task": "regression"}, {"task": "binary"}, {"task": "multiclass"}]
Case = tuple[str, Callable[[np.random.Generator], Any], dict[str, Any]]


def as_input(build: Any, cells: Maker) -> Maker:
    return lambda rng: build({"x": rng.normal(size=ROWS), "q": cells(rng), "y": ["a", "b"] * (ROWS // 2)})


def as_target(build: Any, cells: Maker) -> Maker:
    return lambda rng: build({"x": rng.normal(size=ROWS), "y": cells(rng)})


def through_arrow(table: Any) -> Any:
    """As an Arrow table, where Arrow has such cells."""
    try:
        return pa.Table.from_pandas(pd.DataFrame(table))
    except (pa.ArrowException, TypeError, OverflowError):
        return pd.DataFrame(table)


def cases() -> list[Case]:
    result: list[Case] = [(f"source: {name}", maker, {}) for name, maker in SOURCES.items()]
    frames = (("pandas", pd.DataFrame, PANDAS), ("Polars", pl.DataFrame, POLARS), ("Arrow", through_arrow, PANDAS))
    for library, build, columns in frames:
        for (name, cells), asked in itertools.product(columns.items(), ASKED):
            result.append((f"{library} {name}", as_input(build, cells), asked))
        for (name, cells), asked in itertools.product(columns.items(), TASKS):
            result.append((f"{library} target {name}", as_target(build, cells), asked))
    return result


def foreign(case: Case, seed: int = 0) -> str:
    """What of another library leaves the product: an error or a warning; empty where nothing does."""
    name, make, asked = case
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of making it
        source = make(np.random.default_rng(seed))
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        try:
            request = RunRequest(source="", target="y", **asked)
            parts_of(read_as_asked(source, request), request)
        except LuthierError:
            pass
        except BaseException as error:  # Polars' panics are no Exceptions
            return f"{name} {asked}: {type(error).__name__}: {error}"
    return "; ".join(f"{name} {asked}: {one.category.__name__}: {one.message}" for one in seen)


def test_a_draw_of_frames_is_read_or_refused() -> None:
    every = cases()
    drawn = numpy_generator(0, "frames").permutation(len(every))[:150]
    sources = [case for case in every if case[0].startswith("source")]
    assert [found for case in (*sources, *(every[k] for k in drawn)) if (found := foreign(case))] == []


@pytest.mark.soak
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_every_frame_is_read_or_refused(seed: int) -> None:
    assert [found for case in cases() if (found := foreign(case, seed))] == []

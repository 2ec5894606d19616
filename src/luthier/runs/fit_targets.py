"""`luthier.fit`: the recipe for one target, or for several at once."""

from __future__ import annotations

from typing import Any, overload

from typing_extensions import Unpack

from luthier.recipe import Clock
from luthier.request import Config, FitConfig
from luthier.request_types import FitOptions
from luthier.runs.calls import Call
from luthier.runs.fitting import new_run
from luthier.runs.multi_target import MultiTargetResult, fit_several_as_asked
from luthier.runs.own_rows import with_test_file
from luthier.runs.result import Result
from luthier.runs.screen import Screen


@overload
def fit(
    source: Any,
    target: str | int | None = None,
    config: Config = None,
    *,
    screen: Screen | None = None,
    clock: Clock | None = None,
    **options: Unpack[FitOptions],
) -> Result: ...


@overload
def fit(
    source: Any,
    target: list[str] | tuple[str, ...],
    config: Config = None,
    *,
    screen: Screen | None = None,
    clock: Clock | None = None,
    **options: Unpack[FitOptions],
) -> MultiTargetResult: ...


def fit(
    source: Any,
    target: str | int | list[str] | tuple[str, ...] | None = None,
    config: Config = None,
    *,
    screen: Screen | None = None,
    clock: Clock | None = None,
    **options: Unpack[FitOptions],
) -> Result | MultiTargetResult:
    """Run the six steps of the recipe on a table and return the finished run.

    `source` is a path (CSV, Parquet, a folder of Parquet files) or an address (`https://`, `s3://`, `gs://`), a bundled
    name (`digits`, `iris`, `wine`, `breast-cancer`, `diabetes`), a pandas, Polars or Arrow frame, a dict of columns or
    a list of dicts, or arrays `(X, y)`; for pictures a folder with one sub-folder per class, a table with a column of
    paths, IDX files, or arrays X [N, H, W] or [N, H, W, C]. `target` is the column to predict,
    or a list of columns, for networks with a head for each that the rows of all of them train.

    `options` are the fields of `luthier.FitConfig`, whose page has each with its type, default and meaning: `budget`
    ("60s", "10m", "2h" or "5000steps"), `group`, `time`, `sample_weight`, `metric`, `device`, `seed` ... `config` is a
    FitConfig, a mapping or a TOML file of them; what is said beside it counts.

    Without `run` the run lies in a temporary folder until the program ends; with `run="runs/one"` it stays. Nothing is
    printed unless `verbose` is 1, or 2 for a table of epochs; the logger "luthier" has every decision. `screen`
    follows the run in place of both, `clock` says what time it is.

    Of several targets each has a model, a score and a report of its own in the MultiTargetResult. task, order, metric,
    costs and positive name theirs: `metric={"price": "mae"}`. With `separate`, of a table larger than memory, and of
    text each target has networks of its own and an even share of the budget. There is neither a warm start nor a
    backbone.

    Raises InputError for anything in the request that cannot be used; of separate networks, for a target whose run
    failed, once the others are finished.

    >>> result = fit("iris", budget="40steps")
    >>> result.model.task.target
    'species'
    """
    if isinstance(target, (list, tuple)):
        several = FitConfig.of(config, **with_test_file(options))
        return fit_several_as_asked(source, target, several, Call.begun(several, screen, clock))
    asked = FitConfig.of(config, target=target, **with_test_file(options))
    call = Call.begun(asked, screen, clock)
    return call.finish(new_run(source, asked, call))

"""Which metrics decide and are reported, and which a target refuses."""

from __future__ import annotations

import polars as pl
import pytest

from luthier.data import infer_task
from luthier.errors import ConfigError, InputError
from luthier.request import FitConfig
from luthier.task import asked_metrics, deciding_metric, reported_metrics, require_metrics

NUMBERS = pl.Series("y", [0.0, 1.5, 2.5, 7.25])
TWO = pl.Series("y", ["a", "b", "a", "b"])


def test_the_first_of_several_decides_and_all_are_reported() -> None:
    assert FitConfig.of(metric=["roc_auc", "log loss"]).metric == "roc_auc,log loss"
    assert deciding_metric("roc_auc,log-loss", "binary") == "auc"
    assert reported_metrics("roc_auc,brier", "binary")[:2] == ["auc", "brier"]
    assert deciding_metric("", "regression") == "rmse"
    assert set(asked_metrics("neg_mean_absolute_error, mae")) == {"mae"}


@pytest.mark.parametrize(
    ("series", "metric", "message"),
    [
        (TWO, "rmse", "not one of accuracy"),
        (TWO, "auc ovr", "did you mean 'auc'"),
        (NUMBERS, "acuracy", "not one of rmse"),
        (NUMBERS, "rmse,log-loss", "--metric log loss"),
        (NUMBERS, "pinball 7", "between 0 and 1"),
        (TWO, "crps", "not one of"),
    ],
)
def test_a_metric_of_another_kind_is_refused(series: pl.Series, metric: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        require_metrics(metric, infer_task(series), series)


@pytest.mark.parametrize(("metric", "shift"), [("mape", 0.0), ("rmsle", -1.0), ("poisson", -0.5)])
def test_a_metric_that_the_values_forbid_is_refused(metric: str, shift: float) -> None:
    with pytest.raises(InputError, match="cannot be asked of this target"):
        require_metrics(metric, infer_task(NUMBERS), NUMBERS + shift)
    require_metrics(metric, infer_task(NUMBERS), NUMBERS + 1)

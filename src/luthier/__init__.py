"""Luthier: a systematic trainer of neural networks.

The public names load on first use, so that importing the package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from luthier._version import __version__
from luthier.renamed import PUBLIC as _RENAMED

if TYPE_CHECKING:
    from luthier.diagnosis import Diagnosis, TrainingMonitor, diagnose
    from luthier.engine.api import train_networks as train
    from luthier.engine.find_lr import find_lr
    from luthier.errors import LuthierError
    from luthier.estimators import LuthierClassifier, LuthierRegressor
    from luthier.nets import DenseSpec, summary
    from luthier.optimise import Schedule
    from luthier.runs import (
        Comparison,
        DataReport,
        MultiTargetResult,
        Result,
        Study,
        branch,
        compare,
        doctor,
        fit_several,
        relocate,
        resume,
        tune,
        tune_table,
    )
    from luthier.runs import check_run as check
    from luthier.runs import read_test as test
    from luthier.runs.fitting import fit
    from luthier.saved import Model, load
    from luthier.search import Choice, Number, Scale, Space

_PUBLIC = {
    "DataReport": ("luthier.runs", "DataReport"),
    "Comparison": ("luthier.runs", "Comparison"),
    "Choice": ("luthier.search", "Choice"),
    "DenseSpec": ("luthier.nets", "DenseSpec"),
    "Diagnosis": ("luthier.diagnosis", "Diagnosis"),
    "LuthierClassifier": ("luthier.estimators", "LuthierClassifier"),
    "LuthierError": ("luthier.errors", "LuthierError"),
    "LuthierRegressor": ("luthier.estimators", "LuthierRegressor"),
    "Model": ("luthier.saved", "Model"),
    "Number": ("luthier.search", "Number"),
    "Result": ("luthier.runs", "Result"),
    "Scale": ("luthier.search", "Scale"),
    "Schedule": ("luthier.optimise", "Schedule"),
    "MultiTargetResult": ("luthier.runs", "MultiTargetResult"),
    "Space": ("luthier.search", "Space"),
    "Study": ("luthier.runs", "Study"),
    "TrainingMonitor": ("luthier.diagnosis", "TrainingMonitor"),
    "check": ("luthier.runs", "check_run"),
    "compare": ("luthier.runs", "compare"),
    "diagnose": ("luthier.diagnosis", "diagnose"),
    "doctor": ("luthier.runs", "doctor"),
    "find_lr": ("luthier.engine", "find_lr"),
    "fit": ("luthier.runs", "fit"),
    "fit_several": ("luthier.runs", "fit_several"),
    "branch": ("luthier.runs", "branch"),
    "load": ("luthier.saved", "load"),
    "summary": ("luthier.nets", "summary"),
    "relocate": ("luthier.runs", "relocate"),
    "resume": ("luthier.runs", "resume"),
    "test": ("luthier.runs", "read_test"),
    "train": ("luthier.engine", "train_networks"),
    "transfer": ("luthier.recipe.transfer", "transfer"),
    "tune": ("luthier.runs", "tune"),
    "tune_table": ("luthier.runs", "tune_table"),
}
__all__ = [
    "Choice",
    "Comparison",
    "DataReport",
    "DenseSpec",
    "Diagnosis",
    "LuthierClassifier",
    "LuthierError",
    "LuthierRegressor",
    "Model",
    "MultiTargetResult",
    "Number",
    "Result",
    "Scale",
    "Schedule",
    "Space",
    "Study",
    "TrainingMonitor",
    "__version__",
    "branch",
    "check",
    "compare",
    "diagnose",
    "doctor",
    "find_lr",
    "fit",
    "fit_several",
    "load",
    "relocate",
    "resume",
    "summary",
    "test",
    "train",
    "transfer",
    "tune",
    "tune_table",
]


def __getattr__(name: str) -> Any:
    if name in _RENAMED:
        from luthier.renamed import current_name

        name = current_name(name, _RENAMED[name])
    if name not in _PUBLIC:
        raise AttributeError(f"module 'luthier' has no attribute '{name}'")
    module, attribute = _PUBLIC[name]
    return getattr(import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted([*globals(), *_PUBLIC])

"""Luthier: a systematic trainer of neural networks.

The public names load on first use, so that importing the package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from luthier.errors import LuthierError
    from luthier.nets import DenseSpec, summary
    from luthier.optimise import Schedule
    from luthier.population.find_lr import find_lr
    from luthier.population.networks import train_networks as train
    from luthier.runs import Result, load, resume
    from luthier.runs import check_run as check
    from luthier.runs.fitting import fit
    from luthier.saved import Model

_PUBLIC = {
    "DenseSpec": ("luthier.nets", "DenseSpec"),
    "LuthierError": ("luthier.errors", "LuthierError"),
    "Model": ("luthier.saved", "Model"),
    "Result": ("luthier.runs", "Result"),
    "Schedule": ("luthier.optimise", "Schedule"),
    "check": ("luthier.runs", "check_run"),
    "find_lr": ("luthier.population", "find_lr"),
    "fit": ("luthier.runs", "fit"),
    "load": ("luthier.runs", "load"),
    "summary": ("luthier.nets", "summary"),
    "resume": ("luthier.runs", "resume"),
    "train": ("luthier.population", "train_networks"),
}
__all__ = [
    "DenseSpec",
    "LuthierError",
    "Model",
    "Result",
    "Schedule",
    "__version__",
    "check",
    "find_lr",
    "fit",
    "load",
    "resume",
    "summary",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'luthier' has no attribute '{name}'")
    module, attribute = _PUBLIC[name]
    return getattr(import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted([*globals(), *_PUBLIC])

"""Systematic search over populations: ask, train together, tell."""

from __future__ import annotations

from luthier.search.built import BuiltNetworks
from luthier.search.described import space_from, usual_space
from luthier.search.effort import Effort
from luthier.search.executors import executor_for
from luthier.search.jobs import Executor
from luthier.search.journal import Journal
from luthier.search.networks import DenseNetworks, Networks
from luthier.search.outcome import Outcome
from luthier.search.registry import REGISTRY, TIERS
from luthier.search.samplers import SAMPLERS, Sampler
from luthier.search.scales import SCALES, Scale
from luthier.search.sensitivity import Share, sensitivity
from luthier.search.space import Choice, Number, Space
from luthier.search.study import Search
from luthier.search.training import Store
from luthier.search.trials import AFTERWARDS, FAILED, Trial

__all__ = [
    "AFTERWARDS",
    "FAILED",
    "REGISTRY",
    "SAMPLERS",
    "SCALES",
    "TIERS",
    "BuiltNetworks",
    "Choice",
    "DenseNetworks",
    "Effort",
    "Executor",
    "Journal",
    "Networks",
    "Number",
    "Outcome",
    "Sampler",
    "Scale",
    "Search",
    "Share",
    "Space",
    "Store",
    "Trial",
    "executor_for",
    "sensitivity",
    "space_from",
    "usual_space",
]

"""Systematic search over populations: ask, train together, tell."""

from __future__ import annotations

from luthier.search.built import BuiltNetworks
from luthier.search.cluster import cluster_at, require_cluster
from luthier.search.described import space_from, usual_space
from luthier.search.effort import Effort
from luthier.search.executors import executor_for
from luthier.search.jobs import Executor
from luthier.search.journal import Journal
from luthier.search.network_jobs import DenseNetworks, Networks
from luthier.search.registry import REGISTRY, TIERS
from luthier.search.samplers import SAMPLERS, Sampler
from luthier.search.scales import SCALES, Scale
from luthier.search.search_outcome import SearchOutcome
from luthier.search.sensitivity import VarianceShare, sensitivity
from luthier.search.space import Choice, Number, Space
from luthier.search.stages import stage_in_words
from luthier.search.study import Search, Watched
from luthier.search.training import TrialStore
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
    "Sampler",
    "Scale",
    "Search",
    "SearchOutcome",
    "Space",
    "Trial",
    "TrialStore",
    "VarianceShare",
    "Watched",
    "cluster_at",
    "executor_for",
    "require_cluster",
    "sensitivity",
    "space_from",
    "stage_in_words",
    "usual_space",
]

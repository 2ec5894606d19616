"""Systematic search over populations: ask, train together, tell."""

from __future__ import annotations

from luthier.search.built import BuiltNetworks
from luthier.search.cluster import cluster_at, require_cluster
from luthier.search.effort import Effort
from luthier.search.executors import executor_for
from luthier.search.journal import Journal
from luthier.search.network_jobs import DenseNetworks, Networks
from luthier.search.search_outcome import SearchOutcome
from luthier.search.spaces.described import space_from, usual_space
from luthier.search.spaces.registry import REGISTRY, TIERS
from luthier.search.spaces.samplers import SAMPLERS, Proposal, Sampler
from luthier.search.spaces.scales import SCALES, Scale
from luthier.search.spaces.sensitivity import VarianceShare, sensitivity
from luthier.search.spaces.space import Choice, Number, Space
from luthier.search.spaces.stages import stage_in_words
from luthier.search.spaces.trials import AFTERWARDS, FAILED, Trial
from luthier.search.study import Search, Watched
from luthier.search.training import TrialStore

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
    "Journal",
    "Networks",
    "Number",
    "Proposal",
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

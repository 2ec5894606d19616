"""A search without training: a space, an objective with a known optimum, and the loop of ask and answer."""

from __future__ import annotations

from luthier.testing.sampler_contract import SPACE, Objective, distance
from luthier.testing.sampler_contract import searched as search

__all__ = ["SPACE", "Objective", "distance", "search"]

"""Networks: a frozen spec, and the module it describes."""

from __future__ import annotations

from luthier.nets.activations import ACTIVATIONS, Activation, add_activation
from luthier.nets.dense import NORM_EPSILON, NORM_MEMORY, DenseNet, build
from luthier.nets.initialise import INITIALISERS
from luthier.nets.sequential import Chain, chain
from luthier.nets.spec import DeferredSpec, DenseSpec
from luthier.nets.summary import Summary, summary

__all__ = [
    "ACTIVATIONS",
    "INITIALISERS",
    "NORM_EPSILON",
    "NORM_MEMORY",
    "Activation",
    "Chain",
    "DeferredSpec",
    "DenseNet",
    "DenseSpec",
    "Summary",
    "add_activation",
    "build",
    "chain",
    "summary",
]

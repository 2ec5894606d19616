"""Networks: a frozen spec, and the module it describes."""

from __future__ import annotations

from luthier.nets.activations import ACTIVATIONS, Activation, add_activation
from luthier.nets.augment import AUGMENTATIONS, Augment
from luthier.nets.augment_signals import SIGNAL_CHANGES, AugmentSignals
from luthier.nets.backbone import BackboneSpec
from luthier.nets.building import Net, Spec, build, spec_from_json
from luthier.nets.conv import ConvNet, ConvSpec
from luthier.nets.dense import NORM_EPSILON, NORM_MEMORY, DenseNet
from luthier.nets.initialise import INITIALISERS
from luthier.nets.licences import Licence, licences_of
from luthier.nets.mixed import MixedNet, MixedSpec
from luthier.nets.numbers import AnyEmbedding, NumberEmbedding, PiecewiseEmbedding, quantile_edges
from luthier.nets.one_head import one_head, state_of_head
from luthier.nets.recurrent import RecurrentNet
from luthier.nets.sequential import Chain, chain
from luthier.nets.spec import DeferredSpec, DenseSpec
from luthier.nets.summary import Summary, summary
from luthier.nets.target_means import LevelSums, TargetEncoding, many_levelled
from luthier.nets.text import TextNet, TextSpec
from luthier.nets.text_backbone import TextBackboneNet, TextBackboneSpec

__all__ = [
    "ACTIVATIONS",
    "AUGMENTATIONS",
    "INITIALISERS",
    "NORM_EPSILON",
    "NORM_MEMORY",
    "SIGNAL_CHANGES",
    "Activation",
    "AnyEmbedding",
    "Augment",
    "AugmentSignals",
    "BackboneSpec",
    "Chain",
    "ConvNet",
    "ConvSpec",
    "DeferredSpec",
    "DenseNet",
    "DenseSpec",
    "LevelSums",
    "Licence",
    "MixedNet",
    "MixedSpec",
    "Net",
    "NumberEmbedding",
    "PiecewiseEmbedding",
    "RecurrentNet",
    "Spec",
    "Summary",
    "TargetEncoding",
    "TextBackboneNet",
    "TextBackboneSpec",
    "TextNet",
    "TextSpec",
    "add_activation",
    "build",
    "chain",
    "licences_of",
    "many_levelled",
    "one_head",
    "quantile_edges",
    "spec_from_json",
    "state_of_head",
    "summary",
]

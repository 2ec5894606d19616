"""From any spec to its module: one place that knows the kinds of specs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, overload

from luthier.nets.backbone import BackboneNet, BackboneSpec, build_backbone
from luthier.nets.conv import ConvNet, ConvSpec, build_conv
from luthier.nets.dense import DenseNet, build_dense
from luthier.nets.mixed import MixedNet, MixedSpec, build_mixed
from luthier.nets.spec import DenseSpec
from luthier.nets.text import TextNet, TextSpec, build_text
from luthier.nets.text_backbone import TextBackboneNet, TextBackboneSpec, build_text_backbone

Spec = DenseSpec | ConvSpec | TextSpec | BackboneSpec | TextBackboneSpec
Net = DenseNet | ConvNet | TextNet | BackboneNet | TextBackboneNet


@overload
def build(spec: DenseSpec, *, seed: int) -> DenseNet: ...
@overload
def build(spec: ConvSpec, *, seed: int) -> ConvNet: ...
@overload
def build(spec: MixedSpec, *, seed: int) -> MixedNet: ...
@overload
def build(spec: TextSpec, *, seed: int) -> TextNet: ...
@overload
def build(spec: BackboneSpec, *, seed: int) -> BackboneNet: ...
@overload
def build(spec: TextBackboneSpec, *, seed: int) -> TextBackboneNet: ...
@overload
def build(spec: Spec, *, seed: int) -> Net: ...
def build(spec: Spec, *, seed: int) -> Net:
    """A fresh network; the same spec and seed give the same weights.

    >>> build(DenseSpec(inputs=4, hidden=(8,), outputs=3), seed=0).spec.hidden
    (8,)
    """
    if isinstance(spec, DenseSpec):
        return build_dense(spec, seed=seed)
    if isinstance(spec, ConvSpec):
        return build_conv(spec, seed=seed)
    if isinstance(spec, MixedSpec):
        return build_mixed(spec, seed=seed)
    if isinstance(spec, TextBackboneSpec):
        return build_text_backbone(spec, seed=seed)
    return build_text(spec, seed=seed) if isinstance(spec, TextSpec) else build_backbone(spec, seed=seed)


def spec_from_json(value: Mapping[str, Any]) -> Spec:
    """The spec that its `to_json` gave."""
    kinds: dict[str, Any] = {
        "conv": ConvSpec,
        "text": TextSpec,
        "mixed": MixedSpec,
        "backbone": BackboneSpec,
        "text backbone": TextBackboneSpec,
    }
    result: Spec = kinds.get(str(value.get("kind")), DenseSpec).from_json(value)
    return result

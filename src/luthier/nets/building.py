"""From any spec to its module: one place that knows the kinds of specs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, overload

from luthier.nets.conv import ConvNet, ConvSpec, build_conv
from luthier.nets.dense import DenseNet, build_dense
from luthier.nets.spec import DenseSpec

Spec = DenseSpec | ConvSpec
Net = DenseNet | ConvNet


@overload
def build(spec: DenseSpec, *, seed: int) -> DenseNet: ...
@overload
def build(spec: ConvSpec, *, seed: int) -> ConvNet: ...
@overload
def build(spec: Spec, *, seed: int) -> Net: ...
def build(spec: Spec, *, seed: int) -> Net:
    """A fresh network; the same spec and seed give the same weights.

    >>> build(DenseSpec(inputs=4, hidden=(8,), outputs=3), seed=0).spec.hidden
    (8,)
    """
    return build_dense(spec, seed=seed) if isinstance(spec, DenseSpec) else build_conv(spec, seed=seed)


def spec_from_json(value: Mapping[str, Any]) -> Spec:
    """The spec that its `to_json` gave."""
    return ConvSpec.from_json(value) if value.get("kind") == "conv" else DenseSpec.from_json(value)

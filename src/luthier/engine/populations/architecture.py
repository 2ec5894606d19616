"""Which architecture a spec asks for."""

from __future__ import annotations

from functools import lru_cache, partial

from luthier.engine.dense.dense_architecture import DenseArchitecture, SequentialAdapter
from luthier.engine.members.module_spec import ModuleSpec
from luthier.engine.torch_modules.modules import Modules
from luthier.nets import BackboneSpec, ConvSpec, DenseSpec, Spec, TextBackboneSpec, TextSpec, build


def architecture(spec: Spec | ModuleSpec) -> DenseArchitecture | Modules:
    """How networks of a spec are laid out, stepped and cut out."""
    if isinstance(spec, DenseSpec):
        return DenseArchitecture(spec)
    if isinstance(spec, ConvSpec | TextSpec | BackboneSpec | TextBackboneSpec):
        return Modules(_modules_of(spec))
    return SequentialAdapter(spec, spec.chain) if spec.layout == "stacked" and spec.chain is not None else Modules(spec)


@lru_cache(maxsize=64)
def _modules_of(spec: ConvSpec | TextSpec | BackboneSpec | TextBackboneSpec) -> ModuleSpec:
    """A described network that is no dense one, as modules one after another."""
    result = ModuleSpec(build(spec, seed=0), built_by=partial(build, spec))
    result.changes_inputs = False
    result.draws = bool(getattr(spec, "augment", ()) or getattr(spec, "word_dropout", 0.0))
    return result

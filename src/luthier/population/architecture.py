"""Which architecture a spec asks for."""

from __future__ import annotations

from luthier.nets import DenseSpec
from luthier.population.dense import Dense, Translated
from luthier.population.modules import Modules, ModuleSpec


def architecture(spec: DenseSpec | ModuleSpec) -> Dense | Modules:
    """How networks of a spec are laid out, stepped and cut out."""
    if isinstance(spec, DenseSpec):
        return Dense(spec)
    return Translated(spec, spec.chain) if spec.layout == "stacked" and spec.chain is not None else Modules(spec)

"""What a network is made of: its layers, their shapes, how many numbers they learn, and a drawing in text."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor, nn

from luthier.nets.spec import DenseSpec


@dataclass(frozen=True)
class Row:
    """One layer: what it is, the shape of a row of its output (None where unknown), what it learns."""

    name: str
    kind: str
    shape: tuple[int, ...] | None
    parameters: int
    frozen: int = 0


@dataclass(frozen=True)
class Summary:
    """Layers from input to output; `str()` draws them."""

    inputs: tuple[int, ...] | None
    rows: tuple[Row, ...]

    @property
    def parameters(self) -> int:
        """How many numbers are learnt."""
        return sum(row.parameters for row in self.rows)

    @property
    def frozen(self) -> int:
        """How many are kept as they are."""
        return sum(row.frozen for row in self.rows)

    def __str__(self) -> str:
        cells = [("inputs", "", _shape(self.inputs), "")]
        cells += [
            (row.name, row.kind, _shape(row.shape), f"{row.parameters:,}" if row.parameters else "")
            for row in self.rows
        ]
        widths = [max(len(cell[column]) for cell in cells) for column in range(4)]
        lines = []
        for place, (name, kind, shape, count) in enumerate(cells):
            mark = "┌" if place == 0 else "└" if place == len(cells) - 1 else "├"
            lines.append(
                f"{mark} {name:<{widths[0]}}  {kind:<{widths[1]}}  {shape:>{widths[2]}}  {count:>{widths[3]}}".rstrip()
            )
        kept = f", {self.frozen:,} frozen" if self.frozen else ""
        return "\n".join([*lines, f"{self.parameters:,} parameters{kept}"])


def summary(network: nn.Module | DenseSpec, example: Tensor | None = None) -> Summary:
    """The layers of a `network`; for a module an `example` batch [B, ...] gives the shapes too.

    The module is run once in evaluation mode and without gradients; its own modes are put back.

    >>> print(summary(DenseSpec(784, (30,), 10, activation="sigmoid")))
    ┌ inputs                        784
    ├ layers.0  dense, sigmoid       30  23,550
    └ layers.1  dense                10     310
    23,860 parameters
    """
    return _of_spec(network) if isinstance(network, DenseSpec) else _of_module(network, example)


def _of_spec(spec: DenseSpec) -> Summary:
    rows = [
        Row(f"embeddings.{k}", f"embedding of {levels} levels", (width,), levels * width)
        for k, (levels, width) in enumerate(spec.embeddings)
    ]
    if (means := spec.target_encoding) is not None:
        rows += [
            Row(f"targets.{k}", f"means of the target at {levels} levels", (means.width,), 0)
            for k, levels in enumerate(means.levels)
        ]
    if (waves := spec.number_embedding) is not None:
        learnt = sum(prod(shape) for shape in waves.shapes().values())
        rows.append(Row("numbers.0", f"functions of {waves.columns} numbers", (waves.features,), learnt))
    norm = "batch norm" if spec.batch_norm else "layer norm" if spec.layer_norm else ""
    for i, units in enumerate((*spec.hidden, spec.outputs)):
        hidden = i < len(spec.hidden)
        kind = ["dense", *([norm] if norm and hidden else []), *([spec.activations[i]] if hidden else [])]
        if hidden and spec.skips(i):
            kind.append("plus its input")
        if hidden and spec.parametric:
            kind.append("a share of it")
        if hidden and spec.ensemble:
            kind.append(f"factors of {spec.ensemble} networks")
        learnt = units * spec.columns(i) + hidden * units * (2 * spec.normalised + spec.parametric + 2 * spec.ensemble)
        rows.append(Row(f"layers.{i}", ", ".join(kind), (units,), learnt))
    return Summary((spec.inputs,) if not spec.embeddings else (spec.inputs + len(spec.embeddings),), tuple(rows))


def _of_module(module: nn.Module, example: Tensor | None) -> Summary:
    leaves = [(name or "module", layer) for name, layer in module.named_modules() if not list(layer.children())]
    shapes = {} if example is None else _shapes(module, dict(leaves), example)
    counted: set[int] = set()
    rows = []
    for name, layer in leaves:
        own = [p for p in layer.parameters(recurse=False) if id(p) not in counted]
        counted |= {id(p) for p in own}
        learnt, frozen = (sum(p.numel() for p in own if p.requires_grad is wanted) for wanted in (True, False))
        rows.append(Row(name, type(layer).__name__, shapes.get(name), learnt, frozen))
    rest = [p for p in module.parameters() if id(p) not in counted]
    if rest:
        learnt, frozen = (sum(p.numel() for p in rest if p.requires_grad is wanted) for wanted in (True, False))
        rows.append(Row("own parameters", type(module).__name__, None, learnt, frozen))
    return Summary(None if example is None else tuple(example.shape[1:]), tuple(rows))


def _shapes(module: nn.Module, leaves: dict[str, nn.Module], example: Tensor) -> dict[str, tuple[int, ...]]:
    result: dict[str, tuple[int, ...]] = {}
    modes = {layer: layer.training for layer in module.modules()}

    def watching(name: str) -> object:
        def watch(layer: nn.Module, inputs: object, output: object) -> None:
            first = output[0] if isinstance(output, tuple) else output
            if isinstance(first, Tensor):
                result[name] = tuple(first.shape[1:])

        return watch

    hooks = [layer.register_forward_hook(watching(name)) for name, layer in leaves.items()]  # type: ignore[arg-type]
    try:
        with torch.no_grad():
            module.eval()(example)
    finally:
        for hook in hooks:
            hook.remove()
        for layer, mode in modes.items():
            layer.training = mode
    return result


def _shape(shape: tuple[int, ...] | None) -> str:
    return "" if shape is None else " × ".join(map(str, shape)) or "1"

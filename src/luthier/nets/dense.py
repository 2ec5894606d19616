"""The dense network as an ordinary module: what a member of a stack is when it stands alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from luthier.averages import follow
from luthier.nets.initialise import bending_biases
from luthier.nets.numbers import PiecewiseEmbedding, embedded_numbers, pieced_numbers
from luthier.nets.spec import DenseSpec
from luthier.shapes import Codes, Embedded, Features, Hidden, Outputs

NORM_EPSILON = 1e-5  # inside the root
NORM_MEMORY = 0.9  # share of the old moving average that is kept


class _Values(nn.Module):
    """Named parameters and buffers of one layer; the arithmetic is in the network's forward."""

    def __init__(self, parameters: dict[str, Tensor], buffers: dict[str, Tensor]) -> None:
        super().__init__()
        for name, value in parameters.items():
            self.register_parameter(name, nn.Parameter(value))
        for name, value in buffers.items():
            self.register_buffer(name, value)


class DenseNet(nn.Module):
    """Numbers [B, F] and codes [B, K] to logits [B, C].

    In training mode batch norm uses the batch's statistics and moves its averages; in evaluation
    mode it uses the averages, so a batch of one works.
    """

    takes = ("numbers", "codes")

    def __init__(self, spec: DenseSpec, parameters: dict[str, Tensor]) -> None:
        super().__init__()
        self.spec, self._functions = spec, spec.functions
        buffers = {
            name: torch.ones(shape) if name.endswith("variance") else torch.zeros(shape)
            for name, shape in spec.buffer_shapes().items()
        }
        # Any: a ModuleList does not know the parameters that its modules were given by name.
        self.embeddings: Any = nn.ModuleList(_modules("embeddings", parameters, buffers))
        self.targets: Any = nn.ModuleList(_modules("targets", parameters, buffers))
        self.numbers: Any = nn.ModuleList(_modules("numbers", parameters, buffers))
        self.scales: Any = nn.ModuleList(_modules("scales", parameters, buffers))
        self.layers: Any = nn.ModuleList(_modules("layers", parameters, buffers))
        varying = torch.ones(spec.outputs, 1) if spec.constant_outputs else None
        if varying is not None:  # the weights of outputs that are the same for all rows are 0 and learn nothing
            varying[list(spec.constant_outputs)] = 0
        self.varying: Tensor | None
        self.edges: Tensor | None
        pieces = spec.number_embedding if isinstance(spec.number_embedding, PiecewiseEmbedding) else None
        edges = None if pieces is None else torch.tensor(pieces.edges, dtype=torch.float64)
        self.register_buffer("edges", edges, persistent=False)
        self.register_buffer("varying", varying, persistent=False)
        self.activations: Any = nn.ModuleList(_modules("activations", parameters, buffers))
        self.ensemble: Any = nn.ModuleList(_modules("ensemble", parameters, buffers))
        self.norms: Any = nn.ModuleList(_modules("norms", parameters, buffers))

    def forward(self, features: Features, codes: Codes | None = None) -> Outputs:
        """Logits [B, C]."""
        parts = []
        for k, table in self.tables():
            assert codes is not None
            parts.append(table[codes[:, k]])
        return self.from_embedded(parts, features)

    def tables(self) -> list[tuple[int, Tensor]]:
        """Which column of codes is looked up where [L, w]: embeddings, then means of the target."""
        tables = [*(one.weight for one in self.embeddings), *(one.table for one in self.targets)]
        return list(zip(self.spec.coded_columns, tables, strict=True))

    def from_embedded(self, parts: Sequence[Embedded], features: Features, which: Tensor | None = None) -> Outputs:
        """Logits [B, C] of what each of the `tables` has for a row's codes [B, w], and numbers [B, F].

        Of an ensemble those of the network `which`, or of each row's own [B], or without it of the mean of all; in
        training each row goes through one.
        """
        if self.spec.ensemble and which is None:
            networks = torch.arange(self.spec.ensemble, device=features.device)
            if not self.training:
                return torch.stack([self.from_embedded(parts, features, one) for one in networks]).mean(0)
            which = torch.arange(len(features), device=features.device) % self.spec.ensemble
        a = self._entering(parts, features)
        *hidden, last = self.layers  # a slice of them would be a module of its own
        for i, layer in enumerate(hidden):
            a = self._activated(i, a, a @ layer.weight.T, which)
        weight = last.weight if self.varying is None else last.weight * self.varying
        return torch.addmm(last.bias, a, weight.T)

    @torch.no_grad()
    def write_biases(self, features: Features, codes: Codes, answer: Tensor, generator: torch.Generator) -> None:
        """First biases from rows: the last layer's are `answer` [C], and each hidden unit bends among the rows."""
        a = self._entering([table[codes[:, k]] for k, table in self.tables()], features)
        which = torch.arange(len(a)) % self.spec.ensemble if self.spec.ensemble else None
        *hidden, last = self.layers
        for i, layer in enumerate(hidden):
            z = a @ layer.weight.T
            if not self.spec.normalised:
                layer.bias.copy_(bending_biases(z, generator))
            a = self._activated(i, a, z, which)
        last.bias.copy_(answer)

    def _entering(self, parts: Sequence[Embedded], features: Features) -> Embedded:
        """What the first layer takes."""
        if self.spec.number_embedding is not None:
            x, learnt = features[:, : self.spec.number_embedding.columns], dict(self.numbers[0].named_parameters())
            values = embedded_numbers(x, learnt) if self.edges is None else pieced_numbers(x, self.edges, learnt)
            parts = [*parts, values]
        a = torch.cat([*parts, features], 1) if len(parts) else features
        if self.spec.input_scale:
            a = a * self.scales[0].factor
        return a

    def _activated(self, i: int, below: Embedded, z: Hidden, which: Tensor | None) -> Hidden:
        """What hidden layer i hands on, from what is below and the sums over it; of an ensemble `which` networks'."""
        z = z if self.spec.normalised else z + self.layers[i].bias
        if which is not None:
            z = z * self.ensemble[i].sums[which]
        z = self._normalised(i, z) if self.spec.normalised else z
        out = self._functions[i].f(z)
        if self.spec.parametric:
            out = torch.lerp(z, out, self.activations[i].share)
        out = out + below if self.spec.skips(i) else out
        return out if which is None else out * self.ensemble[i].outputs[which]

    def _normalised(self, i: int, z: Hidden) -> Hidden:
        norm = self.norms[i]
        if self.spec.layer_norm:
            return F.layer_norm(z, z.shape[1:], norm.scale, norm.shift, NORM_EPSILON)
        if self.training:
            mean, variance = z.mean(0), z.var(0, correction=0)
            with torch.no_grad():
                follow(norm.mean, mean, NORM_MEMORY)
                follow(norm.variance, variance, NORM_MEMORY)
        else:
            mean, variance = norm.mean, norm.variance
        return torch.addcmul(norm.shift, (z - mean) * torch.rsqrt(variance + NORM_EPSILON), norm.scale)


def _modules(group: str, parameters: dict[str, Tensor], buffers: dict[str, Tensor]) -> list[_Values]:
    def of(values: dict[str, Tensor], place: int) -> dict[str, Tensor]:
        prefix = f"{group}.{place}."
        return {name.removeprefix(prefix): value for name, value in values.items() if name.startswith(prefix)}

    named = (name for name in (*parameters, *buffers) if name.startswith(f"{group}."))
    count = 1 + max((int(name.split(".")[1]) for name in named), default=-1)
    return [_Values(of(parameters, i), of(buffers, i)) for i in range(count)]


def build_dense(spec: DenseSpec, *, seed: int) -> DenseNet:
    """A fresh network; the same spec and seed give the same weights.

    >>> net = build_dense(DenseSpec(inputs=4, hidden=(8,), outputs=3), seed=0)
    >>> net(torch.zeros(2, 4)).shape
    torch.Size([2, 3])
    """
    return DenseNet(spec, {name: value.float() for name, value in spec.fresh_parameters(seed).items()})

"""Networks of one architecture, stacked: parameters, forward pass and hand-written backward.

M members, B batch, F features, K code columns, H hidden units, C outputs, D width of all embeddings,
P parameters of one member. All parameters of the stack lie in one tensor [M, P], gradients in
another of the same layout, and the named tensors below are views into them; so an update rule is a
few large operations, and cutting members away is slicing rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import prod

import torch
from torch import Tensor

from luthier.nets import ACTIVATIONS, NORM_EPSILON, NORM_MEMORY, DenseSpec

Masks = list[Tensor | None]


@dataclass
class Batch:
    """Rows that the whole stack sees: features [B, F], codes [B, K], targets [B], weights [B] or None."""

    features: Tensor
    codes: Tensor
    targets: Tensor
    weights: Tensor | None = None


def views(flat: Tensor, shapes: dict[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """Named views [M, ...] into the rows of a flat tensor [M, P]."""
    ends = list(accumulate((prod(shape) for shape in shapes.values()), initial=0))
    return {
        name: flat[:, start:end].view(flat.shape[0], *shape)
        for (name, shape), start, end in zip(shapes.items(), ends, ends[1:], strict=False)
    }


def weight_mask(spec: DenseSpec, dtype: torch.dtype) -> Tensor:
    """1 where a penalty applies [P]: weights and embeddings; 0 for biases, scales and shifts."""
    parts = [
        torch.full((prod(shape),), float(name.endswith(".weight")), dtype=dtype)
        for name, shape in spec.shapes().items()
    ]
    return torch.cat(parts)


def fresh_parameters(spec: DenseSpec, seeds: Sequence[int], dtype: torch.dtype) -> Tensor:
    """Initial parameters [M, P], each member's from its own seed."""
    rows = []
    for seed in seeds:
        values = spec.fresh_parameters(seed)
        rows.append(torch.cat([value.flatten() for value in values.values()]).to(dtype))
    return torch.stack(rows)


def fresh_buffers(spec: DenseSpec, members: int, dtype: torch.dtype) -> Tensor:
    """Batch norm's moving averages [M, Q] before training: means 0, variances 1."""
    parts = [
        torch.full((members, prod(shape)), float(name.endswith("variance")), dtype=dtype)
        for name, shape in spec.buffer_shapes().items()
    ]
    return torch.cat(parts, 1) if parts else torch.zeros(members, 0, dtype=dtype)


class Stack:
    """The arithmetic of M stacked networks over their flat parameters [M, P] and buffers [M, Q]."""

    def __init__(self, spec: DenseSpec, parameters: Tensor, buffers: Tensor) -> None:
        self.spec = spec
        self.parameters, self.buffers = parameters, buffers
        self.gradients = torch.zeros_like(parameters)
        self._p = views(parameters, spec.shapes())
        self._g = views(self.gradients, spec.shapes())
        self._b = views(buffers, spec.buffer_shapes())
        self._activations = [ACTIVATIONS[name] for name in spec.activations]
        # What every step asks for, made once: in a small network making a view costs as much as using it.
        layers = range(len(spec.hidden) + 1)
        self._W = [self._p[f"layers.{i}.weight"] for i in layers]
        self._WT = [W.mT for W in self._W]
        biases = [self._p.get(f"layers.{i}.bias") for i in layers]
        self._bias = [None if bias is None else bias.unsqueeze(1) for bias in biases]
        self._gW = [self._g[f"layers.{i}.weight"] for i in layers]
        self._gb = [self._g.get(f"layers.{i}.bias") for i in layers]
        self._gX = self._gW[0][:, :, : spec.inputs]

    def __len__(self) -> int:
        return self.parameters.shape[0]

    def logits(self, features: Tensor, codes: Tensor) -> Tensor:
        """Outputs [M, B, C] in evaluation mode: moving averages, no dropout."""
        A: Tensor | None = None
        for i in range(len(self.spec.hidden)):
            Z = self._affine(i, A, features, codes)
            if self.spec.batch_norm:
                mean, variance = self._b[f"norms.{i}.mean"], self._b[f"norms.{i}.variance"]
                Zn = (Z - mean.unsqueeze(1)) * torch.rsqrt(variance + NORM_EPSILON).unsqueeze(1)
                Z = Zn * self._p[f"norms.{i}.scale"].unsqueeze(1) + self._p[f"norms.{i}.shift"].unsqueeze(1)
            A = self._activations[i].f(Z)
        return self._affine(len(self.spec.hidden), A, features, codes)

    def forward(self, batch: Batch, masks: Masks) -> tuple[Tensor, list[dict[str, Tensor]]]:
        """Logits [M, B, C] in training mode, and per hidden layer what the backward pass needs."""
        A: Tensor | None = None
        kept: list[dict[str, Tensor]] = []
        for i in range(len(self.spec.hidden)):
            Z = self._affine(i, A, batch.features, batch.codes)
            cache: dict[str, Tensor] = {}
            if self.spec.batch_norm:
                Z = self._normalise(i, Z, cache)
            A = self._activations[i].f(Z)
            cache["Z"], cache["A"] = Z, A
            mask = masks[i]
            if mask is not None:
                A = A * mask
            cache["out"] = A
            kept.append(cache)
        return self._affine(len(self.spec.hidden), A, batch.features, batch.codes), kept

    def backward(self, batch: Batch, dZ: Tensor, kept: list[dict[str, Tensor]], masks: Masks) -> None:
        """Fill the gradients from the derivative by the logits, dZ [M, B, C].

        The four equations of backpropagation (S1-15 to S1-18) for the whole stack.
        """
        for i in range(len(self.spec.hidden), -1, -1):
            below = kept[i - 1]["out"] if i else None
            self._affine_gradients(i, below, batch, dZ)
            if below is None:
                return
            dA = torch.bmm(dZ, self._W[i])
            cache, mask = kept[i - 1], masks[i - 1]
            if mask is not None:
                dA.mul_(mask)
            dZ = self._activations[i - 1].through(dA, cache["Z"], cache["A"])
            if self.spec.batch_norm:
                dZ = self._normalise_backward(i - 1, dZ, cache)

    def _affine(self, i: int, A: Tensor | None, features: Tensor, codes: Tensor) -> Tensor:
        """Layer i's Z [M, B, units] from the activations below, or from the inputs for the first."""
        WT, bias = self._WT[i], self._bias[i]
        if A is not None:
            return torch.bmm(A, WT) if bias is None else torch.baddbmm(bias, A, WT)
        # Members share the inputs: one product each from the same memory. A single wide product would
        # have to copy the weights together first, which costs more than it saves.
        F, X = self.spec.inputs, features.expand(len(self), -1, -1)
        if not self.spec.embeddings:
            return torch.bmm(X, WT) if bias is None else torch.baddbmm(bias, X, WT)
        Z = torch.bmm(self._embedded(codes), WT[:, F:])
        if bias is not None:
            Z += bias
        return Z.baddbmm_(X, WT[:, :F])

    def _embedded(self, codes: Tensor) -> Tensor:
        """Embeddings of a batch's codes, side by side [M, B, D]."""
        columns = [
            self._p[f"embeddings.{k}.weight"].index_select(1, codes[:, k]) for k in range(len(self.spec.embeddings))
        ]
        return torch.cat(columns, 2)

    def _affine_gradients(self, i: int, below: Tensor | None, batch: Batch, dZ: Tensor) -> None:
        gW, gb = self._gW[i], self._gb[i]
        if gb is not None:
            torch.sum(dZ, 1, out=gb)
        if below is not None:
            torch.bmm(dZ.mT, below, out=gW)
            return
        F, X = self.spec.inputs, batch.features.expand(len(self), -1, -1)
        torch.bmm(dZ.mT, X, out=self._gX)
        if self.spec.embeddings:
            gW[:, :, F:] = torch.bmm(dZ.mT, self._embedded(batch.codes))
            dE = torch.bmm(dZ, self._p[f"layers.{i}.weight"][:, :, F:])
            start = 0
            for k, (_, width) in enumerate(self.spec.embeddings):
                table = self._g[f"embeddings.{k}.weight"].zero_()
                table.index_add_(1, batch.codes[:, k], dE[:, :, start : start + width])
                start += width

    def _normalise(self, i: int, Z: Tensor, cache: dict[str, Tensor]) -> Tensor:
        """Batch norm over the batch (S0-11), 1/N variance; the moving averages follow."""
        mean = Z.mean(1, keepdim=True)
        centred = Z - mean
        variance = centred.square().mean(1, keepdim=True)
        inverse = torch.rsqrt(variance + NORM_EPSILON)
        normal = centred * inverse
        self._b[f"norms.{i}.mean"].lerp_(mean.detach().squeeze(1), 1 - NORM_MEMORY)
        self._b[f"norms.{i}.variance"].lerp_(variance.detach().squeeze(1), 1 - NORM_MEMORY)
        cache["normal"], cache["inverse"] = normal, inverse
        scale, shift = self._p[f"norms.{i}.scale"], self._p[f"norms.{i}.shift"]
        return torch.addcmul(shift.unsqueeze(1), normal, scale.unsqueeze(1))

    def _normalise_backward(self, i: int, dZ: Tensor, cache: dict[str, Tensor]) -> Tensor:
        """Derivative by the input of batch norm (S0-17, gathered into one expression)."""
        normal, inverse = cache["normal"], cache["inverse"]
        torch.sum(dZ * normal, 1, out=self._g[f"norms.{i}.scale"])
        torch.sum(dZ, 1, out=self._g[f"norms.{i}.shift"])
        dN = dZ * self._p[f"norms.{i}.scale"].unsqueeze(1)
        centred = dN - dN.mean(1, keepdim=True) - normal * (dN * normal).mean(1, keepdim=True)
        return centred.mul_(inverse)

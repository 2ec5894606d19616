"""Networks of one architecture, stacked: forward pass and hand-written backward over their flat rows.

M members, B batch, F features, K code columns, D width of all embeddings, H hidden units, C outputs,
P numbers of one member's row. All parameters of the stack lie in one tensor [M, P], gradients in
another of the same layout, and the named tensors are views into them (`dense_rows`); so an update is a
few large operations, and cutting members away is slicing rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from luthier.averages import follow
from luthier.engine.dense.dense_rows import EVEN_ROWS, WIDE_WASTE, buffer_views, matrices, views
from luthier.engine.dense.learned_inputs import InputScale, LearnedInputs
from luthier.engine.dense.products import product, stays_small, take_product
from luthier.engine.dense.shared_weights import SharedWeights
from luthier.engine.members.batches import Batch
from luthier.engine.members.sharing import mean_of_rows
from luthier.nets import NORM_EPSILON, NORM_MEMORY, DenseSpec
from luthier.rows import Inputs

Masks = Sequence[Tensor | None]
Product = Callable[[Tensor, Tensor], Tensor]


class Stack:
    """The arithmetic of M stacked networks over their flat parameters [M, P] and buffers [M, Q].

    `gradients` [M, P] may be shared with others who use it in turns. `low` multiplies in bfloat16.
    """

    def __init__(
        self,
        spec: DenseSpec,
        parameters: Tensor,
        buffers: Tensor,
        gradients: Tensor | None = None,
        *,
        bf16: bool = False,
    ) -> None:
        self.spec, self.bf16 = spec, bf16
        self._product: Product = partial(product, bf16=bf16)  # no method: that would keep the stack alive in a cycle
        self.parameters, self.buffers = parameters, buffers
        self.gradients = torch.zeros_like(parameters) if gradients is None else gradients
        self._p, self._g = views(spec, parameters), views(spec, self.gradients)
        self._scale = InputScale(spec, parameters, self.gradients) if spec.input_scale else None
        self._learned = LearnedInputs(spec, parameters, buffers, self.gradients) if spec.learned_width else None
        self._ensemble = SharedWeights(spec, self._p, self._g) if spec.ensemble else None
        self._reshapes = spec.parametric or spec.ensemble > 0  # what an activation gives is not what the layer hands on
        self._b = buffer_views(spec, buffers)
        self._activations = spec.functions
        # What every step asks for, made once: in a small network making a view costs as much as using it.
        self._W, self._G = matrices(spec, parameters), matrices(spec, self.gradients)
        self._WT = [W.mT for W in self._W]
        self._constant = list(spec.constant_outputs)
        self._D, columns = spec.learned_width, spec.columns(0)
        self._Win = [W[:, :, : spec.fan_in(i)] for i, W in enumerate(self._W)]
        rows, self._first = parameters.shape[1] // columns, self._W[0].shape[1]
        if len(parameters) == 1:  # no row of the next member follows: as few as make an even number
            rows = min(rows, -(-self._first // EVEN_ROWS) * EVEN_ROWS)
        self._rows = 0  # of a member in the wide product; 0: each member has a product of its own
        if spec.plain_inputs and rows <= WIDE_WASTE * self._first and parameters.is_contiguous():
            self._rows = rows
            self._wide = parameters[:, : rows * columns].view(1, -1, columns)
            self._wide_T, self._wide_G = self._wide.mT, self.gradients[:, : rows * columns].view(1, -1, columns)
        self._members, self._spaces = len(parameters), dict[int, _Space]()

    def __len__(self) -> int:
        return self._members

    def logits(self, inputs: Inputs, which: int | None = None) -> Tensor:
        """Outputs [M, B, C] in evaluation mode: moving averages, no dropout. Of an ensemble the mean of its networks,
        or those of one `which`."""
        if self.spec.ensemble and which is None:
            result = self.logits(inputs, 0)
            for k in range(1, self.spec.ensemble):
                result += self.logits(inputs, k)
            return result.div_(self.spec.ensemble)
        A: Tensor | None = None
        for i in range(len(self.spec.hidden)):
            Z = self._affine(i, A, inputs, self._product)
            if which is not None:
                Z = Z * self._p[f"ensemble.{i}.sums"][:, which].unsqueeze(1)
            if self.spec.batch_norm:
                mean, variance = self._b[f"norms.{i}.mean"], self._b[f"norms.{i}.variance"]
                Z = (Z - mean.unsqueeze(1)) * torch.rsqrt(variance + NORM_EPSILON).unsqueeze(1)
                Z = self._scaled(i, Z)
            elif self.spec.layer_norm:
                Z = self._scaled(i, _standardised(Z, 2)[0])
            below, A = A, Z.new_empty(*Z.shape[:2], self.spec.columns(i + 1))
            inner = A[:, :, : Z.shape[2]]
            self._activations[i].into(Z, inner)
            if self.spec.parametric:
                inner.copy_(torch.lerp(Z, inner, self._shares(i)))
            if self.spec.skips(i):
                assert below is not None
                inner += below[:, :, : Z.shape[2]]
            if which is not None:
                inner *= self._p[f"ensemble.{i}.outputs"][:, which].unsqueeze(1)
            A[:, :, Z.shape[2] :] = 1
        return self._affine(len(self.spec.hidden), A, inputs, self._product)

    def forward(self, batch: Batch, masks: Masks) -> Tensor:
        """Logits [M, B, C] in training mode; what the backward pass needs is kept."""
        space = self._space(batch.rows)
        below, ensemble = None, self._ensemble
        last, plain = len(space.layers), not (self.spec.normalised or self.spec.residual)
        for i, layer in enumerate(space.layers):
            Z = self._affine(i, below, batch.inputs, space.times)
            if ensemble is not None:
                Z = ensemble.scaled_sums(i, Z)
            if self.spec.normalised:
                Z = self._normalise(i, Z, layer)
            layer.Z, mask = Z, masks[i]
            if mask is None and not self._reshapes and (plain or not self.spec.skips(i)):
                self._activations[i].into(Z, layer.out)
                layer.A = layer.out
            else:
                layer.A = layer.f = self._activations[i].f(Z)
                if self.spec.parametric:
                    layer.A = torch.lerp(Z, layer.f, self._shares(i))
                torch.mul(layer.A, 1 if mask is None else mask, out=layer.out)
                if self.spec.skips(i):
                    layer.out.add_(space.layers[i - 1].out)
            if ensemble is not None:
                ensemble.scale_outputs(i, layer.out)
            below = layer.whole
        return self._affine(last, below, batch.inputs, space.times)

    def activations(self, rows: int) -> list[Tensor]:
        """Each hidden layer's activations [M, B, units] of the last training pass over so many rows."""
        return [layer.A for layer in self._space(rows).layers]

    def backward(self, batch: Batch, dZ: Tensor, masks: Masks) -> None:
        """Fill the gradients from the derivative by the logits, dZ [M, B, C].

        The four equations of backpropagation for the whole stack.
        """
        space = self._space(batch.rows)
        for i, error in self._errors(space, dZ, masks):
            if i:
                product(error.mT, space.layers[i - 1].whole, out=self._G[i], bf16=self.bf16)
            else:
                self._first_gradient(space, batch, error)
        if self._constant:
            self._G[-1][:, self._constant, : self.spec.fan_in(len(space.layers))] = 0
        for i, layer in enumerate(space.layers if self.spec.normalised else ()):
            self._g[f"norms.{i}.scale"].copy_(layer.scale_gradient)
            self._g[f"norms.{i}.shift"].copy_(layer.shift_gradient)

    def descend(self, batch: Batch, dZ: Tensor, masks: Masks, shrink: Tensor | None = None) -> None:
        """Subtract the gradients from the parameters without storing them, after subtracting `shrink` [M, P].

        `dZ` carries the rates: every equation is linear in it. For networks without norms and learned inputs.
        """
        space = self._space(batch.rows)
        errors = self._errors(space, dZ, masks)
        if shrink is not None:
            self.parameters.sub_(shrink)
        for i, error in errors:
            if i:
                space.take(self._WT[i], space.layers[i - 1].whole_T, error)
            elif self._wide_product(X := batch.inputs.numbers):
                space.take(self._wide, space.stacked(error, self._rows), X.unsqueeze(0))
            else:
                space.take(self._W[0], error.mT, self._each(X))

    def _errors(self, space: _Space, dZ: Tensor, masks: Masks) -> list[tuple[int, Tensor]]:
        """Each layer's derivative by its Z [M, B, units], first layer first."""
        last = len(self.spec.hidden)
        result, passed = [(last, dZ)], None
        for i in range(last - 1, -1, -1):
            layer, mask = space.layers[i], masks[i]
            dA = space.times(dZ, self._Win[i + 1])
            if passed is not None:
                dA = dA + passed
            if self._ensemble is not None:
                dA = self._ensemble.through_outputs(i, dA)
            passed = dA.clone() if self.spec.skips(i) else None
            if mask is not None:
                dA.mul_(mask)
            dZ = self._through(i, dA, layer)
            if self.spec.normalised:
                dZ = self._normalise_backward(i, dZ, layer)
            if self._ensemble is not None:
                dZ = self._ensemble.through_sums(i, dZ)
            result.append((i, dZ))
        return result[::-1]

    def _through(self, i: int, dA: Tensor, layer: _Layer) -> Tensor:
        """Derivative by Z from that by A; of z + a (f(z) - z), a per unit, also the gradient of a."""
        if not self.spec.parametric:
            return self._activations[i].through(dA, layer.Z, layer.A)
        share = self._shares(i)
        self._g[f"activations.{i}.share"].copy_((dA * (layer.f - layer.Z)).sum(1))
        past = dA * (1 - share)
        return self._activations[i].through(dA.mul_(share), layer.Z, layer.f).add_(past)

    def _shares(self, i: int) -> Tensor:
        return self._p[f"activations.{i}.share"].unsqueeze(1)

    def _affine(self, i: int, A: Tensor | None, inputs: Inputs, times: Product) -> Tensor:
        """Layer i's Z [M, B, units] from the activations below, or from the inputs for the first."""
        if A is not None:
            return times(A, self._WT[i])
        X = inputs.numbers
        if self._rows and X.ndim == 2:  # members share the inputs: one wide product
            Z = times(X.unsqueeze(0), self._wide_T)
            if self._members == 1:
                return Z if self._rows == self._first else Z[:, :, : self._first]
            return Z.view(X.shape[0], self._members, self._rows)[:, :, : self._first].transpose(0, 1)
        WT = self._WT[0] if self._scale is None else self._scale.weights().mT
        if self._learned is None:
            return times(self._each(X), WT)
        Z = times(self._each(X), WT[:, self._D :])
        return Z.add_(times(self._learned.of(X, inputs.codes), WT[:, : self._D]))

    def _each(self, inputs: Tensor) -> Tensor:
        """Inputs [M, B, F] of each member, from those that all share [B, F] or as they are."""
        return inputs.expand(self._members, -1, -1) if inputs.ndim == 2 else inputs

    def _wide_product(self, inputs: Tensor) -> bool:
        return self._rows > 0 and self._members > 1 and inputs.ndim == 2

    def _first_gradient(self, space: _Space, batch: Batch, dZ: Tensor) -> None:
        X, G, D = batch.inputs.numbers, self._G[0], self._D
        if self._wide_product(X):  # the rows after the first layer's get zeros here, their gradients later
            product(space.stacked(dZ, self._rows), X.unsqueeze(0), out=self._wide_G, bf16=self.bf16)
            return
        X = self._each(X)
        if self._learned is None:
            product(dZ.mT, X, out=G, bf16=self.bf16)
            if self._scale is not None:
                self._scale.learn()
            return
        G[:, :, D:] = product(dZ.mT, X, bf16=self.bf16)
        G[:, :, :D] = product(dZ.mT, self._learned.last, bf16=self.bf16)
        W = self._W[0] if self._scale is None else self._scale.scaled
        self._learned.learn(product(dZ, W[:, :, :D], bf16=self.bf16))
        if self._scale is not None:
            self._scale.learn()

    def _scaled(self, i: int, normal: Tensor) -> Tensor:
        scale, shift = self._p[f"norms.{i}.scale"], self._p[f"norms.{i}.shift"]
        return torch.addcmul(shift.unsqueeze(1), normal, scale.unsqueeze(1))

    def _normalise(self, i: int, Z: Tensor, layer: _Layer) -> Tensor:
        """Batch norm over the batch, 1/N variance, whose moving averages follow; or layer norm over units."""
        layer.normal, layer.inverse, mean, variance = _standardised(Z, 1 if self.spec.batch_norm else 2)
        if self.spec.batch_norm:
            follow(self._b[f"norms.{i}.mean"], mean.detach().squeeze(1), NORM_MEMORY)
            follow(self._b[f"norms.{i}.variance"], variance.detach().squeeze(1), NORM_MEMORY)
        return self._scaled(i, layer.normal)

    def _normalise_backward(self, i: int, dZ: Tensor, layer: _Layer) -> Tensor:
        """Derivative by the input of the norm (S0-17, gathered into one expression)."""
        normal, over = layer.normal, 1 if self.spec.batch_norm else 2
        layer.scale_gradient, layer.shift_gradient = torch.sum(dZ * normal, 1), torch.sum(dZ, 1)
        dN = dZ * self._p[f"norms.{i}.scale"].unsqueeze(1)
        means = [mean_of_rows(values) if over == 1 else values.mean(over, keepdim=True) for values in (dN, dN * normal)]
        centred = dN - means[0] - normal * means[1]
        return centred.mul_(layer.inverse)

    def _space(self, rows: int) -> _Space:
        if rows not in self._spaces:
            self._spaces[rows] = _Space(self, rows)
        return self._spaces[rows]


class _Layer:
    """What one hidden layer keeps from the forward pass: Z, A = f(Z), and `out` as the layer above sees it."""

    Z: Tensor
    A: Tensor
    f: Tensor
    normal: Tensor
    inverse: Tensor
    scale_gradient: Tensor
    shift_gradient: Tensor

    def __init__(self, whole: Tensor, units: int) -> None:
        self.whole, self.whole_T, self.out = whole, whole.mT, whole[:, :, :units]  # with and without the column of ones


class _Space:
    """Buffers for batches of one size."""

    def __init__(self, stack: Stack, rows: int) -> None:
        spec, P = stack.spec, stack.parameters
        self.layers = [
            _Layer(P.new_ones(len(stack), rows, spec.columns(i + 1)), units) for i, units in enumerate(spec.hidden)
        ]
        self._left: Tensor | None = None
        self.times: Product = stack._product
        self.take: Callable[[Tensor, Tensor, Tensor], object] = partial(take_product, bf16=stack.bf16)
        largest = max(W[0].numel() for W in (stack._wide if stack._rows else stack._W[0], *stack._W))
        if not stack.bf16 and (
            P.device.type != "cpu" or stays_small(rows, largest)
        ):  # spares the small networks the question at each product
            self.times, self.take = torch.bmm, partial(torch.Tensor.baddbmm_, alpha=-1)

    def stacked(self, dZ: Tensor, rows: int) -> Tensor:
        """The first layer's dZ [M, B, units] as the left side of a wide product [1, M rows, B], zeros between."""
        if self._left is None:
            left = dZ.new_zeros(len(dZ), rows, dZ.shape[1])
            self._left, self._into = left.view(1, -1, dZ.shape[1]), left[:, : dZ.shape[2]].mT
        self._into.copy_(dZ)
        return self._left


def _standardised(Z: Tensor, over: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(normal, 1/deviation, mean, variance) of Z [M, B, H] over one of its axes."""
    mean = mean_of_rows(Z) if over == 1 else Z.mean(over, keepdim=True)
    centred = Z - mean
    squares = centred.square()
    variance = mean_of_rows(squares) if over == 1 else squares.mean(over, keepdim=True)
    inverse = torch.rsqrt(variance + NORM_EPSILON)
    return centred * inverse, inverse, mean, variance

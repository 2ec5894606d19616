"""What stands beside a stack's inputs: embeddings, means of the target, functions of numbers; by hand both ways.

M members, B batch, F embedded numbers with k frequencies or pieces and w values each, K code columns, D width of all.
"""

from __future__ import annotations

import torch
from torch import Tensor

from luthier.engine.dense.dense_rows import buffer_views, matrices, views
from luthier.nets import AnyEmbedding, DenseSpec, NumberEmbedding, PiecewiseEmbedding
from luthier.nets.numbers import SCALE, in_pieces

TURN = 2 * torch.pi


class LearnedInputs:
    """Embeddings of codes, means of the target by code, functions of numbers, side by side [M, B, D]."""

    def __init__(self, spec: DenseSpec, parameters: Tensor, buffers: Tensor, gradients: Tensor) -> None:
        self._means = None if spec.target_encoding is None else LevelMeans(spec, buffers)
        self._learnt_from = spec.learned_width - (
            0 if spec.number_embedding is None else spec.number_embedding.features
        )
        self._codes = Embeddings(spec, parameters, gradients) if spec.embeddings else None
        kind = PiecewiseLines if isinstance(spec.number_embedding, PiecewiseEmbedding) else Waves
        self._numbers = None if spec.number_embedding is None else kind(spec, parameters, gradients)
        self._width = spec.embedding_width

    def of(self, inputs: Tensor, codes: Tensor) -> Tensor:
        """Those of a batch's inputs [B, F'] and codes [B, K], or of each member's own [M, B, ...]."""
        parts = [] if self._codes is None else [self._codes.of(codes)]
        if self._means is not None:
            parts.append(self._means.of(codes))
        if self._numbers is not None:
            parts.append(self._numbers.of(inputs))
        self.last = parts[0] if len(parts) == 1 else torch.cat(parts, 2)
        return self.last

    def learn(self, gradient: Tensor) -> None:
        """Fill the parameters' gradients from those [M, B, D] of what was last asked for."""
        if self._codes is not None:
            self._codes.learn(gradient[:, :, : self._width])
        if self._numbers is not None:
            self._numbers.learn(gradient[:, :, self._learnt_from :])


class InputScale:
    """A factor of each value that enters the first layer: weights W [M, H, I] work as W times the factors [M, I].

    Scaling the weights leaves the inputs as they are, which members share.
    """

    def __init__(self, spec: DenseSpec, parameters: Tensor, gradients: Tensor) -> None:
        inputs = spec.fan_in(0)
        self._factors = views(spec, parameters)[SCALE].unsqueeze(1)
        self._slopes = views(spec, gradients)[SCALE]
        self._W, self._G = matrices(spec, parameters)[0], matrices(spec, gradients)[0]
        self._inputs = inputs

    def weights(self) -> Tensor:
        """The first layer's weights and bias [M, H, I + 1], those of inputs scaled."""
        self.scaled = self._W.clone()
        self.scaled[:, :, : self._inputs] *= self._factors
        return self.scaled

    def learn(self) -> None:
        """From the gradient by scaled weights, which lies where the weights' is to be, both gradients."""
        G = self._G[:, :, : self._inputs]
        self._slopes.copy_((G * self._W[:, :, : self._inputs]).sum(1))
        G *= self._factors


class _Lines:
    """W e + b of functions e of each number, whose W and b are the last two of the embedding's parameters."""

    def __init__(self, embedding: AnyEmbedding, spec: DenseSpec, parameters: Tensor, gradients: Tensor) -> None:
        self._columns, self._values = embedding.columns, embedding.width - 1
        named, slopes = views(spec, parameters), views(spec, gradients)
        *self._own, self._W, self._b = (named[name] for name in embedding.shapes())
        *self._slopes, self._dW, self._db = (slopes[name] for name in embedding.shapes())

    def _of(self, functions: Tensor) -> Tensor:
        """The values [M, B, F (w - 1)] of functions [F, k, B], or each member's own [M, F, k, B]."""
        values = torch.matmul(self._W, functions).add_(self._b.unsqueeze(3))
        return values.flatten(1, 2).mT

    def _learn(self, gradient: Tensor, functions: Tensor) -> Tensor:
        """Fill the gradients of W and b from those of the values; these [M, F, w - 1, B]."""
        slopes = gradient.mT.reshape(len(gradient), self._columns, self._values, -1)
        self._dW.copy_(torch.matmul(slopes, functions.mT))
        torch.sum(slopes, 3, out=self._db)
        return slopes


class Waves(_Lines):
    """W cos(2 pi f x + phase) + b of each number x, of `NumberEmbedding`'s parameters.

    The batch lies last, so that products take matrices as they lie; the other way round they took a third longer.
    """

    def __init__(self, spec: DenseSpec, parameters: Tensor, gradients: Tensor) -> None:
        assert isinstance(spec.number_embedding, NumberEmbedding)
        super().__init__(spec.number_embedding, spec, parameters, gradients)
        (self._f, self._phase), (self._df, self._dphase) = self._own, self._slopes

    def of(self, inputs: Tensor) -> Tensor:
        """The values [M, B, F (w - 1)] beside a batch's numbers [B, F'], or each member's own [M, B, F']."""
        self._x = inputs[..., : self._columns].mT.unsqueeze(-2).contiguous()  # [F, 1, B], or each member's
        angles = torch.mul(self._x, (TURN * self._f).unsqueeze(3)).add_(self._phase.unsqueeze(3))  # [M, F, k, B]
        self._sin, self._cos = angles.sin(), angles.cos_()
        return self._of(self._cos)

    def learn(self, gradient: Tensor) -> None:
        """Fill the parameters' gradients from those [M, B, F (w - 1)] of the values that were last asked for."""
        slopes = self._learn(gradient, self._cos)
        waves = torch.matmul(self._W.mT, slopes).mul_(self._sin).neg_()  # by the angles [M, F, k, B]
        torch.sum(waves, 3, out=self._dphase)
        torch.sum(waves.mul_(self._x), 3, out=self._df)
        self._df.mul_(TURN)


class PiecewiseLines(_Lines):
    """W e(x) + b of each number x, linear between edges, of `PiecewiseEmbedding`'s parameters; e(x) is all members'."""

    def __init__(self, spec: DenseSpec, parameters: Tensor, gradients: Tensor) -> None:
        assert isinstance(spec.number_embedding, PiecewiseEmbedding)
        super().__init__(spec.number_embedding, spec, parameters, gradients)
        self._edges = torch.tensor(spec.number_embedding.edges, dtype=parameters.dtype, device=parameters.device)

    def of(self, inputs: Tensor) -> Tensor:
        """The values [M, B, F (w - 1)] beside a batch's numbers [B, F'], or each member's own [M, B, F']."""
        pieces = in_pieces(inputs[..., : self._columns], self._edges)  # [B, F, k], or [M, B, F, k]
        self._e = pieces.transpose(-3, -2).mT.contiguous()
        return self._of(self._e)

    def learn(self, gradient: Tensor) -> None:
        """Fill the parameters' gradients from those [M, B, F (w - 1)] of the values that were last asked for."""
        self._learn(gradient, self._e)


class LevelMeans:
    """Every column's means of the target at once, which nobody learns: rows of buffers [M, Q], gathered once."""

    def __init__(self, spec: DenseSpec, buffers: Tensor) -> None:
        assert spec.target_encoding is not None
        self._buffers, encoding = buffers, spec.target_encoding
        positions, width = buffer_views(spec, torch.arange(buffers.shape[1]).unsqueeze(0)), encoding.width
        first = torch.cat([positions[name][0, 0] for name in encoding.shapes()])
        column = torch.tensor(encoding.columns).repeat_interleave(width)
        self._first, self._column, self._width = first.to(buffers.device), column.to(buffers.device), width

    def of(self, codes: Tensor) -> Tensor:
        """Means [M, B, D] at a batch's codes [B, K], or at each member's own [M, B, K]."""
        places = codes.index_select(-1, self._column).long().mul_(self._width).add_(self._first)
        flat, shape = places.flatten(-2), (len(self._buffers), *places.shape[-2:])
        one = codes.ndim == 2
        return (self._buffers.index_select(1, flat) if one else self._buffers.gather(1, flat)).view(shape)


class Embeddings:
    """Every column's table at once: one vector of positions in the flat rows, gathered once and added to once."""

    def __init__(self, spec: DenseSpec, parameters: Tensor, gradients: Tensor) -> None:
        self._parameters, self._gradients = parameters, gradients
        device, widths = parameters.device, torch.tensor([width for _, width in spec.embeddings])
        positions = views(spec, torch.arange(parameters.shape[1]).unsqueeze(0))
        tables = [positions[f"embeddings.{k}.weight"][0] for k in range(len(widths))]
        self._first = torch.cat([table[0] for table in tables]).to(device)  # [D] of a row with codes 0
        self._column = torch.arange(len(widths)).repeat_interleave(widths).to(device)
        self._width = widths.repeat_interleave(widths).to(device)
        start, stop = int(tables[0][0, 0]), int(tables[-1][-1, -1]) + 1  # the tables lie side by side
        self._tables = gradients[:, start:stop]

    def of(self, codes: Tensor) -> Tensor:
        """Embeddings [M, B, D] of a batch's codes [B, K], or of each member's own [M, B, K]."""
        places = codes.index_select(-1, self._column).long().mul_(self._width).add_(self._first)
        self._places, shape = places.flatten(-2), (len(self._parameters), *places.shape[-2:])
        one = codes.ndim == 2
        flat = self._parameters.index_select(1, self._places) if one else self._parameters.gather(1, self._places)
        self.last = flat.view(shape)
        return self.last

    def learn(self, gradient: Tensor) -> None:
        """Fill the tables' gradients from those [M, B, D] of the embeddings that were last asked for."""
        self._tables.zero_()
        self._gradients.scatter_add_(1, self._places.expand(len(gradient), -1), gradient.flatten(1))

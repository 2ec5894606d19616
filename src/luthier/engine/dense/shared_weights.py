"""Ensembles that share their weights (BatchEnsemble): each row of a batch goes through the factors of one network.

M members, K networks of each, B batch, H hidden units.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from luthier.engine.members.sharing import current
from luthier.nets import DenseSpec


class SharedWeights:
    """The factors [M, K, H] of each hidden layer's sums and outputs in a training pass, and their gradients.

    The row at place b of a batch teaches the network b mod K; a share of a batch knows where it begins.
    """

    def __init__(self, spec: DenseSpec, parameters: Mapping[str, Tensor], gradients: Mapping[str, Tensor]) -> None:
        self._size, self._p, self._g = spec.ensemble, parameters, gradients
        self._rows = dict[tuple[int, int], tuple[Tensor, Tensor]]()  # what `_networks` gives, by rows and their start
        self._sums, self._outputs = dict[int, Tensor](), dict[int, Tensor]()  # by layer, before the factors

    def scaled_sums(self, i: int, Z: Tensor) -> Tensor:
        """Layer i's sums [M, B, H] times the factors."""
        self._sums[i] = Z
        return Z * self._of_rows(f"ensemble.{i}.sums", Z)

    def scale_outputs(self, i: int, out: Tensor) -> None:
        """Multiply what layer i hands on [M, B, H] by the factors, in place."""
        self._outputs[i] = out.clone()
        out.mul_(self._of_rows(f"ensemble.{i}.outputs", out))

    def through_outputs(self, i: int, dA: Tensor) -> Tensor:
        """The derivative by layer i's outputs before the factors, from that after them; the factors' is written."""
        return self._through(f"ensemble.{i}.outputs", dA, self._outputs[i])

    def through_sums(self, i: int, dZ: Tensor) -> Tensor:
        """The derivative by layer i's sums before the factors, from that after them; the factors' is written."""
        return self._through(f"ensemble.{i}.sums", dZ, self._sums[i])

    def _through(self, name: str, derivative: Tensor, values: Tensor) -> Tensor:
        self._g[name].copy_(torch.matmul(self._networks(values)[1], derivative * values))
        return derivative * self._of_rows(name, values)

    def _of_rows(self, name: str, values: Tensor) -> Tensor:
        return self._p[name].index_select(1, self._networks(values)[0])

    def _networks(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """The network of each row [B], and 1 where a row [K, B] is that network's."""
        share, rows = current(), values.shape[1]
        start = 0 if share is None else share.start
        if (rows, start) not in self._rows:
            which = (torch.arange(rows, device=values.device) + start) % self._size
            ours = torch.arange(self._size, device=values.device).unsqueeze(1)
            self._rows[rows, start] = which, (which == ours).to(values.dtype)
        return self._rows[rows, start]

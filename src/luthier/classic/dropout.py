"""The book's dropout: for each mini-batch a random half of the hidden neurons is deleted, and restored afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from luthier.classic.network import Sample, sigmoid
from luthier.classic.network2 import Cost, CostedNetwork, CrossEntropyCost
from luthier.errors import InputError


class DropoutNetwork(CostedNetwork):
    """A network whose steps train a thinned network: one mask a mini-batch, none on inputs and outputs.

    With all neurons, weights that leave hidden neurons count `keep` times: halved, as the book has it.

    >>> net = DropoutNetwork([4, 6, 2])
    >>> [len(rows) for rows in net.kept()]
    [4, 3, 2]
    """

    def __init__(
        self, sizes: Sequence[int], cost: type[Cost] = CrossEntropyCost, *, keep: float = 0.5, seed: int | None = 0
    ) -> None:
        if not 0 < keep <= 1:
            raise InputError("the share of kept neurons is wrong", expected="0 < keep <= 1", received=f"{keep:g}")
        super().__init__(sizes, cost, seed=seed)
        self.keep = keep

    def kept(self) -> list[np.ndarray]:
        """A draw: the numbers of the neurons that stay, layer by layer."""
        last = len(self.sizes) - 1
        counts = [n if layer in (0, last) else max(1, round(self.keep * n)) for layer, n in enumerate(self.sizes)]
        return [np.sort(self._rng.permutation(n)[:count]) for n, count in zip(self.sizes, counts, strict=True)]

    def thinned(self, kept: Sequence[np.ndarray]) -> CostedNetwork:
        """The network of these neurons alone."""
        small = CostedNetwork([len(rows) for rows in kept], self.cost)
        small.biases = [b[rows] for b, rows in zip(self.biases, kept[1:], strict=True)]
        small.weights = [
            w[np.ix_(after, before)] for w, before, after in zip(self.weights, kept, kept[1:], strict=False)
        ]
        return small

    def update_mini_batch_matrix(self, mini_batch: Sequence[Sample], eta: float) -> None:
        """One step of a thinned network; what it learnt is put back."""
        kept = self.kept()
        small = self.thinned(kept)
        small.update_mini_batch_matrix(mini_batch, eta)
        for layer, (before, after) in enumerate(pairwise(kept)):
            self.weights[layer][np.ix_(after, before)] = small.weights[layer]
            self.biases[layer][after] = small.biases[layer]

    def update_mini_batch(self, mini_batch: Sequence[Sample], eta: float) -> None:
        """The same step."""
        self.update_mini_batch_matrix(mini_batch, eta)

    def layers(self, x: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Activations and weighted inputs of the whole network, weights out of hidden neurons times `keep`."""
        activations, zs = [x], []
        for layer, (b, w) in enumerate(zip(self.biases, self.weights, strict=True)):
            zs.append((self.keep if layer else 1.0) * (w @ activations[-1]) + b)
            activations.append(sigmoid(zs[-1]))
        return activations, zs

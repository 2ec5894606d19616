"""Training rows changed by chance in their batch: noise on their numbers, and mix-up of pairs of rows.

All members of a population see the same changes, as do folds with batches of their own. B rows of a batch, C classes.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from luthier.engine.batches import Batch, BatchSource
from luthier.engine.devices import sent
from luthier.errors import InputError
from luthier.seeds import derive, torch_generator


class AugmentedBatches:
    """Batches whose inputs are changed in training, anew at each step.

    `noise` is the deviation of what is added to each number (numbers are standardised by then). `mixup` is the a of
    Beta(a, a), from which a share is drawn for each batch (Zhang and others 2018): a row becomes that share of itself
    and the rest of another row, and so does its target. Codes of categories cannot be mixed, so they stay those of the
    row that has the larger share. `classes` is C where targets are class numbers.
    """

    def __init__(
        self, batches: BatchSource, seed: int, *, noise: float, mixup: float, classes: int, has_bias_column: bool
    ) -> None:
        self._batches, self._seed, self._noise, self._mixup = batches, seed, noise, mixup
        self._classes, self._ones = classes, has_bias_column
        self.epoch_steps = batches.epoch_steps

    def left(self, step: int) -> int:
        """How many batches from this step on, itself included, can be held at the same time."""
        return self._batches.left(step)

    def at(self, step: int) -> Batch:
        """The changed batch of a step, counted from 0."""
        batch = self._batches.at(step)
        generator = torch_generator(self._seed, "changes", step)
        inputs, targets = batch.inputs, batch.targets
        if inputs.dtype == torch.uint8:
            inputs = inputs.float() / 255
        elif not inputs.is_floating_point():
            raise InputError("integer inputs cannot be augmented", remedy="leave out noise and mixup")
        if self._noise:
            drawn = torch.randn(inputs.shape[int(batch.own) :], generator=generator, dtype=inputs.dtype)
            changed = inputs + self._noise * sent(drawn, inputs.device)
            if self._ones:
                changed[..., -1] = 1
            inputs = changed
        if self._mixup:
            share = float(np.random.default_rng(derive(self._seed, "mix", step)).beta(self._mixup, self._mixup))
            share = max(share, 1 - share)
            other = sent(torch.randperm(batch.rows, generator=generator), targets.device)
            axis, soft = int(batch.own), _soft(targets, self._classes, inputs.dtype)
            inputs = torch.lerp(inputs.index_select(axis, other), inputs, share)
            targets = torch.lerp(soft.index_select(axis, other), soft, share)
        return Batch(inputs, batch.codes, targets, batch.weights, own=batch.own)


def _soft(targets: Tensor, classes: int, dtype: torch.dtype) -> Tensor:
    """Targets as numbers that can be mixed: shares of classes [B, C], or values [B]."""
    if targets.is_floating_point():
        return targets
    return F.one_hot(targets, classes).to(dtype) if classes > 1 else targets.to(dtype)

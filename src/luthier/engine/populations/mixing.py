"""Training rows changed by chance in their batch: noise on their numbers, and mix-up of pairs of rows.

All members of a population see the same changes, as do folds with batches of their own. B rows of a batch, C classes.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from luthier.engine.members.batches import Batch, BatchSource
from luthier.engine.members.devices import sent
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
        inputs, targets, axis = batch.inputs.map(_as_numbers), batch.targets, int(batch.own)
        changed = {name: value for name, value in inputs.items() if value.is_floating_point()}
        if not changed:
            raise InputError("integer inputs cannot be augmented", remedy="leave out noise and mixup")
        if self._noise:
            for name, value in changed.items():
                drawn = torch.randn(value.shape[axis:], generator=generator, dtype=value.dtype)
                changed[name] = value + self._noise * sent(drawn, value.device)
            if self._ones:
                changed["numbers"][..., -1] = 1
        if self._mixup:
            share = float(np.random.default_rng(derive(self._seed, "mix", step)).beta(self._mixup, self._mixup))
            share = max(share, 1 - share)
            other = sent(torch.randperm(batch.rows, generator=generator), targets.device)
            soft = _soft(targets, self._classes, next(iter(changed.values())).dtype)
            changed = {n: torch.lerp(X.index_select(axis, other), X, share) for n, X in changed.items()}
            targets = torch.lerp(soft.index_select(axis, other), soft, share)
        return Batch(inputs.replaced(**changed), targets, batch.weights, own=batch.own)


def _as_numbers(value: Tensor) -> Tensor:
    return value.float() / 255 if value.dtype == torch.uint8 else value


def _soft(targets: Tensor, classes: int, dtype: torch.dtype) -> Tensor:
    """Targets as numbers that can be mixed: shares of classes [B, C], or values [B]."""
    if targets.is_floating_point():
        return targets
    return F.one_hot(targets, classes).to(dtype) if classes > 1 else targets.to(dtype)

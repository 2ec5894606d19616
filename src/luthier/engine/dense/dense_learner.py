"""The gradients of a stack of dense networks, by hand; and plain descent, which never stores them."""

from __future__ import annotations

import torch
from torch import Tensor

from luthier.engine.dense.stack import Masks, Stack
from luthier.engine.members.batches import Batch
from luthier.engine.members.masks import LayerMasks
from luthier.engine.members.sharing import current
from luthier.engine.members.state import TrainState
from luthier.errors import InputError
from luthier.nets import DenseSpec
from luthier.objective import Criterion, Loss, smoothing_part


class DenseLearner:
    """Members as one stack; see `Learner`."""

    def __init__(
        self,
        spec: DenseSpec,
        state: TrainState,
        masks: LayerMasks,
        loss: Loss | Criterion,
        smoothing: Tensor | None = None,
        *,
        bf16: bool = False,
    ) -> None:
        if isinstance(loss, Criterion):
            raise InputError("dense networks need a Loss", remedy="make one from your function with custom_loss(rows)")
        self.state, self.seeds, self.drops, self._masks = state, masks.seeds, masks.drops, masks
        self.stack = Stack(spec, state.parameters, state.buffers, state.gradients, bf16=bf16)
        self._residual, self._parts, self.smoothing = loss.residual, loss.parts, smoothing
        self._places = None if loss.parts is None else loss.parts.of_outputs.to(state.parameters.device)
        self._smoothing_residual = None if smoothing is None else smoothing_part(loss).residual
        self._known: tuple[Tensor, int] | None = None  # the rates and the rows that the slopes are for

    def gradients(self, batch: Batch, number: int | Tensor, share: float | Tensor = 1.0) -> Tensor:
        """Fill `state.gradients` with `share` times a batch's; returns the logits [M, B, C]."""
        masks = self._masks_of(batch, number)
        Z = self.stack.forward(batch, masks)
        residual = self._slopes_of(Z, batch)
        share = share.view(-1, 1, 1).to(residual.dtype) if isinstance(share, Tensor) else share
        if self._parts is None and batch.weights is None:
            residual.mul_(share / batch.rows)
        else:
            residual.mul_(self._shares(batch, residual.dtype) * share)
        self.stack.backward(batch, residual, masks)
        return Z

    def descend(self, batch: Batch, number: int | Tensor, rates: Tensor, shrink: Tensor | None) -> Tensor:
        """Subtract `rates` [M, 1] times a batch's gradients, and `rates * shrink` times the weights.

        Returns the logits. For networks without norms and embeddings (`Stack.descend`).
        """
        masks = self._masks_of(batch, number)
        Z = self.stack.forward(batch, masks)
        residual = self._slopes_of(Z, batch)
        if self._parts is None and batch.weights is None:
            if self._known is None or self._known[0] is not rates or self._known[1] != batch.rows:
                self._known, self._slopes = (rates, batch.rows), (rates / batch.rows).unsqueeze(2)
            residual.mul_(self._slopes)
        else:
            residual.mul_(self._shares(batch, residual.dtype)).mul_(rates.unsqueeze(2))
        self.stack.descend(batch, residual, masks, None if shrink is None else shrink * rates * self.state.parameters)
        return Z

    def scale_dropout(self, factors: Tensor) -> None:
        """Drop so many times the members' probabilities [M] from now on."""
        self._masks.scale(factors)

    def _masks_of(self, batch: Batch, number: int | Tensor) -> Masks:
        share = current()
        return self._masks(number, batch.rows, 0 if share is None else share.start)

    def _slopes_of(self, Z: Tensor, batch: Batch) -> Tensor:
        """The derivative of each row's loss by its logits [M, B, C]."""
        targets = batch.targets if batch.prepared_targets is None else batch.prepared_targets
        shape = Z.shape
        if batch.own:  # to the loss all members' rows are rows of one batch
            Z, targets = Z.flatten(0, 1).unsqueeze(0), targets.flatten(0, 1)
        residual = self._residual(Z, targets).view(shape)
        if self.smoothing is not None and self._smoothing_residual is not None:
            more = self._smoothing_residual(Z, targets).reshape(shape)
            residual = torch.addcmul(residual, more, self.smoothing.view(-1, 1, 1))
        return residual

    def _shares(self, batch: Batch, dtype: torch.dtype) -> Tensor:
        """What each row [B, 1] or [M, B, 1] counts of the mean, or each of its outputs [..., C] of its target's."""
        if self._parts is not None:
            return self._parts.shares(batch.targets, batch.weights, dtype)[..., self._places]
        assert batch.weights is not None
        return (batch.weights / batch.weights.sum(-1, keepdim=True)).to(dtype).unsqueeze(-1)

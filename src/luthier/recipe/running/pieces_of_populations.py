"""A piece of a population: members of one shape that train in one stack, here or on another machine.

M members, N rows, F rows of a fold, C outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from luthier.engine import Checkpointer, Evaluation, FileCheckpoint, Member, Outcome, Settings, Stream, train
from luthier.nets import DenseSpec
from luthier.parquet_pages import parquet_bytes
from luthier.recipe.planning.plan import Stage
from luthier.recipe.planning.setting import Setting
from luthier.recipe.running.memory_groups import KEPT, Kept, PieceFacts, best_places
from luthier.rows import Rows


@dataclass(frozen=True)
class TrainingPlan:
    """How a population is trained: the stage whose time it takes, steps, preprocessing, rule and batch size.

    With `parts` on other training and validation rows than the run's; from `initial` weights, one state a member. With
    `folds` [N] members learn from the rows outside of their own. A `complete` training ends with its last step, whose
    weights count: no row stops a network that it judges. `kept` says of how many members weights are kept, `outputs`
    whether the outputs of all others of a complete training are; `batches` is another order of the rows. By another
    `loss` than the task's own where one is named.
    """

    stage: str
    planned: Stage
    method: str
    rule: str
    batch_size: int
    parts: tuple[Rows | Stream, Rows | None] | None = None
    initial: Sequence[Mapping[str, Tensor]] | None = None
    folds: Tensor | None = None
    kept: int = KEPT
    outputs: bool = True
    complete: bool = False
    batches: int = 0
    loss: str = ""

    @classmethod
    def of(cls, stage: str, planned: Stage, setting: Setting, **more: Any) -> TrainingPlan:
        """Of a setting's networks; `more` are other fields."""
        how = {"method": setting.method, "rule": setting.rule, "batch_size": setting.batch_size, "loss": setting.loss}
        return cls(stage, planned, **{**how, **more})

    @property
    def together(self) -> int:
        """How many members that follow one another are one setting: as many as there are folds."""
        return 1 if self.folds is None else int(self.folds.max()) + 1


@dataclass(frozen=True)
class Piece:
    """Members that train together. Where a recorded run cut them at a step, that alone ends them early."""

    name: str
    members: tuple[Member, ...]
    initial: Sequence[Mapping[str, Tensor]] | None = None
    cut: int | None = None


@dataclass
class TrainedPiece:
    """What a piece came to: tensors and facts as they are kept, its curves as Parquet; an executor adds the seconds."""

    tensors: dict[str, Tensor]
    facts: PieceFacts
    curves: bytes
    steps: int
    seconds: float = 0.0

    @property
    def kept(self) -> Kept:
        """What is remembered of it."""
        return self.tensors, self.facts


@dataclass(frozen=True)
class PieceTrainer:
    """Trains the pieces of one population: everything that they share. It holds no file and no clock, so that it may
    travel; what it gives follows from a piece and from when it is stopped."""

    training: TrainingPlan  # with the rows
    settings: Settings

    def train(self, piece: Piece, checkpoint: Path | None, stop: Callable[[], bool]) -> TrainedPiece:
        """Train a piece where an executor has sent it, from its checkpoint where it has one."""
        kept = None if checkpoint is None else FileCheckpoint(checkpoint)
        cut = piece.cut
        return self.trained(piece, kept, (lambda step: stop()) if cut is None else (lambda step: step >= cut))

    def trained(
        self,
        piece: Piece,
        checkpoint: Checkpointer | None,
        stop: Callable[[int], bool],
        on_evaluation: Callable[[Evaluation], None] | None = None,
    ) -> TrainedPiece:
        """Train a piece until `stop`, which is asked before every step."""
        assert self.training.parts is not None
        learnt, validation = self.training.parts
        outcome = train(
            list(piece.members),
            learnt,
            validation,
            self.settings,
            stop=stop,
            on_evaluation=on_evaluation,
            checkpoint=checkpoint,
            initial=piece.initial,
            folds=self.training.folds,
        )
        curves = parquet_bytes(outcome.history.to_frame())
        return TrainedPiece(*_packed(outcome, self.training), curves, outcome.steps_done)


def _packed(outcome: Outcome, training: TrainingPlan) -> Kept:
    losses = np.asarray(outcome.best_validation_loss, dtype=float)
    kept = best_places(losses.tolist(), training.kept, training.together)
    tensors = {f"{i}/{name}": tensor for i in kept for name, tensor in outcome.state_dict(i).items()}
    known = sorted(kept) if training.complete and not training.outputs else None
    tensors["logits"] = torch.empty(0, 0, 1) if known == [] else _outputs(outcome, training, known)
    facts: PieceFacts = {
        "statuses": list(outcome.status),
        "train_loss": [float(x) for x in outcome.best_train_loss],
        "validation_loss": [float(x) for x in losses],
        "validation_score": [float(x) for x in outcome.best_validation_score],
        "best_step": [int(x) for x in outcome.best_step],
        "steps_done": outcome.steps_done,
        "cut": outcome.steps_done if "cut" in outcome.status else None,
        "known": known,
        "findings": [{"step": 3, **finding.to_json()} for finding in outcome.findings],
    }
    return tensors, facts


def _outputs(outcome: Outcome, training: TrainingPlan, known: list[int] | None) -> Tensor:
    """Outputs on the validation part [M, N, C], or [.., F, C] on the rows of each one's fold, filled up with NaN.

    Of the members that are `known`; of all where none are named.
    """
    assert training.parts is not None
    learnt, validation = training.parts
    outcome = outcome if known is None else outcome.some(torch.tensor(known, dtype=torch.int64))
    if validation is not None:
        return outcome.logits(validation.inputs)
    assert isinstance(learnt, Rows)
    assert training.folds is not None
    counts, own = training.folds.bincount(), torch.tensor([member.fold for member in outcome.members])
    spec = outcome.members[0].spec
    assert isinstance(spec, DenseSpec)
    result = torch.full((len(own), int(counts.max()), spec.outputs), torch.nan)
    for fold in sorted(set(own.tolist())):
        rows, places = learnt.rows(training.folds == fold), torch.nonzero(own == fold).flatten()
        result[places, : len(rows)] = outcome.some(places).logits(rows.inputs)
    return result

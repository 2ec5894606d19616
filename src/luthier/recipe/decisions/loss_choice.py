"""Step 1: the loss follows from the task."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from luthier.kinds import KINDS, TaskKind
from luthier.messages import tr
from luthier.objective import USUAL_LOSSES
from luthier.recipe.decisions.decision import Evidence
from luthier.recipe.decisions.experiment import loss_name
from luthier.records import Wording


@dataclass(frozen=True)
class LossEvidence(Evidence[str]):
    """The task, how many classes it has, and whether the target's logarithm is modelled.

    `asked` are the losses that the experiments try, where there are several: because of the `metric` that decides, or
    of the kind where that is empty.
    """

    code: ClassVar[str] = "loss"
    task: TaskKind
    classes: int = 0
    log_scale: bool = False
    asked: tuple[str, ...] = ()
    metric: str = ""

    def decide(self) -> str:
        """The engine's name of the loss.

        >>> LossEvidence("multiclass", 3).decide()
        'softmax'
        """
        return USUAL_LOSSES[self.task]

    def render(self, choice: str) -> Wording:
        """The loss and its reason."""
        key = self.task if KINDS[self.task].is_labels else choice
        names = {
            "labels": tr("binary cross-entropy of each label, summed"),
            "ordinal": tr("cross-entropy of cumulative logits"),
            "poisson": tr("Poisson deviance, of a mean behind a logarithm"),
            "fractional": tr("cross-entropy of shares, of a mean behind the logistic function"),
            "tweedie 1.5": tr("Tweedie deviance of power 1.5, of a mean behind a logarithm"),
            "mse": tr("mean squared error"),
            "binary": tr("binary cross-entropy"),
            "softmax": tr("softmax cross-entropy"),
        }
        reason = {
            "labels": tr("a row has any number of {classes} labels", classes=self.classes),
            "ordinal": tr("the target has {classes} ordered levels", classes=self.classes),
            "poisson": tr("the target is a count"),
            "fractional": tr("the target is a share between 0 and 1"),
            "tweedie 1.5": tr("the target is an amount that can be 0"),
            "mse": tr("the target is a number"),
            "binary": tr("the target has two classes"),
            "softmax": tr("the target has {classes} classes", classes=self.classes),
        }[key]
        if self.log_scale:
            reason += tr(", and the model predicts its logarithm, so that errors are relative")
        if self.asked:
            losses = ", ".join(loss_name(one) for one in self.asked)
            by = tr("since {metric} decides, the experiments try {losses}", metric=tr(self.metric), losses=losses)
            inferred = tr("since the order was inferred, the experiments try {losses}", losses=losses)
            varies = tr("since it varies more than by Poisson's law, the experiments try {losses}", losses=losses)
            of_kind = inferred if KINDS[self.task].is_ordered else varies
            reason += tr("; ") + (by if self.metric else of_kind)
        return Wording(tr("loss"), names[key], reason, override="--task")

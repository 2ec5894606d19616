"""What is only ever added to while networks train: learning curves, findings, why members left."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from luthier.engine.members.history import History
from luthier.engine.members.member import Member
from luthier.engine.members.settings import Evaluation, Settings
from luthier.engine.populations.outcome import Outcome
from luthier.engine.standing import DIVERGED, Figures, Standing
from luthier.messages import Message
from luthier.records import Finding, JsonObject


@dataclass(frozen=True)
class RunRecord:
    """History, findings and each member's status, of N members."""

    members: tuple[Member, ...]
    settings: Settings
    history: History
    findings: list[Finding]
    status: list[str]

    @classmethod
    def of(cls, members: Sequence[Member], settings: Settings) -> RunRecord:
        """The record of a training that begins."""
        return cls(tuple(members), settings, History(metrics=settings.metric_names), [], [""] * len(members))

    @classmethod
    def resumed(
        cls, members: Sequence[Member], settings: Settings, facts: Mapping[str, Any], step_losses: Tensor
    ) -> RunRecord:
        """The record that `facts` and `step_losses` were taken from."""
        steps = [step_losses.numpy().copy()] if settings.every_step else []
        history = History([list(row) for row in facts["history"]], settings.metric_names, steps)
        findings = [Finding(**finding) for finding in facts["findings"]]
        return cls(tuple(members), settings, history, findings, list(facts["status"]))

    def facts(self) -> JsonObject:
        """The record as plain JSON values, without the losses of single steps."""
        return {
            "status": list(self.status),
            "history": list(self.history.rows),
            "findings": [finding.to_json() for finding in self.findings],
        }

    def step_losses(self) -> Tensor:
        """Training losses [S, N] of the steps before the last evaluation, where they are kept."""
        return torch.from_numpy(np.concatenate([np.zeros((0, len(self.members))), *self.history.steps]))

    def add_steps(self, losses: Tensor, standing: Standing) -> None:
        """Note the losses [K, M] of each batch since the last evaluation, where they are to be kept."""
        if self.settings.every_step:
            each = self.settings.accumulate
            rows = np.full((len(losses) // each, len(self.members)), np.nan)
            rows[:, standing.alive.numpy()] = losses.view(-1, each, len(standing.alive)).mean(1).numpy()
            self.history.steps.append(rows)

    def add(
        self,
        standing: Standing,
        figures: Figures,
        rates: Tensor,
        epoch_steps: int,
        watch: Callable[[Evaluation], None] | None,
    ) -> None:
        """Note an evaluation of the members alive, made at `rates` [M, 1]; whoever watches sees the best of them."""
        step, epoch = standing.done, standing.done * self.settings.accumulate / epoch_steps
        own = rates[:, 0].cpu().double().tolist()
        columns = [values.tolist() for values in (figures.train_loss, figures.loss, figures.score, *figures.metrics)]
        for i, rate, *values in zip(standing.alive.tolist(), own, *columns, strict=True):
            self.history.append(i, self.members[i].label, step, epoch, rate, *values)
        if watch is not None and figures.loss.isfinite().any():
            top = int(figures.loss.nan_to_num(nan=torch.inf, neginf=torch.inf).argmin())
            watch(
                Evaluation(
                    step=step,
                    epoch=epoch,
                    members=len(standing.alive),
                    train_loss=columns[0][top],
                    validation_loss=columns[1][top],
                    best_validation_loss=float(standing.best[0].min()),
                    learning_rate=own[top],
                )
            )

    def leave(self, standing: Standing, leaving: Mapping[int, str]) -> None:
        """Note why members at these places among those alive leave."""
        for place, reason in leaving.items():
            member = int(standing.alive[place])
            self.status[member] = reason
            if reason == DIVERGED:
                self.findings.append(_diverged(self.members[member], member, standing.done))

    def outcome(self, standing: Standing) -> Outcome:
        """The result in the members' original order."""
        loss, score, train_loss, step = standing.best.numpy()
        return Outcome(
            members=self.members,
            history=self.history,
            steps_done=standing.done,
            status=self.status,
            findings=self.findings,
            best_validation_loss=np.where(step > 0, loss, np.nan),
            best_validation_score=score,
            best_train_loss=train_loss,
            best_step=step.astype(int),
            parameters=standing.parameters.cpu(),
            buffers=standing.buffers.cpu(),
        )


def _diverged(member: Member, number: int, step: int) -> Finding:
    return Finding(
        code="diverged",
        severity="note",
        sentence=Message(
            "a network diverged ({name}) and was removed from the population", name=member.label or number
        ),
        evidence={"member": number, "step": step, "rate": member.learning_rate},
        remedy="use a lower learning rate, or clip the gradient",
        source="S4-40",
    )

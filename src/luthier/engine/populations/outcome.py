"""What comes of a population: its kept weights, and how each member got there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from luthier.drawing import small_table
from luthier.engine.members.history import History
from luthier.engine.members.member import Member
from luthier.engine.members.module_spec import ModuleSpec
from luthier.engine.members.outputs import as_rows
from luthier.engine.populations.architecture import architecture
from luthier.engine.populations.loaders import type_taken
from luthier.records import Finding
from luthier.rows import Inputs, Rows

if TYPE_CHECKING:
    import plotly.graph_objects as go

MOST_SHOWN = 12  # members in a notebook's table


@dataclass
class Outcome:
    """What came of a population, by the members' original order.

    `best_*` belong to the weights with the lowest validation loss, which are the ones kept; without
    a validation part they are the last. `status` is "finished", "early stopped", "cut at rung",
    "cut" or "diverged: ...".
    """

    members: tuple[Member, ...]
    history: History
    steps_done: int
    status: list[str]
    findings: list[Finding]
    best_validation_loss: np.ndarray
    best_validation_score: np.ndarray
    best_train_loss: np.ndarray
    best_step: np.ndarray
    parameters: Tensor
    buffers: Tensor

    @property
    def best(self) -> int:
        """The member with the lowest validation loss; without a validation part, the lowest training loss."""
        losses = self.best_validation_loss
        return int(np.nanargmin(losses)) if np.isfinite(losses).any() else 0

    @property
    def layout(self) -> str:
        """How the members were computed: stacked, vmapped or looped."""
        return architecture(self.members[0].spec).layout

    def plot(self) -> go.Figure:
        """The losses of the best few members against the step."""
        return self.history.plot()

    def __repr__(self) -> str:
        rate, loss = self.members[self.best].learning_rate, self.best_validation_loss[self.best]
        held_out = not np.array_equal(self.best_validation_loss, self.best_train_loss, equal_nan=True)
        named = "validation" if held_out else "training"
        return (
            f"Outcome({len(self.members)} members, {self.layout}, {self.steps_done} steps; best is member {self.best}: "
            f"learning rate {rate:.3g}, {named} loss {loss:.4g})"
        )

    def _repr_html_(self) -> str:
        order = np.argsort(np.where(np.isnan(self.best_validation_loss), np.inf, self.best_validation_loss))
        rows = [
            (
                k,
                self.members[k].label,
                f"{self.members[k].learning_rate:.3g}",
                f"{self.best_validation_loss[k]:.4g}",
                int(self.best_step[k]),
                self.status[k],
            )
            for k in order[:MOST_SHOWN].tolist()
        ]
        more = f"<p>and {len(order) - MOST_SHOWN} more</p>" if len(order) > MOST_SHOWN else ""
        return small_table(("member", "label", "rate", "validation loss", "kept at step", "status"), rows) + more

    def state_dict(self, member: int | None = None) -> dict[str, Tensor]:
        """The kept weights and buffers of one member (the best), under the names of its module."""
        place = self.best if member is None else member
        rows = slice(place, place + 1)
        return dict(
            architecture(self.members[place].spec).state_dict(self.parameters[rows], self.buffers[rows]),
        )

    def module(self, member: int | None = None) -> nn.Module:
        """One member (the best), cut out as an ordinary module in evaluation mode."""
        place = self.best if member is None else member
        return architecture(self.members[place].spec).module(self.state_dict(place))

    def some(self, places: Tensor) -> Outcome:
        """The outcome of some members alone, by their numbers; the history stays that of all."""
        index, own = places.numpy(), places.tolist()
        return replace(
            self,
            members=tuple(self.members[place] for place in own),
            status=[self.status[place] for place in own],
            best_validation_loss=self.best_validation_loss[index],
            best_validation_score=self.best_validation_score[index],
            best_train_loss=self.best_train_loss[index],
            best_step=self.best_step[index],
            parameters=self.parameters[places],
            buffers=self.buffers[places],
        )

    def logits(self, inputs: Mapping[str, Tensor] | Tensor) -> Tensor:
        """Outputs of all members' kept weights [M, N, C] for inputs by their names, or for numbers alone."""
        given = Inputs(numbers=inputs) if isinstance(inputs, Tensor) else Inputs(**inputs)
        spec, dtype = self.members[0].spec, self.parameters.dtype
        if isinstance(spec, ModuleSpec) and spec.layout != "stacked" and not hasattr(spec.module, "takes"):
            only = given.only
            kind = type_taken(spec.module, only, dtype)
            ready = given.map(lambda value: value.to(kind) if value is only else value)
        else:
            ready = given.map(lambda value: value.to(dtype) if value.is_floating_point() else value)
        trained, targets = architecture(spec), torch.zeros(given.rows, dtype=torch.int64)
        return as_rows(trained.evaluate(self.parameters, self.buffers, trained.prepared(Rows(ready, targets))))


def merged(members: Sequence[Member], shares: Sequence[Sequence[int]], outcomes: Sequence[Outcome]) -> Outcome:
    """One outcome of all members, whose shares (places in `members`) were trained apart."""
    order = np.argsort([k for share in shares for k in share])

    def rows(values: list[np.ndarray]) -> np.ndarray:
        return np.concatenate(values)[order]

    history = History(metrics=outcomes[0].history.metrics)
    if outcomes[0].history.steps:
        pieces = [np.concatenate(outcome.history.steps) for outcome in outcomes]
        longest = max(len(piece) for piece in pieces)
        filled = [np.pad(piece, ((0, longest - len(piece)), (0, 0)), constant_values=np.nan) for piece in pieces]
        history.steps = [np.concatenate(filled, 1)[:, order]]
    for share, outcome in zip(shares, outcomes, strict=True):
        history.rows += [[share[row[0]], *row[1:]] for row in outcome.history.rows]
    history.rows.sort(key=lambda row: (row[2], row[0]))
    findings = [
        replace(finding, evidence={**finding.evidence, "member": share[finding.evidence["member"]]})
        if "member" in finding.evidence
        else finding
        for share, outcome in zip(shares, outcomes, strict=True)
        for finding in outcome.findings
    ]
    return Outcome(
        members=tuple(members),
        history=history,
        steps_done=max(outcome.steps_done for outcome in outcomes),
        status=rows([np.array(outcome.status, dtype=object) for outcome in outcomes]).tolist(),
        findings=findings,
        best_validation_loss=rows([outcome.best_validation_loss for outcome in outcomes]),
        best_validation_score=rows([outcome.best_validation_score for outcome in outcomes]),
        best_train_loss=rows([outcome.best_train_loss for outcome in outcomes]),
        best_step=rows([outcome.best_step for outcome in outcomes]),
        parameters=torch.cat([outcome.parameters for outcome in outcomes])[torch.from_numpy(order)],
        buffers=torch.cat([outcome.buffers for outcome in outcomes])[torch.from_numpy(order)],
    )

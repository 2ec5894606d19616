"""What a setting means: the networks that trials are, how they are grouped, and how a group is trained.

Trials of one architecture, update rule, batch size and way of changing rows form one population: everything else may
differ from member to member.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from luthier.engine import FileCheckpoint, Member, Schedule, Settings, in_memory_groups, train
from luthier.engine.members.batches import epoch_steps
from luthier.engine.members.devices import CPU
from luthier.errors import LuthierError
from luthier.identity import name_of
from luthier.nets import DenseSpec, NumberEmbedding, PiecewiseEmbedding, many_levelled, quantile_edges
from luthier.objective import Criterion, Loss
from luthier.optimise import AnySchedule, schedule_for
from luthier.records import Finding
from luthier.rows import Rows
from luthier.search.spaces.registry import RATES_OF, SCHEDULES_OF
from luthier.search.spaces.space import Values
from luthier.search.spaces.trials import COMPLETE, FAILED, PRUNED, Trial
from luthier.tensors import tensor_of

DEFAULT_RULE, DEFAULT_BATCH, DEFAULT_RATE = "adam", 64, 3e-3
_ROWS = ("noise", "mixup")  # what changes the rows that all of a population see
_MEMBER = (
    *("momentum", "l2", "l1", "weight_decay", "ema_decay", "label_smoothing", "clip_norm", "clip_value", "epsilon"),
    *("rho", *_ROWS),
)
_SPEC = (  # what stands in a DenseSpec under its own name
    *("activation", "initialiser", "batch_norm", "layer_norm", "residual", "input_scale", "parametric", "ensemble"),
    "biases_from_data",
)
MOST_POINTS = 20  # of a learning curve


@dataclass(frozen=True)
class Job:
    """A population of trials to be trained from where it paused (or from the start) to a rung or the end.

    `trials` are all it ever had, `survivors` the numbers of those that go on. `pause_at` is the share of
    the training after which it waits to be compared with other populations.
    """

    name: str
    trials: tuple[Trial, ...]
    epochs: int
    survivors: tuple[int, ...] = ()
    pause_at: float | None = None
    layout: str | None = None
    keep: bool = False


@dataclass
class TrainedJob:
    """What came of a job: its survivors' figures, the weights where they were kept, how it was computed."""

    trials: list[Trial]
    states: list[dict[str, np.ndarray]]
    layout: str
    seconds: float = 0.0


class Networks:
    """What can be trained on one pair of training and validation parts, with one loss.

    A population trains on `device` and keeps to `memory` bytes; 0: to no bound. `objects` are rules and schedules of
    the user's own, which settings have by their names.
    """

    memory = 0
    device = CPU
    objects: Mapping[str, Mapping[str, Any]] = {}

    def __init__(
        self,
        training: Rows,
        validation: Rows,
        loss: str | Loss | Criterion,
        *,
        seed: int = 0,
        metrics: tuple[str, ...] = (),
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.training, self.validation, self.loss = training, validation, loss
        self.seed, self.metrics, self.dtype = seed, metrics, dtype

    def architecture(self, values: Values) -> str:
        """Settings with equal texts train in one population."""
        raise NotImplementedError

    def layout(self, trials: Sequence[Trial]) -> tuple[str | None, list[Finding]]:
        """How a population of these trials is computed, where that is not given; what was tried to find out."""
        return None, []

    def members(self, job: Job) -> list[Member]:
        """The members of a job."""
        raise NotImplementedError

    def module(self, values: Values, seed: int, state: Mapping[str, np.ndarray]) -> nn.Module:
        """One network with its weights, as an ordinary module in evaluation mode."""
        raise NotImplementedError

    def least_rows(self, values: Values) -> int:
        """How many rows a batch of a setting has at least."""
        return 1

    def group(self, values: Values, epochs: int) -> str:
        """Settings with equal texts train in one population."""
        rule, batch = values.get("rule", DEFAULT_RULE), values.get("batch_size", DEFAULT_BATCH)
        changed = "".join(f" | {name} {values[name]:g}" for name in _ROWS if values.get(name))
        length = int(values.get("epochs", epochs))
        return f"{self.architecture(values)} | {rule} | batch {batch} | {length} epochs{changed}"

    def meant(self, values: Values) -> dict[str, Any]:
        """A setting with objects in place of their names."""
        own = {name: known for name, known in self.objects.items() if name in values}
        return dict(values) | {name: known.get(str(values[name]), values[name]) for name, known in own.items()}

    def settings(self, job: Job) -> Settings:
        """How a job's population trains. It is measured after every epoch, or twenty times in all."""
        values = self.meant(job.trials[0].values)
        batch = min(int(values.get("batch_size", DEFAULT_BATCH)), len(self.training))
        epoch = epoch_steps(len(self.training), batch, self.least_rows(values))
        epochs = int(values.get("epochs", job.epochs))
        every = epoch * max(1, round(epochs / MOST_POINTS))
        if job.pause_at is not None or job.survivors:
            every = min(every, -(-epoch * epochs // 9))  # rungs are measured
        return Settings(
            loss=self.loss,
            rule=values.get("rule", DEFAULT_RULE),
            batch_size=batch,
            steps=epoch * epochs,
            evaluate_every=every,
            batch_seed=self.seed,
            dtype=self.dtype,
            device=self.device,
            metrics=self.metrics,
        )

    def at_once(self, trials: Sequence[Trial], epochs: int) -> tuple[int, str]:
        """How many of these trials fit into the memory together, and in words what that means for them."""
        if not self.memory:
            return len(trials), ""
        job = Job("memory", tuple(trials), epochs)
        try:
            members = self.members(job)
            rows = self.flat(self.training, members)
            groups, _, message = in_memory_groups(members, self.settings(job), rows, self.memory)
        except LuthierError:
            return 1, ""  # not even one fits: its trial will say so
        return len(groups[0]), message

    def train(self, job: Job, checkpoint: Path | None, stop: Callable[[], bool]) -> TrainedJob:
        """Train a job's population and fill in its trials; those that do not fit into the memory fail."""
        settings, members = self.settings(job), self.members(job)
        rows = self.flat(self.training, members)
        if self.memory:
            try:
                settings = in_memory_groups(members, settings, rows, self.memory)[1]
            except LuthierError as error:
                reason = f"{error.problem}: it needs {error.expected}, the limit is {error.received}"
                return TrainedJob(
                    [replace(trial, status=FAILED, reason=reason, value=math.inf) for trial in job.trials], [], ""
                )
        indices = {trial.number: place for place, trial in enumerate(job.trials)}
        survivors = None if not job.survivors else {indices[number] for number in job.survivors}
        kept = None if checkpoint is None else FileCheckpoint(checkpoint, synced=False)
        outcome = train(
            members,
            rows,
            self.flat(self.validation, members),
            settings,
            stop=lambda step: stop(),
            checkpoint=kept,
            pause_at=None if job.pause_at is None else max(1, int(job.pause_at * settings.steps)),
            survivors=survivors,
        )
        curves: list[list[tuple[int, float]]] = [[] for _ in members]
        for row in outcome.history.rows:
            curves[row[0]].append((int(row[2]), float(row[6])))
        result = []
        for place, trial in enumerate(job.trials):
            if survivors is not None and place not in survivors:
                continue
            value = float(outcome.best_validation_loss[place])
            status, reason = _ended(outcome.status[place], value)
            result.append(
                replace(
                    trial,
                    status=status,
                    reason=reason,
                    value=value if math.isfinite(value) else math.inf,
                    score=float(outcome.best_validation_score[place]),
                    train_loss=float(outcome.best_train_loss[place]),
                    best_step=int(outcome.best_step[place]),
                    steps=settings.steps,
                    curve=curves[place],
                )
            )
        states = [
            {name: _array(value) for name, value in outcome.state_dict(place).items()}
            for place in range(len(members) if job.keep else 0)
        ]
        return TrainedJob(result, states, outcome.layout)

    def flat(self, part: Rows, members: Sequence[Member]) -> Rows:
        """A part as these members take it."""
        return part


def _array(value: Tensor) -> np.ndarray:
    """Weights as NumPy has them, which knows no bfloat16."""
    return np.asarray((value.float() if value.dtype == torch.bfloat16 else value).numpy())


def _ended(status: str, value: float) -> tuple[str, str]:
    """A trial's status and reason from its member's."""
    if status.startswith("diverged"):
        return FAILED, status.removeprefix("diverged: ")
    if status == "cut":
        return (PRUNED if math.isfinite(value) else FAILED), "the time ran out"
    return ("" if status == "paused" else COMPLETE), ""


def hyper_parameters(values: Mapping[str, Any], steps: int) -> dict[str, Any]:
    """What a setting says about a member: its rate, schedule and every number of `Member`."""
    result: dict[str, Any] = {name: float(values[name]) for name in _MEMBER if name in values}
    if "beta1" in values or "beta2" in values:
        result["betas"] = (float(values.get("beta1", 0.9)), float(values.get("beta2", 0.999)))
    if factors := tuple((kind, float(values[name])) for name, kind in RATES_OF.items() if name in values):
        result["rate_factors"] = factors
    if followed := tuple((own, str(values[name])) for name, own in SCHEDULES_OF.items() if name in values):
        result["schedules"] = tuple((own, kind) for own, kind in followed if kind != "constant")
    return result | {
        "width_scaled": bool(values.get("width_scaled", False)),
        "learning_rate": float(values.get("learning_rate", DEFAULT_RATE)),
        "schedule": schedule_of(values, steps),
    }


def schedule_of(values: Mapping[str, Any], steps: int) -> AnySchedule:
    """The schedule of a setting, whose periods are shares of the training; one of the user's own as it is.

    >>> schedule_of({"schedule": "restarts", "restart_period": 0.25}, 1000).period
    250
    >>> round(schedule_of({"schedule": "exponential", "decay": 0.01}, 1000).factor(1000, 1000), 4)
    0.01
    """
    kind = values.get("schedule", "constant")
    if not isinstance(kind, str):
        return schedule_for(kind)
    period = max(1, round(float(values.get("restart_period", 0.2)) * steps)) if kind == "restarts" else 1
    decay = float(values.get("decay", 0.1))
    if kind == "exponential":
        period = steps
    elif kind == "staircase":
        period, decay = max(1, steps // 4), decay**0.25
    elif kind == "inverse":
        period, decay = steps, 1 / decay - 1
    elif kind == "plateau":
        period = 2
    return Schedule(
        kind,
        warmup=round(float(values.get("warmup", 0.0)) * steps),
        period=period,
        multiplier=float(values.get("restart_multiplier", 2.0)),
        decay=decay,
    )


def number_embedding(values: Values, numbers: int) -> NumberEmbedding | None:
    """Learned functions of so many numbers, as a setting says; None without frequencies.

    >>> number_embedding({"number_frequencies": 8}, numbers=5)
    NumberEmbedding(columns=5, frequencies=8, width=4, deviation=0.1)
    """
    frequencies = int(values["number_frequencies"])
    if not frequencies:
        return None
    width, deviation = int(values.get("number_width", 4)), float(values.get("number_deviation", 0.1))
    return NumberEmbedding(numbers, frequencies, width, deviation)


class DenseNetworks(Networks):
    """Dense networks on rows of numbers [N, F] and codes [N, K]; every hyper-parameter of the registry.

    The first `numbers` columns may be embedded (None: all).
    """

    def __init__(
        self,
        training: Rows,
        validation: Rows,
        loss: str | Loss | Criterion,
        base: DenseSpec,
        *,
        numbers: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__(training, validation, loss, **options)
        self.base, self.numbers = base, base.inputs if numbers is None else numbers
        self._known_edges = dict[int, tuple[tuple[float, ...], ...]]()

    def spec(self, values: Values) -> DenseSpec:
        """The architecture that a setting describes."""
        base = self.base
        width = int(values.get("width", base.hidden[0] if base.hidden else 64))
        depth = int(values.get("depth", len(base.hidden) or 1))
        changed = "width" in values or "depth" in values
        changes: dict[str, Any] = {name: values[name] for name in _SPEC if name in values}
        if "number_frequencies" in values and self.numbers:
            changes["number_embedding"] = number_embedding(values, self.numbers)
        if (pieces := int(values.get("number_pieces", 0))) and self.numbers and not changes.get("number_embedding"):
            changes["number_embedding"] = PiecewiseEmbedding(self._edges(pieces), int(values.get("number_width", 4)))
        if values.get("target_encoding"):
            levels = [levels for levels, _ in base.embeddings]
            changes["target_encoding"] = many_levelled(levels, base.outputs, name_of(self.loss))
        return replace(base, hidden=(width,) * depth if changed else base.hidden, **changes)

    def _edges(self, pieces: int) -> tuple[tuple[float, ...], ...]:
        """Quantiles of the training rows' numbers, worked out once."""
        if pieces not in self._known_edges:
            self._known_edges[pieces] = quantile_edges(self.training.numbers[:, : self.numbers], pieces)
        return self._known_edges[pieces]

    def architecture(self, values: Values) -> str:
        """The spec as text."""
        return str(self.spec(values))

    def members(self, job: Job) -> list[Member]:
        """The members of a job."""
        spec, steps = self.spec(job.trials[0].values), self.settings(job).steps
        dropped = [float(trial.values.get("dropout", 0.0)) for trial in job.trials]
        return [
            Member(
                spec=spec,
                seed=trial.seed,
                dropout=(p,) * len(spec.hidden) if p else (),
                label=str(trial.number),
                **hyper_parameters(self.meant(trial.values), steps),
            )
            for trial, p in zip(job.trials, dropped, strict=True)
        ]

    def module(self, values: Values, seed: int, state: Mapping[str, np.ndarray]) -> nn.Module:
        """One network with its weights, as an ordinary module in evaluation mode."""
        from luthier.nets import build

        net = build(self.spec(values), seed=seed)
        net.load_state_dict({name: tensor_of(value) for name, value in state.items()})
        return net.eval()

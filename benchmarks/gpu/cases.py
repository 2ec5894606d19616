"""Small trainings that give the same numbers on every device: all rules, losses, layouts and kinds of layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from luthier.engine import Member, ModuleSpec, Outcome, Settings, train
from luthier.engine.members.member import Spec
from luthier.nets import ConvSpec, DenseSpec, NumberEmbedding, TextSpec
from luthier.objective import LOSSES
from luthier.optimise import RULES, Schedule
from luthier.rows import Inputs, Rows

ROWS, INPUTS, CLASSES, MEMBERS = 120, 6, 3, 3
RATES = {"sgd": 0.05, "nesterov": 0.05, "nesterov-velocity": 0.05, "adadelta": 0.5, "adagrad": 0.05, "lion": 1e-3}
DENSE = DenseSpec(INPUTS, (8, 8), CLASSES, activation="tanh")


@dataclass(frozen=True)
class Case:
    """A population of a few members that differ in seed and rate, on rows that are drawn.

    `of` names what is drawn: "numbers" [N, 6], "codes" beside them, "pictures" [N, 1, 8, 8], their "bytes", or "text".
    `hyper` goes to every member, `settings` to what they share; with `folds` each learns from rows of its own. Some are
    computed in `single` precision alone.
    """

    spec: Callable[[torch.dtype], Spec | ModuleSpec]
    rule: str = "adam"
    loss: str = "softmax"
    of: str = "numbers"
    hyper: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    weighted: bool = False
    folds: bool = False
    single: bool = False

    def train(
        self, device: torch.device, *, steps: int, dtype: torch.dtype = torch.float64, cuda_graphs: bool = False
    ) -> Outcome:
        """Train on a device."""
        members, (part, held_out), settings = self.asked(device, steps=steps, dtype=dtype, cuda_graphs=cuda_graphs)
        if not self.folds:
            return train(members, part, held_out, settings)
        return train(members, part, None, settings, folds=torch.arange(len(part)) % MEMBERS)

    def asked(
        self, device: torch.device, *, steps: int, dtype: torch.dtype = torch.float64, cuda_graphs: bool = False
    ) -> tuple[list[Member], tuple[Rows, Rows], Settings]:
        """The members, their rows to learn from and to be measured on, and what they share."""
        dtype = torch.float32 if self.single else dtype
        spec, rate = self.spec(dtype), RATES.get(self.rule, 3e-3)
        members = [
            Member(spec, seed=m, learning_rate=rate * (1 + m / 2), fold=m if self.folds else None, **self.hyper)
            for m in range(MEMBERS)
        ]
        known: dict[str, Any] = {"batch_size": 16, "evaluate_every": max(1, steps // 5), **self.settings}
        known |= {"device": device, "cuda_graphs": cuda_graphs}
        settings = Settings(self.loss, self.rule, steps=steps, dtype=dtype, **known)
        rows = drawn(self.of, self.loss, weighted=self.weighted)
        numbers = rows.numbers if rows.numbers.dtype == torch.uint8 else rows.numbers.to(dtype)
        targets = rows.targets.to(dtype) if rows.targets.is_floating_point() else rows.targets
        rows = replace(rows, inputs=rows.inputs.replaced(numbers=numbers), targets=targets)
        cut = torch.arange(len(rows)) < ROWS * 3 // 4
        return members, (rows.rows(cut), rows.rows(~cut)), settings


@cache
def drawn(of: str, loss: str, *, weighted: bool = False) -> Rows:
    """Rows whose targets follow from their inputs, and noise."""
    generator = torch.Generator().manual_seed(1)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    shape = {"pictures": (1, 8, 8), "bytes": (1, 8, 8)}.get(of, (INPUTS,))
    features = normal(ROWS, *shape)
    scores = features.flatten(1)[:, :CLASSES] + 0.3 * normal(ROWS, CLASSES)
    codes = torch.randint(0, 4, (ROWS, 2 if of == "codes" else 0), generator=generator)
    if of == "bytes":
        features = (features * 40 + 128).clamp(0, 255).to(torch.uint8)
    inputs = Inputs(numbers=features, codes=codes)
    if of == "text":
        tokens = torch.randint(0, 20, (ROWS, 9), generator=generator, dtype=torch.int32)  # 5 pieces, then 4 pairs
        inputs, scores = Inputs(numbers=features[:, :0], tokens=tokens, codes=codes), tokens[:, :CLASSES].double()
    indicators = loss in ("binary", "quadratic")
    targets = scores if loss in ("mse", "mae", "huber") else (scores > 0).double() if indicators else scores.argmax(1)
    weights = torch.rand(ROWS, generator=generator, dtype=torch.float64) + 0.5 if weighted else None
    return Rows(inputs, targets, weights)


def conv() -> nn.Module:
    """Pictures, with what vmap takes: dropout, group norm."""
    head = (nn.Dropout(0.2), nn.Flatten(), nn.Linear(4 * 16, CLASSES))
    return nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.GroupNorm(2, 4), nn.ReLU(), nn.MaxPool2d(2), *head)


def normed() -> nn.Module:
    """Pictures, with buffers: batch norm."""
    head = (nn.Flatten(), nn.Linear(4 * 16, CLASSES))
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), *head
    )


class Recurrent(nn.Module):
    """Numbers read one after another by an LSTM, which vmap does not take."""

    def __init__(self) -> None:
        super().__init__()
        self.read, self.head = nn.LSTM(1, 8, batch_first=True), nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Logits [B, C] of rows [B, F]."""
        return self.head(self.read(x.unsqueeze(-1))[0][:, -1])


def _dense(**changes: Any) -> Callable[[torch.dtype], DenseSpec]:
    return lambda dtype: replace(DENSE, **changes)


def _module(start: Callable[[], nn.Module], layout: str) -> Callable[[torch.dtype], ModuleSpec]:
    return lambda dtype: ModuleSpec(lambda: start().to(dtype), layout=layout)


CASES: dict[str, Case] = {
    **{f"rule {rule}": Case(_dense(), rule) for rule in RULES},
    **{
        f"loss {loss}": Case(_dense(outputs=2) if loss == "negative binomial" else _dense(), loss=loss)
        for loss in LOSSES
        if loss != "negative log-likelihood"
    },
    "dropout": Case(_dense(), hyper={"dropout": (0.2, 0.5)}),
    "dropout, descending": Case(_dense(), "sgd", hyper={"dropout": (0.2, 0.0), "momentum": 0.0, "l2": 0.1}),
    "batch norm": Case(_dense(batch_norm=True)),
    "layer norm": Case(_dense(layer_norm=True)),
    "residual, mixed activations": Case(_dense(residual=True, activation=("gelu", "leaky relu"))),
    "embeddings": Case(_dense(embeddings=((4, 2), (4, 3))), of="codes"),
    "embedded numbers": Case(_dense(number_embedding=NumberEmbedding(4))),
    "scaled inputs": Case(_dense(input_scale=True)),
    "rates by kind and width": Case(_dense(), hyper={"rate_factors": (("biases", 0.1),), "width_scaled": True}),
    "no hidden layer": Case(_dense(hidden=())),
    "penalties": Case(_dense(), "sgd", hyper={"l1": 0.05, "l2": 0.1, "weight_decay": 1e-3, "penalise_biases": True}),
    "clipping": Case(_dense(), hyper={"clip_norm": 0.1, "clip_value": 0.05}),
    "averages": Case(_dense(), hyper={"ema_decay": 0.9}),
    "layers of their own": Case(_dense(), hyper={"layer_rates": (0.5, 1.0, 2.0), "frozen_until": (9, 0, 0)}),
    "schedule": Case(_dense(), hyper={"schedule": Schedule("cosine", warmup=3)}),
    "noise": Case(_dense(), hyper={"noise": 0.1}),
    "mixup": Case(_dense(), hyper={"mixup": 0.3}),
    "weights": Case(_dense(), weighted=True),
    "folds": Case(_dense(), folds=True),
    "accumulation": Case(_dense(), settings={"accumulate": 3}),
    "rungs and patience": Case(_dense(), settings={"rungs": ((8, 2),), "patience": 2, "evaluate_every": 4}),
    "metrics": Case(_dense(), settings={"metrics": ("accuracy",)}),
    "convolution, vmapped": Case(_module(conv, "vmapped"), of="pictures"),
    "convolution, looped": Case(_module(conv, "looped"), of="pictures"),
    "batch norm, vmapped": Case(_module(normed, "vmapped"), of="pictures"),
    "batch norm, looped": Case(_module(normed, "looped"), of="pictures"),
    "LSTM, looped": Case(_module(Recurrent, "looped")),
    "ConvSpec": Case(lambda dtype: ConvSpec((1, 8, 8), (4, 4), CLASSES, dropout=0.2), of="bytes", single=True),
    "ConvSpec, augmented": Case(
        lambda dtype: ConvSpec((1, 8, 8), (4,), CLASSES, augment=(("shift", 0.1),)), of="bytes", single=True
    ),
    "TextSpec, bag": Case(lambda dtype: TextSpec(0, 20, 5, CLASSES, width=4, pairs=20), of="text"),
    "TextSpec, GRU": Case(lambda dtype: TextSpec(0, 20, 5, CLASSES, reader="gru", width=4), of="text"),
}
GRAPHED = (
    "rule sgd",
    "rule adam",
    "rule muon",
    "dropout",
    "batch norm",
    "embeddings",
    "folds",
    "accumulation",
    "weights",
)


def difference(ours: Outcome, theirs: Outcome) -> float:
    """The largest relative difference between the losses of two histories. ValueError where they are about others."""
    rows = [np.array([[row[2], row[0], row[5], row[6]] for row in outcome.history.rows]) for outcome in (ours, theirs)]
    if rows[0].shape != rows[1].shape or not np.array_equal(rows[0][:, :2], rows[1][:, :2]):
        raise ValueError(f"the histories hold other steps or members: {rows[0].shape}, {rows[1].shape}")
    a, b = (values[:, 2:] for values in rows)
    return float(np.max(np.abs(a - b) / np.maximum(np.abs(a), 1e-6)))

"""The delivered model: raw columns in, predictions in the target's own type out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor

from luthier.assess import Familiarity, Profile, prediction_sets, tempered
from luthier.data import Encoder, Prepare, Task, decode_classes, encoder_from_json, inputs_of, preprocess_from
from luthier.errors import InputError, LuthierError
from luthier.nets import Net, build, spec_from_json
from luthier.saved.bundle import Bundle, read_bundle, write_bundle

FAR = 1e30  # stands for no bound in JSON
ROWS = 8192  # rows through the networks at once


@dataclass(frozen=True)
class Model:
    """Encoder, preprocessing and one or more networks whose outputs are averaged with `weights`.

    Classes: probabilities are averaged, then tempered. Values: averaged on the modelled scale, then
    brought back; on a log scale they are multiplied by `smear`, so that the mean is met and not the
    median (Duan, 1983). `half_width` is the 90 % conformal half width on the modelled scale.
    Standardised values are kept between `lowest` and `highest`, a little beyond what training rows had:
    one row far outside the training range must not be predicted at e to the tenth of anything seen.
    Of two classes the second is predicted from probability `threshold` on. Classes with at least probability
    `set_threshold` are in a row's 90 % set; `familiarity` tells rows that are unlike the training rows.
    """

    task: Task
    encoder: Encoder
    preprocess: Prepare
    nets: tuple[Net, ...]
    weights: tuple[float, ...]
    temperature: float = 1.0
    target_mean: float = 0.0
    target_std: float = 1.0
    smear: float = 1.0
    half_width: float = 0.0
    lowest: float = -np.inf
    highest: float = np.inf
    threshold: float = 0.5
    set_threshold: float = 0.0
    familiarity: Familiarity | None = None
    profile: Profile | None = None
    metrics: Mapping[str, Any] = field(default_factory=dict)

    def predict(self, frame: pl.DataFrame) -> pl.Series:
        """Classes, or values, for the rows of a table."""
        return self.predict_encoded(*self.encode(frame))

    def predict_proba(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Probabilities for the rows of a table, one column a class."""
        return self.proba_encoded(*self.encode(frame))

    def predict_interval(self, frame: pl.DataFrame) -> pl.DataFrame:
        """A 90 % interval for each row of a table, columns `low` and `high`; for regressions."""
        low, high = self.interval_encoded(*self.encode(frame))
        return pl.DataFrame({"low": low, "high": high})

    def encode(self, frame: pl.DataFrame, *, impute_missing_columns: bool = False) -> tuple[Tensor, Tensor]:
        """Numbers [N, F] and codes [N, K] of a table's rows."""
        return self.encoder.encode(frame, impute_missing_columns=impute_missing_columns)

    def predict_encoded(self, numbers: Tensor, codes: Tensor) -> pl.Series:
        """`predict` for encoded rows."""
        if self.task.kind == "regression":
            return pl.Series(self.task.target, self.values(numbers, codes))
        return decode_classes(torch.from_numpy(self.classes_of(self.probabilities(numbers, codes))), self.task)

    def classes_of(self, probabilities: np.ndarray) -> np.ndarray:
        """Class numbers [N] of probabilities [N, C]."""
        if self.task.kind == "binary":
            return np.asarray(probabilities[:, 1] >= self.threshold).astype(np.int64)
        return np.asarray(probabilities.argmax(1))

    def predict_set(self, frame: pl.DataFrame) -> pl.Series:
        """The classes, as text with `|` between, of which one is the true one in nine rows of ten."""
        return self.set_encoded(*self.encode(frame))

    def set_encoded(self, numbers: Tensor, codes: Tensor) -> pl.Series:
        """`predict_set` for encoded rows."""
        inside = prediction_sets(self.probabilities(numbers, codes), self.set_threshold)
        return pl.Series("set", ["|".join(np.asarray(self.task.classes)[row]) for row in inside], dtype=pl.String)

    def unlike_training(self, frame: pl.DataFrame) -> pl.Series:
        """Whether each row lies farther from the training rows than nearly all validation rows did."""
        return self.unlike_encoded(*self.encode(frame))

    @torch.no_grad()
    def unlike_encoded(self, numbers: Tensor, codes: Tensor) -> pl.Series:
        """`unlike_training` for encoded rows; nothing is unlike where the model has no picture of its training."""
        if self.familiarity is None or not len(numbers):
            return pl.Series("unlike_training", np.zeros(len(numbers), dtype=bool))
        return pl.Series("unlike_training", self.familiarity.unlike(self.features(numbers)))

    def features(self, numbers: Tensor) -> np.ndarray:
        """What rows [N, F] are compared by: numbers standardised, gaps filled; pictures by the means of their parts."""
        return np.asarray(self.preprocess.plain(numbers).double().numpy())

    def proba_encoded(self, numbers: Tensor, codes: Tensor) -> pl.DataFrame:
        """`predict_proba` for encoded rows."""
        probabilities = self.probabilities(numbers, codes)
        return pl.DataFrame({label: probabilities[:, c] for c, label in enumerate(self.task.classes)})

    def interval_encoded(self, numbers: Tensor, codes: Tensor) -> tuple[pl.Series, pl.Series]:
        """`predict_interval` for encoded rows."""
        if self.task.kind != "regression":
            raise LuthierError("intervals are for regressions", remedy="use predict_proba")
        middle = self.averaged(numbers, codes)[:, 0] * self.target_std + self.target_mean
        ends = [middle - self.half_width, middle + self.half_width]
        low, high = (np.exp(end) if self.task.log_scale else end for end in ends)
        return pl.Series("low", low), pl.Series("high", high)

    def probabilities(self, numbers: Tensor, codes: Tensor) -> np.ndarray:
        """Class probabilities [N, C]."""
        if self.task.kind == "regression":
            raise LuthierError("a regression has no probabilities", remedy="use predict or predict_interval")
        return tempered(self.averaged(numbers, codes), self.temperature)

    def values(self, numbers: Tensor, codes: Tensor) -> np.ndarray:
        """Predicted values [N] on the target's own scale."""
        return self.to_own_scale(self.averaged(numbers, codes)[:, 0])

    def to_own_scale(self, modelled: np.ndarray) -> np.ndarray:
        """Standardised values back to the target's own scale."""
        values = modelled * self.target_std + self.target_mean
        return np.asarray(np.exp(values) * self.smear if self.task.log_scale else values)

    def averaged(self, numbers: Tensor, codes: Tensor) -> np.ndarray:
        """The weighted mean output in float64: probabilities [N, C] not yet tempered, or values [N, 1]."""
        blocks = list(self._blocks(numbers, codes))
        return np.concatenate(blocks) if blocks else np.zeros((0, max(1, len(self.task.classes))))

    @torch.no_grad()
    def _blocks(self, numbers: Tensor, codes: Tensor) -> Iterator[np.ndarray]:
        for start in range(0, len(numbers), ROWS):
            rows = slice(start, start + ROWS)
            features, coded = inputs_of(self.preprocess(numbers[rows]), codes[rows], self.encoder)
            parts = [
                weight * activate(net(features, coded), self.task.kind)
                for net, weight in zip(self.nets, self.weights, strict=True)
            ]
            mean = torch.stack(parts).sum(0).numpy()
            yield mean if self.task.classes else mean.clip(self.lowest, self.highest)

    def save(self, path: Path) -> None:
        """Write the model as one file."""
        weights = {f"preprocess.{name}": value for name, value in self.preprocess.state_dict().items()}
        for i, net in enumerate(self.nets):
            weights |= {f"nets.{i}.{name}": value for name, value in net.state_dict().items()}
        model = {
            "task": self.task.to_json(),
            "preprocess": self.preprocess.config(),
            "specs": [net.spec.to_json() for net in self.nets],
            "weights": list(self.weights),
            "temperature": self.temperature,
            "target_mean": self.target_mean,
            "target_std": self.target_std,
            "smear": self.smear,
            "half_width": self.half_width,
            "lowest": max(self.lowest, -FAR),
            "highest": min(self.highest, FAR),
            "threshold": self.threshold,
            "set_threshold": self.set_threshold,
        }
        if self.familiarity is not None:
            model["familiar_within"] = self.familiarity.limit
            for name in ("mean", "whitening"):
                weights[f"familiarity.{name}"] = torch.from_numpy(getattr(self.familiarity, name).copy())
        profile = {} if self.profile is None else self.profile.to_json()
        write_bundle(path, Bundle(model, self.encoder.to_json(), profile, dict(self.metrics), weights))

    @classmethod
    def load(cls, path: str | Path) -> Model:
        """Read a model file. InputError when it is damaged or not a model."""
        bundle = read_bundle(Path(path))
        try:
            return cls._from(bundle)
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise InputError(f"'{path}' does not describe a model", received=str(error).splitlines()[0]) from error

    @classmethod
    def _from(cls, bundle: Bundle) -> Model:
        facts = bundle.model
        preprocess = preprocess_from(facts["preprocess"])
        preprocess.load_state_dict(_named(bundle.weights, "preprocess."))
        nets = []
        for i, value in enumerate(facts["specs"]):
            net = build(spec_from_json(value), seed=0)
            net.load_state_dict(_named(bundle.weights, f"nets.{i}."))
            nets.append(net.eval())
        scalars = ("temperature", "target_mean", "target_std", "smear", "half_width", "lowest", "highest")
        return cls(
            task=Task.from_json(facts["task"]),
            encoder=encoder_from_json(bundle.encoder),
            preprocess=preprocess,
            nets=tuple(nets),
            weights=tuple(float(weight) for weight in facts["weights"]),
            profile=Profile.from_json(bundle.profile) if bundle.profile else None,
            metrics=bundle.metrics,
            **{name: float(facts[name]) for name in scalars},
            **{name: float(facts[name]) for name in ("threshold", "set_threshold") if name in facts},
            familiarity=_familiarity(bundle),
        )


def _familiarity(bundle: Bundle) -> Familiarity | None:
    if "familiar_within" not in bundle.model:
        return None
    mean, whitening = (bundle.weights[f"familiarity.{name}"].numpy() for name in ("mean", "whitening"))
    return Familiarity(mean, whitening, float(bundle.model["familiar_within"]))


def activate(logits: Tensor, kind: str) -> Tensor:
    """Logits [..., C] as what is averaged, in float64: class probabilities, or the value of a regression.

    A binary network's one logit becomes two probabilities.
    """
    if kind == "multiclass":
        return torch.softmax(logits.double(), -1)
    if kind == "binary":
        p = torch.sigmoid(logits.double())
        return torch.cat([1 - p, p], -1)
    return logits.double()


def _named(weights: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}

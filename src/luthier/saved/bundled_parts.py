"""What a model's file holds; `rebuilding` makes a model of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from types import SimpleNamespace
from typing import Any

import torch

from luthier.saved.bundle import Bundle

FAR = 1e30  # stands for no bound in JSON


def contents_of(parts: Mapping[str, Any]) -> Bundle:
    """What a `Model` is made of, by name as `rebuilding.parts_of` gives it, as JSON values and tensors."""
    model = SimpleNamespace(**parts)
    weights = {f"preprocess.{name}": value for name, value in model.preprocess.state_dict().items()}
    if (features := getattr(model.encoder, "features", None)) is not None:
        weights |= {f"encoder.{name}": value for name, value in features.state_dict().items()}
    for i, net in enumerate(model.nets):
        weights |= {f"nets.{i}.{name}": value for name, value in net.state_dict().items()}
    facts: dict[str, object] = {
        "task": model.task.to_json(),
        "preprocess": model.preprocess.config(),
        "specs": [net.spec.to_json() for net in model.nets],
        "weights": list(model.weights),
        "temperature": model.temperature,
        "target_mean": model.transform.mean,
        "target_std": model.transform.std,
        "smear": model.transform.smear,
        "half_width": model.half_width,
        "lowest": max(model.transform.lowest, -FAR),
        "highest": min(model.transform.highest, FAR),
        "threshold": model.threshold,
        "set_threshold": model.set_threshold,
    }
    if model.transform.dispersion is not None:
        facts["dispersion"] = model.transform.dispersion
    if model.residuals is not None:
        law = model.residuals
        facts |= {"answer": model.answer, "residuals": [value for row in law.residuals for value in row]}
        facts |= {"residual_places": list(law.places)} if law.by_prediction else {}
    if model.decision is not None:
        decision = {"matrix": model.decision.matrix.tolist(), "offset": model.decision.offset.tolist()}
        facts["decision"] = decision
    if model.label_thresholds:
        facts["label_thresholds"] = list(model.label_thresholds)
    if model.licences:
        facts["licences"] = [asdict(licence) for licence in model.licences]
    if model.familiarity is not None:
        facts["familiar_within"] = model.familiarity.limit
        for name in ("mean", "whitening"):
            weights[f"familiarity.{name}"] = torch.from_numpy(getattr(model.familiarity, name).copy())
    if model.row_intervals is not None:
        of = model.row_intervals
        facts["row_intervals"] = {"spec": of.net.spec.to_json(), "scale": of.scale, "correction": of.correction}
        weights |= {f"row_intervals.{name}": value for name, value in of.net.state_dict().items()}
    if model.row_quantiles is not None:
        law = model.row_quantiles
        quantiles: dict[str, object] = {"levels": list(law.levels), "offsets": list(law.offsets), "scale": law.scale}
        facts["row_quantiles"] = quantiles
        if law.net is not None:
            quantiles["spec"] = law.net.spec.to_json()
            weights |= {f"row_quantiles.{name}": value for name, value in law.net.state_dict().items()}
    profile = {} if model.profile is None else model.profile.to_json()
    return Bundle(facts, model.encoder.to_json(), profile, dict(model.metrics), weights)

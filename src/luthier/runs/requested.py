"""What a run is asked for, as its folder keeps it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from luthier.data import BUNDLED
from luthier.data.sentences import whole_name
from luthier.engine.members.devices import AUTO, resolve
from luthier.nets.backbone import allow
from luthier.recipe import Budget
from luthier.request import PlanConfig, RunRequest
from luthier.runs.relocating import name_of
from luthier.task import costs_as_text


def request(source: Any, config: PlanConfig) -> RunRequest:
    """What a run is asked for, as it is kept: a budget, whole paths, and a device of this machine."""
    if config.backbone:
        allow(config.backbone)
    given = {name: getattr(config, name) for name in PlanConfig.model_fields}
    given["source"] = name_of(source)
    given["budget"] = str(Budget.parse(config.budget) if config.budget else default_budget(source))
    if config.device != AUTO:
        given["device"] = str(resolve(config.device))
    for name in ("backbone_weights", "warm_start"):
        given[name] = given[name] and str(Path(given[name]).resolve())
    given["costs"] = costs_as_text(config.costs)
    given["text_model"] = whole_name(config.text_model)
    if config.backbone and Path(config.backbone).is_dir():
        given["backbone"] = whole_name(config.backbone)
    given["test"] = given["test"] and name_of(given["test"])
    return RunRequest.of(None, **given)


def default_budget(source: Any) -> Budget:
    """A minute for a bundled set, five minutes for anything else."""
    return Budget(seconds=60.0 if isinstance(source, str) and source in BUNDLED else 300.0)

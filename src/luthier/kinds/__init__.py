"""What a target can be, one small file a kind: rule of inference, loss, link, metric, interval, baselines."""

from __future__ import annotations

from luthier.kinds.inference import KINDS, task_of
from luthier.kinds.joint import JointKind
from luthier.kinds.kind import Family, Kind, TaskKind
from luthier.kinds.links import IDENTITY, LOG, LOGIT, Link
from luthier.kinds.target_facts import TargetFacts

__all__ = [
    "IDENTITY",
    "KINDS",
    "LOG",
    "LOGIT",
    "Family",
    "JointKind",
    "Kind",
    "Link",
    "TargetFacts",
    "TaskKind",
    "task_of",
]

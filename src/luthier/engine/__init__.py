"""The engine: many networks of one architecture, trained together in one program."""

from __future__ import annotations

from luthier.engine.api import train_networks
from luthier.engine.block_threads import threaded
from luthier.engine.dense.stack import Stack
from luthier.engine.find_lr import find_lr
from luthier.engine.members.batches import Batch
from luthier.engine.members.checkpoint import FileCheckpoint
from luthier.engine.members.history import History
from luthier.engine.members.member import Member
from luthier.engine.members.module_spec import ModuleSpec
from luthier.engine.members.settings import Checkpointer, Evaluation, Settings, Snapshot, never
from luthier.engine.populations.footprint import footprint, in_memory_groups
from luthier.engine.populations.loaders import part_of
from luthier.engine.populations.outcome import Outcome
from luthier.engine.populations.population import Population
from luthier.engine.populations.streams import Stream
from luthier.engine.range_test import RangeTest, confirm, range_test, suggest
from luthier.engine.timing import step_time
from luthier.engine.train import train
from luthier.optimise import Schedule
from luthier.rows import Inputs, Rows

__all__ = [
    "Batch",
    "Checkpointer",
    "Evaluation",
    "FileCheckpoint",
    "History",
    "Inputs",
    "Member",
    "ModuleSpec",
    "Outcome",
    "Population",
    "RangeTest",
    "Rows",
    "Schedule",
    "Settings",
    "Snapshot",
    "Stack",
    "Stream",
    "confirm",
    "find_lr",
    "footprint",
    "in_memory_groups",
    "never",
    "part_of",
    "range_test",
    "step_time",
    "suggest",
    "threaded",
    "train",
    "train_networks",
]

"""The engine: many networks of one architecture, trained together in one program."""

from __future__ import annotations

from luthier.engine.api import train_networks
from luthier.engine.batches import Batch
from luthier.engine.block_threads import threaded
from luthier.engine.checkpoint import FileCheckpoint
from luthier.engine.find_lr import find_lr
from luthier.engine.footprint import footprint, in_memory_groups
from luthier.engine.history import History
from luthier.engine.loaders import part_of
from luthier.engine.member import Member
from luthier.engine.module_spec import ModuleSpec
from luthier.engine.outcome import Outcome
from luthier.engine.population import Population
from luthier.engine.range_test import RangeTest, confirm, range_test, suggest
from luthier.engine.settings import Checkpointer, Evaluation, Settings, Snapshot, never
from luthier.engine.stack import Stack
from luthier.engine.streams import Stream
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

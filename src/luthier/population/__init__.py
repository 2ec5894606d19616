"""The engine: many networks of one architecture, trained together in one program."""

from __future__ import annotations

from luthier.optimise import Schedule
from luthier.population.batches import Batch
from luthier.population.checkpoint import FileCheckpoint
from luthier.population.find_lr import find_lr
from luthier.population.footprint import footprint, in_turns
from luthier.population.history import History
from luthier.population.member import Member
from luthier.population.modules import ModuleSpec
from luthier.population.networks import part_of, train_networks
from luthier.population.outcome import Outcome
from luthier.population.population import Population
from luthier.population.range_test import RangeTest, confirm, range_test, suggest
from luthier.population.settings import Checkpointer, Evaluation, Part, Settings, Snapshot, never
from luthier.population.stack import Stack
from luthier.population.streams import Stream
from luthier.population.timing import step_time
from luthier.population.train import train

__all__ = [
    "Batch",
    "Checkpointer",
    "Evaluation",
    "FileCheckpoint",
    "History",
    "Member",
    "ModuleSpec",
    "Outcome",
    "Part",
    "Population",
    "RangeTest",
    "Schedule",
    "Settings",
    "Snapshot",
    "Stack",
    "Stream",
    "confirm",
    "find_lr",
    "footprint",
    "in_turns",
    "never",
    "part_of",
    "range_test",
    "step_time",
    "suggest",
    "train",
    "train_networks",
]

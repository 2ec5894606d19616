"""A setting of the recipe: what is chosen about a network, and its members from several seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from luthier.engine import Member
from luthier.recipe.candidate_schedules import schedule_named


@dataclass(frozen=True)
class Setting:
    """All that is chosen about a network but its seed: how numbers enter, the rule, the batch size, the rest.

    `length` multiplies the epochs that are planned for everyone.
    """

    method: str
    rule: str
    batch_size: int
    member: Member
    label: str = ""
    length: float = 1.0

    def to_json(self) -> dict[str, Any]:
        """The setting as plain JSON values."""
        return {**{one.name: getattr(self, one.name) for one in fields(self)}, "member": self.member.to_json()}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Setting:
        """The setting that `to_json` gave."""
        return cls(**{**value, "member": Member.from_json(value["member"])})


def seeded(setting: Setting, seeds: Sequence[int], steps: int, label: str = "") -> list[Member]:
    """The setting from several seeds, its schedule laid out over so many steps."""
    schedule = schedule_named(setting.member.schedule.kind, steps)
    head = f"{label}, " if label else ""
    return [
        replace(setting.member, seed=seed, schedule=schedule, label=f"{head}seed {k}") for k, seed in enumerate(seeds)
    ]

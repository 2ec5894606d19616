"""A setting of the recipe: what is chosen about a network, and its members from several seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from luthier.engine import Member, Schedule
from luthier.messages import Message, restored, with_messages
from luthier.records import JsonObject


@dataclass(frozen=True)
class Setting:
    """All that is chosen about a network but its seed: how numbers enter, the rule, the batch size, the rest.

    `length` multiplies the epochs that are planned for everyone; `averaging` is the share of the training that moving
    averages of the weights remember (0: none). By another `loss` than the task's own, where named; of several targets
    that share their networks it learns `only` one, by its place, where that is set.
    """

    method: str
    rule: str
    batch_size: int
    member: Member
    label: str = ""
    length: float = 1.0
    averaging: float = 0.0
    loss: str = ""
    only: int | None = None

    def to_json(self) -> JsonObject:
        """The setting as plain JSON values."""
        content = {**{one.name: getattr(self, one.name) for one in fields(self)}, "member": self.member.to_json()}
        return dict(with_messages(content))

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Setting:
        """The setting that `to_json` gave."""
        return cls(**{**restored(value), "member": Member.from_json(value["member"])})

    def member_over(self, steps: int) -> Member:
        """Its member with schedule and averages laid out over so many steps."""
        schedule = schedule_named(self.member.schedule.kind, steps)
        remembered = self.averaging * steps
        decay = 1 - 1 / remembered if remembered > 1 else self.member.ema_decay
        return replace(self.member, schedule=schedule, ema_decay=decay)


def schedule_named(name: str, steps: int) -> Schedule:
    """The planned form of a schedule: three restarts in a training, each half as long again."""
    if name == "restarts":
        return Schedule("restarts", period=max(1, round(steps / 4.75)), multiplier=1.5)
    if name == "exponential":
        return Schedule("exponential", decay=0.01, period=max(1, steps))  # a hundredth of the rate at the end
    return Schedule(name)


def seeded(setting: Setting, seeds: Sequence[int], steps: int, label: str = "") -> list[Member]:
    """The setting from several seeds, its schedule laid out over so many steps."""
    member, head = setting.member_over(steps), f"{label}, " if label else ""
    return [replace(member, seed=seed, label=Message("{head}seed {k}", head=head, k=k)) for k, seed in enumerate(seeds)]

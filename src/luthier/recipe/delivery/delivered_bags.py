"""What a run keeps of the bags that it delivers, so that their settings can be trained on other rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from luthier.recipe.delivery.deliverable import Deliverable
from luthier.recipe.experiment.fold_bags import Bag, learnt_rows
from luthier.recipe.planning.setting import Setting
from luthier.recipe.running.runner import Runner
from luthier.records import JsonObject

DELIVERED = "delivered"  # the name under which it is kept
MOST_NETWORKS, MOST_STEPS = 64, 100_000_000


@dataclass(frozen=True)
class DeliveredBag:
    """A setting, the seed of each of its networks, the `weight` of all of them together, and for how many steps each
    was trained on how many `rows`."""

    setting: Setting
    seeds: tuple[int, ...]
    weight: float
    steps: int
    rows: int

    def to_json(self) -> JsonObject:
        """The bag as plain JSON values."""
        return {**vars(self), "setting": self.setting.to_json()}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> DeliveredBag:
        """The bag that `to_json` gave. ValueError for one that no run has delivered."""
        sizes = (len(value["seeds"]), MOST_NETWORKS), (value["steps"], MOST_STEPS), (value["rows"], MOST_STEPS)
        if not all(1 <= size <= most for size, most in sizes) or not 0 < value["weight"] <= 1 + 1e-6:
            raise ValueError("a delivered bag is not as a run writes it")
        return cls(**{**value, "setting": Setting.from_json(value["setting"]), "seeds": tuple(value["seeds"])})


def keep_delivered(runner: Runner, choice: Deliverable, bags: Sequence[Bag]) -> None:
    """Keep what is delivered and, of bags, their settings: networks of other kinds were stopped by validation rows."""
    weights = {(one.trained.name, one.member): one.weight for one in choice.components}

    def described() -> JsonObject:
        kept = [
            DeliveredBag(
                bag.setting,
                tuple(bag.population.members[place].seed for place in bag.places),
                sum(weights[bag.population.name, place] for place in bag.places),
                bag.population.steps_done,
                learnt_rows(runner.problem),
            ).to_json()
            for bag in bags
            if choice.kind == "bags" and choice.has(bag)
        ]
        return {"kind": choice.kind, "bags": kept}

    runner.memo.json(DELIVERED, described)

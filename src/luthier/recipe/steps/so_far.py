"""What the steps of a run have come to so far: what each takes, and what it hands on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from luthier.assess import Scores
from luthier.recipe.experiment.fold_bags import Bag
from luthier.recipe.planning.setting import Setting
from luthier.recipe.running.run_baselines import Baselines
from luthier.recipe.running.runner import TrainedPopulation
from luthier.recipe.running.warm_run import Earlier
from luthier.saved import Model


@dataclass(frozen=True)
class Verdict:
    """The delivered model and its scores."""

    model: Model
    scores: Scores


@dataclass(frozen=True)
class SoFar:
    """What is known before a step, and after it.

    Step 2 adds the `method` by which numbers enter at first, steps 3 and 4 the `setting` they adopt and the `bags` that
    may be delivered, step 3 the `rates` of its range tests. A warm start goes on from an `earlier` run; it, and a
    backbone, hand their networks on as `started`.
    """

    baselines: Baselines
    earlier: Earlier | None = None
    method: str = ""
    rates: Mapping[str, float] = field(default_factory=dict)
    setting: Setting | None = None
    bags: Sequence[Bag] = ()
    started: TrainedPopulation | None = None
    verdict: Verdict | None = None

    @property
    def adopted(self) -> Setting:
        """The setting, once there is one."""
        assert self.setting is not None
        return self.setting

    def remembered(self, name: str) -> Any:
        """What is kept of it under a name, as plain JSON values."""
        if name == "method":
            return self.method
        setting = self.adopted.to_json()
        return {"setting": setting, "rates": dict(self.rates)} if name == "fitted" else setting

    def recalled(self, name: str, value: Any) -> SoFar:
        """The same with what `remembered` gave."""
        if name == "method":
            return replace(self, method=str(value))
        if name == "fitted":
            return replace(self, setting=Setting.from_json(value["setting"]), rates=value.get("rates", {}))
        return replace(self, setting=Setting.from_json(value))

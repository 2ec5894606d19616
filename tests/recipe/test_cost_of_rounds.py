"""What a round will take is told by what was trained last."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from luthier.recipe.experiment import rounds


def test_seconds_go_by_the_speed_of_the_last_populations(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step of one network is planned to take 2 s; early ones did, the last eight took half as long again."""
    monkeypatch.setattr(rounds, "modality_of", lambda problem: SimpleNamespace(work=lambda spec, batch_size: 1.0))
    monkeypatch.setattr(rounds, "steps_of", lambda runner, setting, share: 10)
    member = SimpleNamespace(spec=None)
    names = [f"{k}" for k in range(28)]

    def runner(speeds: dict[str, float]) -> Any:
        return SimpleNamespace(
            plan=SimpleNamespace(design=SimpleNamespace(launch=0.0, unit=2.0, folds=5)),
            problem=None,
            budget_clock=SimpleNamespace(budget=SimpleNamespace(seconds=60.0)),
            trained=[SimpleNamespace(name=name, members=[member], batch_size=8) for name in names],
            speeds=speeds,
        )

    population: Any = [SimpleNamespace(member=member, batch_size=8)]
    planned = 10 * 2.0 * 5  # steps, seconds of a network's, folds
    assert rounds.cost_of(runner({}), [population]) == planned
    slower = {name: 2.0 if k < 20 else 3.0 for k, name in enumerate(names)}
    assert rounds.cost_of(runner(slower), [population, population]) == pytest.approx(2 * planned * 1.5)
    del slower["27"]  # recalled from an earlier sitting: the one before the last eight counts
    assert rounds.cost_of(runner(slower), [population]) == pytest.approx(planned * (7 * 3.0 + 2.0) / (8 * 2.0))

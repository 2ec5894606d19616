"""Two lines give a curve: what results draw, and how they show themselves."""

from __future__ import annotations

import numpy as np
from torch import nn

import luthier

X = np.random.default_rng(0).normal(size=(120, 4)).astype(np.float32)
DATA = X, X[:, 0] * X[:, 1]


def test_a_range_test_draws_and_names_its_rate() -> None:
    found = luthier.find_lr(nn.Linear(4, 1), DATA, loss="mse", batch_size=32)
    names = [trace.name for trace in found.plot().data]
    assert names[:2] == ["all seeds", "median"]
    assert set(found.rules) == set(names[2:])
    assert repr(found).startswith(f"RangeTest(rate {found.rate:.3g}; ")
    assert len(repr(found)) < 200
    assert f"<td>{found.rate:.3g}</td>" in found._repr_html_()


def test_an_outcome_draws_its_best_few() -> None:
    trained = luthier.train(nn.Linear(4, 1), DATA, validation=DATA, learning_rate=[1e-3, 1e-2, 1e-1], seeds=3, epochs=3)
    figure = trained.plot()
    assert len(figure.data) == 10  # five members, two losses each
    rows = [row for row in trained.history.rows if row[0] == trained.best]
    drawn = [list(trace.y) for trace in figure.data[:2]]
    assert drawn == [[row[5] for row in rows], [row[6] for row in rows]]
    assert f"best is member {trained.best}" in repr(trained)
    assert trained._repr_html_().count("<tr>") == 1 + len(trained.members)
    assert (
        repr(trained.history)
        == f"History({len(trained.members)} members, 3 evaluations up to step {trained.steps_done})"
    )


def test_members_to_draw_can_be_chosen() -> None:
    trained = luthier.train(nn.Linear(4, 1), DATA, learning_rate=[1e-3, 1e-2], epochs=2)
    assert len(trained.history.plot([1]).data) == 1  # nothing was held out


def test_a_schedule_draws_what_it_will_do() -> None:
    schedule = luthier.Schedule("cosine")
    assert list(schedule.plot(10, learning_rate=0.2).data[0].y) == schedule.curve(10, 0.2)


def test_a_search_draws_its_trials() -> None:
    def build(h: dict[str, float]) -> nn.Module:
        return nn.Linear(4, 1)

    study = luthier.tune(build, DATA, {"learning_rate": (1e-3, 1e-1)}, trials=4, epochs=2, confirm=1)
    trials, best = study.plot().data
    assert len(trials.y) == len(best.y) == 4
    assert list(best.y) == np.minimum.accumulate(trials.y).tolist()
    assert "learning_rate" in study._repr_html_()

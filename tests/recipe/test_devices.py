"""Where a run trains: as asked, else where steps are faster; and on another machine from what was recorded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

import luthier
from luthier.errors import InputError
from luthier.recipe import read_recipe
from luthier.recipe.planning.plan import Design, PlanSize, TrainingBudget, plan_without_design
from luthier.recipe.steps import plan_budget as planning
from luthier.runs.screen import SilentScreen

CUDA = "cuda:0"


class Heard(SilentScreen):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.moved: list[str] = []

    def event(self, name: str, /, **facts: Any) -> None:
        if name == "moved":
            self.moved.append(facts["sentence"])


def planned(**options: Any) -> Any:
    """The plan of such a run, which no folder keeps."""
    return luthier.plan("iris", **{"budget": "60steps", **options}).plan


def fitted(run: Path, screen: Heard, **options: Any) -> Any:
    return luthier.fit("iris", run=run, screen=screen, **{"budget": "60steps", **options})


@pytest.fixture
def with_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine says that it has a GPU."""
    monkeypatch.setattr("luthier.engine.members.devices.available", lambda: ["cpu", CUDA])
    monkeypatch.setattr("torch.cuda.current_device", lambda: 0)


def test_what_is_asked_for_is_planned_and_recorded(with_cuda: None) -> None:
    found = planned(device="cuda")
    assert found.device == CUDA


def test_the_plan_says_where_networks_train() -> None:
    plan = plan_without_design(PlanSize(1000, 64), TrainingBudget(None, 5000))
    assert planning.in_words(plan.on(CUDA)) == "plan: batches of 32 on cuda:0"
    assert planning.in_words(plan) == "plan: batches of 32"


def test_a_budget_of_steps_promises_the_same_model_and_keeps_to_the_processor(with_cuda: None) -> None:
    assert planned().device == "cpu"


@pytest.mark.parametrize(("there", "wanted"), [(1e-4, CUDA), (0.9, "cpu")])
def test_auto_takes_a_device_whose_steps_are_faster(
    there: float, wanted: str, with_cuda: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a network's part of a step of as many as a device is good for: 256, or 32 on the processor."""

    def timer(members: Sequence[Any], *parts: Any, device: torch.device, **asked: Any) -> tuple[float, float]:
        return (there, 0.0) if device.type == "cuda" else (1e-3 * len(members), 0.0)

    original: Callable[..., Any] = planning.plan_budget
    monkeypatch.setattr("luthier.recipe.run.plan_budget", lambda runner: original(runner, timer=timer))
    found = planned(budget="20s")
    assert found.device == wanted


def test_where_launches_are_most_of_a_step_the_plan_tries_more_settings(
    with_cuda: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two stacks of other sizes tell what a step takes however few networks it is of."""
    original: Callable[..., Any] = planning.plan_budget

    def found(launch: float, each: float) -> Design:
        def timer(members: Sequence[Any], *parts: Any, **asked: Any) -> tuple[float, float]:
            return launch + each * len(members), 0.0

        monkeypatch.setattr("luthier.recipe.run.plan_budget", lambda runner: original(runner, timer=timer))
        design = planned(budget="60s", device="cuda").design
        assert design is not None
        return design

    launched, computed = found(1e-4, 1e-7), found(0.0, 1e-6)
    assert launched.launch == pytest.approx(1e-4)
    assert launched.settings == 80
    assert computed.launch == 0.0
    assert computed.settings == 10


def test_the_end_keeps_the_seconds_that_looking_at_columns_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """By what an evaluation took: a second for the rows of iris would be minutes, of which a part is kept."""
    original: Callable[..., Any] = planning.plan_budget

    def finish(evaluation: float) -> float:
        def timer(members: Sequence[Any], *parts: Any, **asked: Any) -> tuple[float, float]:
            return 1e-3 * len(members), evaluation

        monkeypatch.setattr("luthier.recipe.run.plan_budget", lambda runner: original(runner, timer=timer))
        return float(planned(budget="60s", device="cpu").finish_seconds)

    # 4 columns, 5 times 1,000 rows each, and 4 columns set to 21 values in 500 rows: 62,000 rows of 40 networks; an
    # evaluation is of 32 networks and 24 rows. What experiments deliver takes twice as long.
    delivered = 2 * (3.0 + 0.02 * 60)
    assert finish(0.0005) == pytest.approx(delivered + 0.0005 * 2_480_000 / (32 * 24), rel=0.05)
    assert finish(1.0) == pytest.approx(delivered + 0.05 * 60)


@pytest.mark.parametrize("looks", [40_000, 3])
def test_the_end_looks_at_so_many_rows_as_the_plan_lets_it(looks: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """All networks of the model together. A plan that lets it look at next to none is not one that lets it at any."""
    from luthier.recipe import run as recipe_run
    from luthier.recipe.judging import error_analysis

    asked: list[int] = []
    look = error_analysis.permutation_importance

    def counted(predict: Any, inputs: Any, *given: Any, **named: Any) -> Any:
        asked.append(named["most"])
        return look(predict, inputs, *given, **named)

    original: Callable[..., Any] = planning.plan_budget

    def planned_looks(runner: Any) -> Any:
        plan = yield from original(runner)
        return plan.model_copy(update={"looks": looks})

    monkeypatch.setattr(error_analysis, "permutation_importance", counted)
    monkeypatch.setattr(recipe_run, "plan_budget", planned_looks)
    result = luthier.fit("iris", budget="60steps", screen=SilentScreen())
    assert result is not None
    assert asked == [max(1, round(looks / len(result.model.nets) * 0.75 / 4))]


def test_populations_train_where_the_plan_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings of every training name the runner's device: a device without numbers stops the first."""
    monkeypatch.setattr("luthier.recipe.run.settle", lambda runner, planned: torch.device("meta"))
    asked: set[torch.device] = set()

    def look(*given: Any, **named: Any) -> Any:
        asked.add(given[3].device if len(given) > 3 else given[2].device)
        raise InputError("looked at")

    monkeypatch.setattr("luthier.recipe.running.pieces_of_populations.train", look)
    monkeypatch.setattr("luthier.recipe.steps.find_rates.range_test", look)
    with pytest.raises(InputError, match="looked at"):
        fitted(tmp_path / "run", Heard())
    assert asked == {torch.device("meta")}


def test_a_run_goes_on_where_its_device_is_not_there(tmp_path: Path) -> None:
    """What was decided and finished on a GPU is kept, the rest is computed on the processor, and that is said."""
    run, whole = tmp_path / "run", fitted(tmp_path / "whole", Heard())
    fitted(run, Heard(), until=3)
    for name in ("ledger.jsonl", "recipe.toml"):
        text = (run / name).read_text()
        assert '"device": "cpu"' in text or 'device = "cpu"' in text
        text = text.replace('"device": "cpu"', f'"device": "{CUDA}"').replace('device = "cpu"', f'device = "{CUDA}"')
        (run / name).write_text(text)
    screen = Heard()
    result = luthier.resume(run, screen=screen)
    assert screen.moved == [f"training continues on cpu instead of {CUDA}: what is finished is kept"]
    recipe = read_recipe(run / "recipe.toml").plan
    assert recipe is not None
    assert recipe.device == CUDA  # as it was decided
    assert result.folder.facts()["machine"]["device"] == "cpu"
    assert result.scores["headline"] == whole.scores["headline"]


def test_a_device_that_is_not_there_is_named_with_those_that_are(tmp_path: Path) -> None:
    for name in ("cuda", "cuda:3", "tpu"):
        with pytest.raises(InputError, match=f"the device '{name}' is not there") as caught:
            fitted(tmp_path / "run", Heard(), device=name)
        assert "auto, cpu" in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_the_run_keeps_what_was_asked(tmp_path: Path) -> None:
    fitted(tmp_path / "run", Heard(), until=1, device="cpu")
    assert read_recipe(tmp_path / "run" / "recipe.toml").asked.device == "cpu"


ROWS = torch.randn(60, 3, generator=torch.Generator().manual_seed(0))
ROWS_AND_CLASSES = ROWS, (ROWS[:, 0] > 0).long()


def tuned(**options: Any) -> Any:
    spec = luthier.DenseSpec(inputs=3, hidden=(4,), outputs=2)
    space = {"learning_rate": (1e-3, 1e-1)}
    return luthier.tune(spec, ROWS_AND_CLASSES, space, trials=2, epochs=1, confirm=0, **options)


def test_a_search_trains_where_it_is_asked_to(with_cuda: None, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[torch.device] = []

    def look(members: Any, training: Any, validation: Any, settings: Any, **named: Any) -> Any:
        asked.append(settings.device)
        raise InputError("looked at")

    monkeypatch.setattr("luthier.search.network_jobs.train", look)
    with pytest.raises(InputError, match="looked at"):
        tuned(device="cuda")
    assert asked[0] == torch.device(CUDA)
    with pytest.raises(InputError, match="workers cannot share an accelerator"):
        tuned(device="cuda", workers=2)


def test_an_estimator_trains_where_it_is_asked_to(with_cuda: None, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[torch.device] = []

    def look(members: Any, training: Any, validation: Any, settings: Any) -> Any:
        asked.append(settings.device)
        raise InputError("looked at")

    monkeypatch.setattr("luthier.estimators.sklearn_estimators.train", look)
    estimator = luthier.LuthierClassifier(max_epochs=1, seeds=1, device="cuda")
    assert estimator.get_params()["device"] == "cuda"
    with pytest.raises(InputError, match="looked at"):
        estimator.fit(ROWS.numpy(), ROWS_AND_CLASSES[1].numpy())
    assert asked == [torch.device(CUDA)]


def test_a_transfer_trains_where_it_is_asked_to(with_cuda: None, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[torch.device] = []

    def look(members: Any, training: Any, validation: Any, settings: Any) -> Any:
        asked.append(settings.device)
        raise InputError("looked at")

    monkeypatch.setattr("luthier.pretrained.feature_heads.train", look)
    net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 5))
    with pytest.raises(InputError, match="looked at"):
        luthier.transfer(net, ROWS_AND_CLASSES, validation=ROWS_AND_CLASSES, epochs=1, device="cuda")
    assert asked == [torch.device(CUDA)]


def test_devices_that_are_not_there_are_named_everywhere() -> None:
    net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 5))
    for call in (
        lambda: tuned(device="cuda"),
        lambda: luthier.LuthierClassifier(device="cuda").fit(ROWS.numpy(), ROWS_AND_CLASSES[1].numpy()),
        lambda: luthier.transfer(net, ROWS_AND_CLASSES, validation=ROWS_AND_CLASSES, device="cuda"),
    ):
        with pytest.raises(InputError, match="the device 'cuda' is not there"):
            call()

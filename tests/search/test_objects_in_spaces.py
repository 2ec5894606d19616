"""Rules, schedules and samplers of one's own in a search."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import luthier
from luthier.errors import ConfigError, InputError
from luthier.optimise import RULES, Rule, Schedule
from luthier.search import Choice, Number, space_from
from luthier.search.spaces.samplers import Random
from luthier.seeds import torch_generator

X = torch.randn(80, 4, generator=torch_generator(0, "objects in spaces"))
Y = (X[:, 0] > 0).long()
PLAIN = Rule(lambda P: {}, lambda P, G, state, hyper, step: P.sub_(hyper["rate"] * G), name="plain")
HEAVY = RULES["sgd"]._replace(name="heavy")


def build(h: dict[str, Any]) -> nn.Module:
    return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 2))


def search(space: dict[str, Any], **options: Any) -> luthier.Study:
    return luthier.tune(build, (X, Y), space, **{"trials": 6, "epochs": 1, "confirm": 1, "workers": 1, **options})


def test_objects_are_searched_by_their_names() -> None:
    space = {
        "rule": ["adam", PLAIN, torch.optim.RAdam],
        "schedule": ["cosine", Schedule("restarts", period=3), lambda step, total: 0.5],
        "learning_rate": (1e-3, 1e-1),
    }
    study = search(space, tiers=False, trials=16)
    settings = [trial.values for trial in study.outcome.searched]
    assert {values["rule"] for values in settings} == {"adam", "plain", "RAdam"}
    assert {values["schedule"] for values in settings} <= {"cosine", "restarts(period=3)", "lambda"}
    assert all(trial.status == "complete" for trial in study.outcome.searched)


def test_a_known_rule_under_another_name_gives_the_same_numbers() -> None:
    ours, known = (search({"rule": rule, "learning_rate": (1e-3, 1e-1)}) for rule in (HEAVY, "sgd"))
    assert [t.value for t in ours.outcome.searched] == [t.value for t in known.outcome.searched]


def test_conditions_follow_what_a_rule_reads() -> None:
    space = space_from({"rule": ["adam", PLAIN, HEAVY], "momentum": (0.5, 0.9), "beta1": (0.5, 0.9)})
    active = {
        label: {name for name in ("momentum", "beta1") if space.active(name, {"rule": label})}
        for label in ("adam", "plain", "heavy")
    }
    assert active == {"adam": {"beta1"}, "plain": set(), "heavy": {"momentum"}}
    own = space_from({"rule": Choice((PLAIN, HEAVY), default=HEAVY), "x": Number(0, 1, when={"rule": (PLAIN,)})})
    assert own.default() == {"rule": "heavy"}


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (["adam", PLAIN._replace(name="adam")], "two options are called 'adam'"),
        ([PLAIN, HEAVY._replace(name="plain")], "two options are called 'plain'"),
        ([PLAIN, 3.5], "'3.5' is not one of"),
        ([torch.optim.LBFGS], "many passes"),
        (nn.Linear, "a class of torch.optim"),
    ],
)
def test_what_is_not_a_rule_is_refused(rule: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        search({"rule": rule, "learning_rate": (1e-3, 1e-1)})


class Halves(Random):
    name = "halves"


class Failing(Random):
    def ask(self, request: object) -> Any:
        raise RuntimeError("no idea")


def test_a_sampler_of_ones_own_is_recorded_by_name_and_compared(tmp_path: Path) -> None:
    space, folder = {"learning_rate": (1e-3, 1e-1)}, tmp_path / "run"
    study = search(space, sampler=Halves(), run=folder)
    known = search(space, sampler="random")
    assert [t.value for t in study.outcome.searched] == [t.value for t in known.outcome.searched]
    again = search(space, sampler=Halves(), run=folder)
    assert [t.value for t in again.outcome.searched] == [t.value for t in study.outcome.searched]
    with pytest.raises(InputError, match="another search"):
        search(space, sampler="random", run=folder)
    assert "halves" in (folder / "report.html").read_text()


@pytest.mark.parametrize(
    ("sampler", "message"), [(Halves, r"Halves\(\)"), (Failing(), "cannot propose settings"), (3, "an object with")]
)
def test_what_is_not_a_sampler_is_refused(sampler: Any, message: str) -> None:
    with pytest.raises((ConfigError, InputError), match=message):
        search({"learning_rate": (1e-3, 1e-1)}, sampler=sampler)

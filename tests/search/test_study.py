"""The search itself: on real little networks, interrupted, halved, in several processes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

import luthier
from luthier.errors import ConfigError, InputError, LuthierError
from luthier.nets import DenseSpec
from luthier.nets import build as built
from luthier.rows import Inputs, Rows
from luthier.search import (
    BuiltNetworks,
    DenseNetworks,
    Effort,
    Journal,
    Search,
    SearchOutcome,
    Space,
    Watched,
    executor_for,
    sensitivity,
    space_from,
)
from luthier.search.built import signature
from luthier.search.spaces.claims import at_edges, convergence, same_within_noise
from luthier.search.spaces.sensitivity import VarianceShare, contradictions, variance_shares
from luthier.search.spaces.trials import Trial
from luthier.seeds import torch_generator
from luthier.statistics.paired import by_seed

g = torch_generator(0, "study")
X = torch.randn(600, 6, generator=g)
Y = (X[:, 0] * X[:, 1] + 0.3 * X[:, 2] > 0).long()
NO_CODES = torch.zeros(600, 0, dtype=torch.int64)
TRAINING, VALIDATION = (Rows(Inputs(numbers=X[rows]), Y[rows]) for rows in (slice(0, 400), slice(400, 600)))
SPACE = space_from({"learning_rate": (1e-3, 1.0), "momentum": (0.5, 0.99), "rule": "sgd", "batch_size": [20, 50]})


def networks(seed: int = 0) -> DenseNetworks:
    return DenseNetworks(TRAINING, VALIDATION, "softmax", DenseSpec(6, (8,), 2), seed=seed)


def search(
    folder: Path,
    *,
    space: Space = SPACE,
    workers: int = 1,
    interrupted: Callable[[], bool] = lambda: False,
    tell: Callable[..., None] = lambda name, /, **facts: None,
    nets: Any = None,
    **effort: Any,
) -> SearchOutcome:
    folder.mkdir(exist_ok=True)
    nets = nets or networks()
    wanted = Effort(**{"trials": 12, "epochs": 3, "confirm": 0, "tiers": False, **effort})
    executor = executor_for("local", nets, folder, workers)
    journal = Journal(folder / "journal.jsonl")
    try:
        return Search(nets, space, wanted, executor, journal, watched=Watched(tell, interrupted)).run()
    finally:
        executor.close()


def figures(outcome: SearchOutcome) -> list[tuple[Any, ...]]:
    return [(t.number, t.stage, repr(t.values), t.seed, t.status, t.value, t.curve, t.reason) for t in outcome.trials]


def test_the_first_trial_is_the_default_and_none_comes_twice(tmp_path: Path) -> None:
    result = search(tmp_path, trials=30)
    assert result.trials[0].values == SPACE.default()
    assert [t.number for t in result.trials] == list(range(30))
    assert len({t.seed for t in result.trials}) == 30
    assert len({SPACE.key(t.values) for t in result.trials}) == 30
    assert result.best is not None
    assert result.best.value == min(t.value for t in result.trials)


def test_trials_whose_rows_are_changed_alike_train_together(tmp_path: Path) -> None:
    jobs: dict[str, set[tuple[float, float]]] = {}

    def tell(name: str, /, **facts: Any) -> None:
        if name == "trained" and facts["job"]:
            jobs[facts["job"]] = {(t.values["noise"], t.values["mixup"]) for t in facts["trials"]}

    space = space_from({"learning_rate": (1e-3, 1e-1), "noise": [0.0, 0.3], "mixup": [0.0, 0.2]})
    result = search(tmp_path, space=space, trials=24, tell=tell)
    assert all(len(alike) == 1 for alike in jobs.values())
    assert len(set.union(*jobs.values())) == 4
    for trial in result.trials[:6]:
        keys = ("learning_rate", "noise", "mixup")
        usual = {"epochs": 3, "seeds": [trial.seed], "loss": "softmax", **{key: trial.values[key] for key in keys}}
        alone = luthier.train(DenseSpec(6, (8,), 2), TRAINING, validation=VALIDATION, **usual)
        assert alone.best_validation_loss[0] == pytest.approx(trial.value, rel=1e-4)


def test_an_exhausted_space_ends_with_words(tmp_path: Path) -> None:
    result = search(tmp_path, space=space_from({"batch_size": [20, 50], "rule": ["sgd", "adam"]}), trials=30)
    assert len(result.trials) == 4
    assert "every setting of batch_size, rule has been tried" in result.notes


@pytest.mark.parametrize("halving", ["", "successive", "hyperband"])
def test_workers_change_nothing(tmp_path: Path, halving: str) -> None:
    options = {"trials": 30, "epochs": 9, "halving": halving, "confirm": 2}
    one, two = (search(tmp_path / str(count), workers=count, **options) for count in (1, 2))
    assert figures(one) == figures(two)
    assert one.best == two.best
    assert [s["layers.0.weight"].tolist() for s in one.states] == [s["layers.0.weight"].tolist() for s in two.states]


@pytest.mark.parametrize(
    "options", [{}, {"halving": "hyperband"}, {"tiers": True}, {"sampler": "tpe"}, {"sampler": "coarse-to-fine"}]
)
def test_an_interrupted_search_goes_on_to_the_same_numbers(tmp_path: Path, options: dict[str, Any]) -> None:
    wanted = {"trials": 24, "epochs": 4, "confirm": 2, **options}
    whole = search(tmp_path / "whole", **wanted)
    for stop_after in (1, 3, 5):
        folder = tmp_path / f"stopped-{stop_after}"
        heard: list[str] = []

        def tell(name: str, /, heard: list[str] = heard, **facts: Any) -> None:
            heard.append(name)

        partly = search(folder, tell=tell, interrupted=lambda n=stop_after, h=heard: h.count("trained") >= n, **wanted)
        assert not partly.complete
        assert figures(search(folder, **wanted)) == figures(whole)


def test_a_journal_that_was_cut_anywhere_is_gone_on_with(tmp_path: Path) -> None:
    wanted = {"trials": 20, "epochs": 9, "halving": "successive", "confirm": 2}
    whole = search(tmp_path / "whole", **wanted)
    content = (tmp_path / "whole" / "journal.jsonl").read_bytes()
    for share in (0.1, 0.35, 0.6, 0.85):
        folder = tmp_path / str(share)
        folder.mkdir()
        (folder / "journal.jsonl").write_bytes(content[: int(share * len(content))])
        again = search(folder, **wanted)  # what waited at a rung is lost too, and trained again: rounding may differ
        assert [(t.values, t.seed, t.status) for t in again.trials] == [
            (t.values, t.seed, t.status) for t in whole.trials
        ]
        assert [t.value for t in again.trials] == pytest.approx([t.value for t in whole.trials], rel=1e-3)
    (tmp_path / "0.1" / "journal.jsonl").write_bytes(b"nonsense\n" + content)
    with pytest.raises(InputError, match="line 1, is not valid JSON"):
        search(tmp_path / "0.1", **wanted)


def test_halving_gives_reasons_and_changes_no_survivor(tmp_path: Path) -> None:
    """Who goes on to the end has the figures of a training that never paused."""
    whole = search(tmp_path / "whole", trials=27, epochs=9, together=27)
    halved = search(tmp_path / "halved", trials=27, epochs=9, together=27, halving="successive")
    ended = [t for t in halved.trials if t.status == "complete"]
    cut = [t for t in halved.trials if t.status == "pruned"]
    assert len(ended) == 3
    assert len(cut) == 24
    for trial in cut:
        assert trial.reason.startswith("rank ")
        assert "the best" in trial.reason
        assert len(trial.curve) < len(ended[0].curve)
    for trial in ended:
        alone = whole.trials[trial.number]
        assert trial.values == alone.values
        assert trial.curve[-1] == pytest.approx(alone.curve[-1], rel=1e-3)
    rung = sorted(t.curve[0][1] for t in halved.trials)
    first = [t for t in cut if "after 11%" in t.reason]
    assert len(first) == 18
    assert min(t.value for t in first) >= rung[8]


def test_tiers_hold_the_rest_at_the_best_so_far(tmp_path: Path) -> None:
    space = space_from(
        {"learning_rate": (1e-3, 1.0), "rule": ["sgd", "adam"], "depth": (1, 3), "weight_decay": (1e-5, 0.1)}
    )
    result = search(tmp_path, space=space, trials=40, tiers=True)
    first, second, third = ([t for t in result.trials if t.stage == f"tier {k}"] for k in (1, 2, 3))
    assert {(t.values["rule"], t.values["depth"]) for t in first} == {("adam", 1)}
    assert len({t.values["learning_rate"] for t in second}) == len(second)  # the rate is retuned in every tier
    best = min([*first, *second], key=lambda t: t.value)
    assert {t.values["rule"] for t in third} == {best.values["rule"]}
    assert {t.values["depth"] for t in third} == {1, 2, 3}
    assert set(result.tables) == {"tier 1", "tier 2", "tier 3"}


def test_a_budget_of_time_is_kept(tmp_path: Path) -> None:
    import time

    began = time.monotonic()
    result = search(tmp_path, trials=None, seconds=6.0, epochs=2, confirm=2)
    assert time.monotonic() - began < 6.0 + 3.0
    assert len(result.searched) >= 16
    assert result.final


def test_the_length_is_tuned_last(tmp_path: Path) -> None:
    space = space_from(
        {
            "learning_rate": {"low": 1e-2, "high": 3e-2, "scale": "log"},
            "rule": "sgd",
            "epochs": {"low": 1, "high": 64, "scale": "log", "integer": True, "default": 2},
        }
    )
    result = search(tmp_path, space=space, trials=6, confirm=2)
    assert {t.values["epochs"] for t in result.searched} == {2}
    assert result.best is not None
    assert result.best.values["epochs"] > 2
    assert any("epochs instead of" in note for note in result.notes)


def test_what_is_reported_is_refitted(tmp_path: Path) -> None:
    result = search(tmp_path, trials=20, confirm=5)
    assert result.best is not None
    assert len(result.refits) == 5
    assert result.best.number in result.refits
    assert [t.seed for t in result.final] == [t.seed for t in result.final_default]
    assert not {t.seed for t in result.final} & {t.seed for t in result.trials if t.stage in ("all", "refit")}
    assert result.gain is not None
    differences = [a.value - b.value for a, b in zip(result.final_default, result.final, strict=True)]
    assert result.gain.mean == pytest.approx(np.mean(differences))


def test_one_seed_alone_claims_no_gain(tmp_path: Path) -> None:
    result = search(tmp_path, trials=12, confirm=1)
    assert len(result.final) == len(result.final_default) == 1
    assert result.gain is None


def test_nothing_finite_is_an_error(tmp_path: Path) -> None:
    space = space_from({"learning_rate": (1e30, 1e36), "rule": "sgd"})
    with pytest.raises(LuthierError, match="none of 4 trials gave a finite loss"):
        search(tmp_path, space=space, trials=4)


def test_effort_is_checked() -> None:
    with pytest.raises(ConfigError, match="give a number of trials"):
        Effort()
    with pytest.raises(ConfigError, match="trials must be a whole number of at least 1"):
        Effort(trials=0)
    with pytest.raises(ConfigError, match="did you mean 'sobol'"):
        Effort(trials=1, sampler="sobool")
    with pytest.raises(ConfigError, match="halving must be"):
        Effort(trials=1, halving="quarter")
    with pytest.raises(ConfigError, match="grid search cannot be combined with halving"):
        Effort(trials=9, sampler="grid", halving="successive")


# -- what is said about it --------------------------------------------------------------------------


def test_paired_differences_are_students() -> None:
    a, b = np.random.default_rng(0).normal(1.0, 0.1, 8), np.random.default_rng(1).normal(0.9, 0.1, 8)
    result, oracle = by_seed(a.tolist(), b.tolist()), stats.ttest_rel(a, b).confidence_interval()
    assert (result.low, result.high) == pytest.approx((oracle.low, oracle.high))
    assert result.clear == (stats.ttest_rel(a, b).pvalue < 0.05)


def test_variance_shares_are_those_of_a_known_function() -> None:
    """Ishigami and Homma: main effects 0.314, 0.442 and 0."""
    points = np.random.default_rng(0).random((600, 3))
    x = (points * 2 - 1) * np.pi
    values = np.sin(x[:, 0]) + 7 * np.sin(x[:, 1]) ** 2 + 0.1 * x[:, 2] ** 4 * np.sin(x[:, 0])
    shares = variance_shares(points, values).mean(0)
    assert shares == pytest.approx([0.314, 0.442, 0.0], abs=0.08)


def test_the_rate_matters_most_and_epsilon_least(tmp_path: Path) -> None:
    """S0-02."""
    space = space_from({"learning_rate": (1e-4, 1.0), "epsilon": (1e-10, 1e-5), "batch_size": [20, 50]})
    result = search(tmp_path, space=space, trials=60, workers=2)
    table = sensitivity(result.searched, space)
    assert table[0].name == "learning_rate"
    assert table[0].low > max(share.high for share in table[1:])
    assert next(share for share in table if share.name == "epsilon").share < 0.1
    assert not contradictions({"all": table})


def test_a_ranking_against_the_tiers_is_said() -> None:
    table = [VarianceShare("dropout", 3, 0.8, 0.7, 0.9), VarianceShare("learning_rate", 1, 0.05, 0.0, 0.2)]
    (finding,) = contradictions({"all": table})
    assert "dropout matters more than learning_rate" in finding.sentence


def trial(number: int, value: float, **values: Any) -> Trial:
    return Trial(number, {"learning_rate": 0.03, **values}, 0, "all", "complete", value)


def test_edges_are_said_unless_nothing_lies_beyond() -> None:
    space = space_from({"learning_rate": (1e-3, 1.0), "depth": (1, 4), "dropout": (0.0, 0.5)})
    result = at_edges(space, trial(0, 1.0, learning_rate=0.99, depth=1, dropout=0.0))
    assert [finding.evidence["name"] for finding in result] == ["learning_rate"]
    assert "widen the range of learning_rate above 1" in result[0].remedy
    assert [f.evidence["name"] for f in at_edges(space, trial(0, 1.0, depth=4, dropout=0.2))] == ["depth"]


def test_convergence_is_measured_in_seeds() -> None:
    steady = convergence([trial(k, 1.0 + 0.01 * (k % 3)) for k in range(20)], 0.02)
    falling = convergence([trial(k, 1.0 - 0.05 * k) for k in range(20)], 0.02)
    assert steady is not None
    assert falling is not None
    assert (steady.code, falling.code) == ("converged", "not-converged")
    assert convergence([trial(0, 1.0)], 0.1) is None


def test_noise_is_called_noise() -> None:
    draws = np.random.default_rng(0)
    same = {k: draws.normal(1, 0.1, 3).tolist() for k in range(5)}
    result = same_within_noise(same, min(same, key=lambda k: np.mean(same[k])))
    assert result is not None
    assert "equal within the noise" in result.sentence
    apart = {k: (k + draws.normal(0, 0.01, 3)).tolist() for k in range(5)}
    assert same_within_noise(apart, 0) is None


# -- modules of one's own ---------------------------------------------------------------------------


def build(h: dict[str, Any]) -> nn.Module:
    layers = nn.Linear(6, h["units"]), nn.LayerNorm(h["units"]), nn.ReLU(), nn.Dropout(h.get("drop", 0.0))
    return nn.Sequential(*layers, nn.Linear(h["units"], 2))


MODULE_SPACE = {"learning_rate": (1e-3, 0.1), "units": [4, 8], "drop": (0.0, 0.5)}


def test_modules_of_equal_shapes_train_together_whatever_their_dropout(tmp_path: Path) -> None:
    nets = BuiltNetworks(TRAINING, VALIDATION, "softmax", build)
    groups = {nets.group({"units": u, "drop": p}, 2) for u in (4, 8) for p in (0.0, 0.2, 0.4)}
    assert len(groups) == 2
    space = space_from(MODULE_SPACE)
    together = search(tmp_path / "a", space=space, nets=nets, trials=8)
    alone = search(
        tmp_path / "b", space=space, nets=BuiltNetworks(TRAINING, VALIDATION, "softmax", build), trials=8, chunk=1
    )
    for one, other in zip(together.trials, alone.trials, strict=True):
        assert one.values == other.values
        assert one.curve[0][1] == pytest.approx(other.curve[0][1], rel=1e-3)


def test_dropout_is_each_members_own() -> None:
    """Members of one stack that differ in dropout alone are as each would be in a stack of its own."""
    from luthier.search.network_jobs import Job

    nets = BuiltNetworks(TRAINING, VALIDATION, "softmax", build, dtype=torch.float32)
    trials = [Trial(k, {"units": 8, "drop": p, "learning_rate": 0.01}, k, "all") for k, p in enumerate((0.0, 0.3, 0.6))]
    for layout in ("looped", "vmapped"):
        job = Job("x", tuple(trials), 2, layout=layout)
        together = nets.train(job, None, lambda: False).trials
        for one in together:
            single = nets.train(replace(job, trials=(trials[one.number],)), None, lambda: False).trials[0]
            assert one.value == pytest.approx(single.value, rel=1e-4)
    assert len({one.value for one in together}) == 3


def test_what_cannot_be_compared_does_not_stack() -> None:
    class Scaled(nn.Module):
        def __init__(self, scale: float) -> None:
            super().__init__()
            self.linear, self.scale = nn.Linear(6, 2), scale

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.linear(x) * self.scale

    nets = BuiltNetworks(TRAINING, VALIDATION, "softmax", lambda h: Scaled(h["scale"]))
    assert nets.architecture({"scale": 1.0}) != nets.architecture({"scale": 2.0})
    text, opaque = signature(nn.Linear(2, 3))
    assert not opaque
    assert text != signature(nn.Linear(2, 3, bias=False))[0]


def test_tune_hands_back_the_network(tmp_path: Path) -> None:
    result = luthier.tune(
        build, (X, Y), MODULE_SPACE, trials=8, epochs=3, confirm=2, workers=1, run=tmp_path / "run", tiers=False
    )
    module = result.module()
    assert set(result.best) == {"learning_rate", "units", "drop"}
    assert module(X[:5]).shape == (5, 2)
    assert result.trials.height == len(result.outcome.trials)
    assert {"number", "value", "units", "drop", "stage"} <= set(result.trials.columns)
    assert result.sensitivity().height in (0, 3)
    assert "measured" in repr(result)
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert {"journal.jsonl", "trials.parquet", "search.json", "report.html", "run.json"} <= names
    again = luthier.tune(
        build, (X, Y), MODULE_SPACE, trials=8, epochs=3, confirm=2, workers=1, run=tmp_path / "run", tiers=False
    )
    assert figures(again.outcome) == figures(result.outcome)
    with pytest.raises(InputError, match="holds another search"):
        luthier.tune(build, (X, 1 - Y), MODULE_SPACE, trials=8, epochs=3, confirm=2, run=tmp_path / "run", tiers=False)


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "a name that nobody reads": ({"space": {**MODULE_SPACE, "unitz": [3]}}, "did you mean 'units'"),
    "build reads more": ({"space": {"learning_rate": (1e-3, 0.1)}}, "build reads 'units'"),
    "no module": ({"build": lambda h: 3, "space": {"learning_rate": (1e-3, 0.1)}}, "build does not return a module"),
    "too few rows": ({"data": (X[:3], Y[:3])}, "too few rows"),
    "a budget of steps": ({"trials": None, "budget": "100steps"}, "must be a time"),
    "neither trials nor budget": ({"trials": None}, "give a number of trials"),
    "nowhere to train": ({"on": "moon"}, "cannot train on"),
    "targets that do not fit": ({"data": (X, Y[:10])}, "differ in length"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_request_is_explained(name: str) -> None:
    options, words = WRONG[name]
    asked: dict[str, Any] = {
        "build": build,
        "data": (X, Y),
        "space": MODULE_SPACE,
        "trials": 2,
        "epochs": 1,
        "workers": 1,
    }
    asked |= options
    with pytest.raises(InputError, match=words):
        luthier.tune(asked.pop("build"), asked.pop("data"), asked.pop("space"), **asked)


def test_dense_specs_are_tuned_too() -> None:
    result = luthier.tune(
        DenseSpec.deferred((8,)),
        (X, X[:, 0]),
        {"learning_rate": (1e-3, 0.1), "width": [4, 8]},
        trials=4,
        epochs=2,
        workers=1,
    )
    assert result.module()(X[:3], torch.zeros(3, 0, dtype=torch.int64)).shape == (3, 1)
    assert math.isfinite(result.value)


def broken_at_7(broken: Callable[[], Any]) -> Callable[[Any], Any]:
    return lambda h: broken() if h["units"] == 7 else nn.Linear(6, 2)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda h: nn.Linear(6, 4 // (7 - h["units"])), "build fails for the setting .*units=7[^$]*ZeroDivisionError"),
        (lambda h: nn.Linear(6, h["width"]), "build reads 'width', which the setting .*units=5 does not have"),
        (broken_at_7(lambda: {}["x"]), "build fails for the setting .*units=7[^$]*KeyError"),
        (broken_at_7(lambda: "net"), "build does not return a module for the setting .*units=7"),
        (broken_at_7(lambda: nn.Linear(8, 2)), "with .*units=7.*: the module fails"),
        (broken_at_7(nn.ReLU), "with .*units=7.*: the module has no parameters to train"),
    ],
)
def test_an_error_names_the_setting(wrong: Any, words: str) -> None:
    """Of all that were drawn, the one whose module cannot be built, or does not run."""
    data = torch.randn(40, 6), torch.randint(0, 2, (40,))
    space = {"learning_rate": (1e-3, 1e-1), "units": [5, 7]}
    with pytest.raises(InputError, match=words):
        luthier.tune(wrong, data, space, trials=6, epochs=1, confirm=0, workers=1, tiers=False)


@pytest.mark.parametrize(
    "space",
    [
        3,
        {},
        {"units": []},
        {"units": (8, 4)},
        {"learning_rate": ["fast"], "units": [4, 5]},
        {"batch_size": [0, 4]},
        {"batch_size": [2.5]},
        {1: (2, 3)},
        {"learning_rate": None},
        {"learning_rate": (0.1, float("nan"))},
        {"epochs": [0]},
        {"rule": ["sgdd"]},
    ],
)
def test_spaces_that_cannot_be_searched_are_refused(space: Any) -> None:
    data = torch.randn(40, 6), torch.randint(0, 2, (40,))
    with pytest.raises(InputError):
        luthier.tune(lambda h: nn.Linear(6, 2), data, space, trials=2, epochs=1, confirm=0, workers=1)


def test_weights_that_a_cluster_sends_are_read_without_a_warning() -> None:
    """Ray's arrays lie in memory that must not be written to, which PyTorch warns of; here a warning is an error."""
    known = built(networks().base, seed=5).state_dict()
    state = {name: value.numpy().copy() for name, value in known.items()}
    for array in state.values():
        array.flags.writeable = False
    net = networks().module({}, 1, state)
    assert all(torch.equal(value, known[name]) for name, value in net.state_dict().items())

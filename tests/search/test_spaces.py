"""Scales and spaces: what is drawn, and what is refused."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from luthier.engine.members.flat_rows import KINDS
from luthier.errors import ConfigError, InputError
from luthier.nets import DenseSpec, NumberEmbedding, PiecewiseEmbedding, TargetEncoding
from luthier.rows import Inputs, Rows
from luthier.search import REGISTRY, SCALES, Choice, DenseNetworks, Number, Scale, Space, space_from, usual_space
from luthier.search.network_jobs import Job
from luthier.search.spaces.registry import RATES_OF
from luthier.search.spaces.samplers import Random, Request
from luthier.search.spaces.stages import make_stages, shared_out
from luthier.search.spaces.trials import Trial


def draws(space: Space, count: int, seed: int = 0) -> list[dict[str, Any]]:
    return Random().ask(Request(space, count, 0, count, [], seed)).settings


@pytest.mark.parametrize("scale", SCALES)
@given(share=st.floats(0, 1, allow_subnormal=False))
def test_every_scale_comes_back(scale: str, share: float) -> None:
    dimension = Number(0.1, 0.9, scale=scale)
    assert dimension.share(dimension.at(share)) == pytest.approx(share, abs=1e-6)


def test_the_rate_is_log_uniform() -> None:
    """S0-05: a quarter of the draws in each decade of 1e-4 to 1; uniformly, 90 % would lie above 0.1."""
    rates = [s["learning_rate"] for s in draws(space_from({"learning_rate": (1e-4, 1.0)}), 4000)]
    decades = Counter(math.floor(math.log10(rate)) for rate in rates)
    assert stats.chisquare([decades[k] for k in (-4, -3, -2, -1)]).pvalue > 1e-3
    plain = [s["x"] for s in draws(Space({"x": Number(1e-4, 1.0)}), 4000)]
    assert np.mean(np.array(plain) > 0.1) == pytest.approx(0.9, abs=0.02)


def test_momentum_is_uniform_in_the_log_of_its_window() -> None:
    """S0-06: log10(1 - beta) uniform on [-3, -1], checked by Kolmogorov and Smirnov; windows 10, 100, 1000."""
    space = space_from({"momentum": (0.9, 0.999), "rule": "sgd"})
    result = np.array([s["momentum"] for s in draws(space, 2000)])
    assert result.min() >= 0.9
    assert result.max() <= 0.999
    assert stats.kstest(np.log10(1 - result), stats.uniform(-3, 2).cdf).pvalue > 1e-3
    assert stats.kstest(result, stats.uniform(0.9, 0.099).cdf).pvalue < 1e-6  # a uniform draw would fail
    dimension = space.dimensions["momentum"]
    windows = [1 / (1 - float(dimension.at(share))) for share in (0, 0.5, 1)]
    assert windows == pytest.approx([10, 100, 1000])


def test_whole_numbers_fill_equal_shares() -> None:
    """S0-07: layers from 2, 3, 4; units uniform; integers only."""
    space = Space({"layers": Number(2, 4, integer=True), "units": Number(50, 59, integer=True)})
    result = draws(space, 3000)
    for name, values in (("layers", range(2, 5)), ("units", range(50, 60))):
        counts = Counter(s[name] for s in result)
        assert set(counts) == set(values)
        assert all(type(s[name]) is int for s in result)
        assert stats.chisquare(list(counts.values())).pvalue > 1e-3


def test_any_transform_with_its_inverse_is_a_scale() -> None:
    """S0-08."""
    square = Scale("square root", math.sqrt, lambda u: u * u)
    result = np.array([s["x"] for s in draws(Space({"x": Number(0.0, 9.0, scale=square)}), 2000)])
    assert stats.kstest(np.sqrt(result) / 3, "uniform").pvalue > 1e-3


def test_conditions_hold() -> None:
    space = space_from({"schedule": ["constant", "restarts"], "restart_period": (0.1, 0.5), "learning_rate": (0.01, 1)})
    for setting in draws(space, 200):
        assert ("restart_period" in setting) == (setting["schedule"] == "restarts")
    held = space.holding(["restart_period", "learning_rate"], {"schedule": "restarts"})
    assert held.fixed["schedule"] == "restarts"
    assert held.dimensions["restart_period"].when


def test_a_file_and_python_say_the_same(tmp_path: Path) -> None:
    path = tmp_path / "space.toml"
    path.write_text(
        'batch_size = 64\nrule = ["sgd", "adam"]\nlearning_rate = { low = 1e-4, high = 1.0, scale = "log" }\n'
    )
    message = space_from({"batch_size": 64, "rule": ["sgd", "adam"], "learning_rate": (1e-4, 1.0)})
    assert space_from(path).to_json() == message.to_json()


MISTAKES: dict[str, tuple[Any, str]] = {
    "nothing": ({}, "the space is empty"),
    "only fixed values": ({"rule": "adam"}, "the space is empty"),
    "log of a negative number": ({"learning_rate": (-1.0, 1.0)}, "is outside the valid range"),
    "log of zero": ({"x": {"low": 0, "high": 1, "scale": "log"}}, "both bounds must be above 0"),
    "window of one": ({"x": {"low": 0, "high": 1, "scale": "window"}}, "both bounds must be below 1"),
    "upside down": ({"learning_rate": (1.0, 0.1)}, "low must be below high"),
    "unknown scale": ({"x": {"low": 1, "high": 2, "scale": "logg"}}, "did you mean 'log'"),
    "unknown key": ({"x": {"low": 1, "high": 2, "defualt": 1}}, "did you mean 'default'"),
    "half a range": ({"x": {"low": 1}}, "a table needs low and high"),
    "text as a bound": ({"x": {"low": "a", "high": 2}}, "low must be a number"),
    "default outside": ({"x": {"low": 1, "high": 2, "default": 3}}, "is not between"),
    "no options": ({"rule": []}, "there are no options"),
    "twice the same option": ({"width": [16, 16]}, "is given twice"),
    "unknown rule": ({"rule": ["adam", "sgdd"]}, "did you mean 'sgd'"),
    "parent that is not there": ({"x": {"low": 1, "high": 2, "when": {"y": 1}}}, "which is not in the space"),
    "parent that never is so": ({"rule": "adam", "momentum": (0.5, 0.9)}, "momentum is never used"),
    "parent by default": ({"momentum": (0.5, 0.9)}, "momentum is never used"),
    "circle": (
        {"a": {"low": 1, "high": 2, "when": {"b": 1}}, "b": {"low": 1, "high": 2, "when": {"a": 1}}},
        "depends on itself",
    ),
    "whole numbers that are not": ({"x": {"low": 1.5, "high": 3, "integer": True}}, "whole numbers"),
    "tier that is not": ({"x": {"low": 1, "high": 2, "tier": 9}}, "tier must be 1 to"),
    "a list as a value": ({"x": {"low": [1], "high": 2}}, "low must be a number"),
    "nothing at all": ({"x": None}, "a range, options"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_wrong_space_is_explained(name: str) -> None:
    described, words = MISTAKES[name]
    with pytest.raises(ConfigError, match=words):
        space_from(described)


def test_all_mistakes_come_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        space_from({"learning_rate": (1.0, 0.1), "rule": ["sgdd"], "width": []})
    assert len(caught.value.mistakes) == 3


def test_a_name_that_no_model_takes() -> None:
    with pytest.raises(ConfigError, match="did you mean 'learning_rate'"):
        space_from({"learning_rat": (0.1, 1)}, taken=REGISTRY)


@pytest.mark.parametrize("content", [b"\xff\xfe", b"rule = [", b""])
def test_a_file_that_is_no_space(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "space.toml").write_bytes(content)
    with pytest.raises(InputError):
        space_from(tmp_path / "space.toml")
    with pytest.raises(InputError, match="there is no file"):
        space_from(tmp_path / "other.toml")


def test_the_registry_names_what_the_documents_do() -> None:
    """S0-01, S0-02: each with tier, scale, default range and reason; usable as a space."""
    named = ("learning_rate", "momentum", "beta1", "beta2", "epsilon", "width", "depth", "decay", "batch_size")
    assert set(named) <= set(REGISTRY)
    assert all(hyper.reason for hyper in REGISTRY.values())
    tiers = {name: REGISTRY[name].tier for name in named}
    assert tiers["learning_rate"] == 1
    assert {tiers[name] for name in ("momentum", "width", "batch_size")} == {2}
    assert {tiers[name] for name in ("beta1", "beta2", "epsilon")} == {4}
    assert usual_space([*named, "rule", "schedule"]).default()["learning_rate"] == 3e-3
    for hyper in REGISTRY.values():
        assert not hyper.usual.mistakes()


def test_every_member_hyper_parameter_is_in_the_registry() -> None:
    from dataclasses import fields

    from luthier.engine import Member

    apart = {
        "fold",
        "noise",
        "mixup",
        "spec",
        "seed",
        "label",
        "betas",
        "penalise_biases",
        "layer_rates",
        "frozen_until",
        "rate_factors",  # by kind, see the next
        "schedules",  # of others than the rate, see the next
    }
    assert {field.name for field in fields(Member)} - apart <= set(REGISTRY)


def test_every_part_of_a_dense_network_is_in_the_registry_and_reaches_the_network() -> None:
    """What a setting names differs from the network without it; nothing that a rate can multiply is left out."""
    part = Rows(Inputs(numbers=torch.zeros(6, 3)), torch.zeros(6, dtype=torch.int64))
    networks = DenseNetworks(part, part, "softmax", DenseSpec(3, (4,), 2), numbers=2)
    plain = networks.spec({})
    assert networks.spec({"number_frequencies": 0}) == plain
    chosen: dict[str, Any] = {"number_frequencies": 8, "number_width": 3, "number_deviation": 0.3, "input_scale": True}
    assert networks.spec(chosen).number_embedding == NumberEmbedding(2, 8, 3, 0.3)
    assert networks.spec(chosen).input_scale
    pieces = networks.spec({"number_frequencies": 0, "number_pieces": 8, "parametric": True})
    assert pieces.number_embedding == PiecewiseEmbedding(((0.0,) * 9,) * 2)
    assert pieces.parametric
    assert networks.spec({"biases_from_data": True}).biases_from_data
    assert networks.spec({"ensemble": 4}).ensemble == 4
    coded = DenseNetworks(part, part, "softmax", DenseSpec(3, (4,), 2, embeddings=((3, 2), (40, 8))), numbers=2)
    assert coded.spec({"target_encoding": True}).target_encoding == TargetEncoding((1,), (40,), 2)
    assert set(RATES_OF.values()) == set(KINDS) - {"weights"}
    rates: dict[str, Any] = {name: 0.5 + k for k, name in enumerate(RATES_OF)}
    (member,) = networks.members(Job("one", (Trial(0, {**rates, "width_scaled": True}, 1, "tier 1"),), 1))
    kinds = {"dropout_schedule": "flat-cosine", "decay_schedule": "constant", "smoothing_schedule": "coslog4"}
    (other,) = networks.members(Job("one", (Trial(0, dict(kinds), 1, "tier 1"),), 1))
    followed = {name: schedule.kind for name, schedule in other.schedules}
    assert followed == {"dropout": "flat-cosine", "label_smoothing": "coslog4"}
    assert dict(member.rate_factors) == {RATES_OF[name]: rate for name, rate in rates.items()}
    assert member.width_scaled


def test_stages_open_in_order() -> None:
    names = ["learning_rate", "rule", "momentum", "width", "depth", "weight_decay", "epsilon"]
    space = usual_space(names)
    few, notes = make_stages(space, tiers=True, trials=60)
    assert [stage.name for stage in few] == ["tier 1", "tier 2", "tier 3"]
    assert all("learning_rate" in stage.dimensions for stage in few)
    assert "epsilon kept at the default" in notes[0]
    many, _ = make_stages(space, tiers=True, trials=300)
    assert many[-1].dimensions == ("learning_rate", "epsilon")
    none, notes = make_stages(space, tiers=True, trials=5)
    assert [stage.name for stage in none] == ["tier 1"]
    assert any("too few" in note for note in notes)
    (flat,), _ = make_stages(space, tiers=False, trials=60)
    assert set(flat.dimensions) == set(names) - {"epsilon"} or set(flat.dimensions) == set(names)
    assert sum(shared_out(61, few)) == 61


def test_a_choice_keeps_its_own_kinds() -> None:
    assert Choice((False, True)).at(0.9) is True
    assert Choice((1, "a")).share("a") == 0.75

"""The contract of every sampler: inside the space, from the request alone, nothing twice."""

from __future__ import annotations

import pytest
from tests.oracles.searching import SPACE, distance, search

from luthier.search import SAMPLERS, Choice, Number, Space, Trial
from luthier.search.samplers import Request, Unseen, sampler_named


@pytest.mark.parametrize("name", SAMPLERS)
def test_settings_lie_in_the_space(name: str) -> None:
    for trial in search(sampler_named(name), SPACE, distance, 16 if name == "gp" else 40):  # it slows down with them
        values = trial.values
        assert 1e-4 <= values["rate"] <= 1.0
        assert 0.5 <= values["beta"] <= 0.999
        assert isinstance(values["units"], int)
        assert 1 <= values["units"] <= 40
        assert values["fixed"] == 3
        assert ("period" in values) == (values["rule"] == "sgd")


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_proposal_follows_from_the_request_alone(name: str) -> None:
    """A sampler that has been asked before proposes what a new one does, so a killed search repeats itself."""
    old = sampler_named(name)
    told = search(old, SPACE, distance, 16)
    request = Request(SPACE, 8, 16, 48, told, 0)
    assert old.ask(request).settings == sampler_named(name).ask(request).settings
    assert sampler_named(name).ask(request).settings == sampler_named(name).ask(request).settings


@pytest.mark.parametrize("name", [name for name in SAMPLERS if name not in ("grid", "gp")])
def test_another_seed_gives_other_settings(name: str) -> None:
    one, two = (search(sampler_named(name), SPACE, distance, 8, seed=seed) for seed in (0, 1))
    assert [t.values for t in one] != [t.values for t in two]


@pytest.mark.parametrize("name", [name for name in SAMPLERS if name not in ("grid", "gp")])
def test_no_setting_comes_twice_and_a_small_space_ends(name: str) -> None:
    space = Space({"rule": Choice(("sgd", "adam")), "units": Number(1, 5, integer=True)})
    unseen, result = Unseen(sampler_named(name)), []
    told: list[Trial] = []
    asked = 0
    for _ in range(12):
        proposal, used = unseen.ask(Request(space, 3, asked, 36, told, 0), space)
        asked += used
        result += proposal.settings
        told += [Trial(len(told), v, 0, "", "complete", float(v["units"])) for v in proposal.settings]
    assert len(result) == len({space.key(values) for values in result}) == 10

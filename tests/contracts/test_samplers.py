"""The contract of every sampler: inside the space, from the request alone, nothing twice; and mistakes it sees."""

from __future__ import annotations

import pytest

from luthier.search import SAMPLERS
from luthier.search.spaces.samplers import Proposal, Random, Request
from luthier.seeds import numpy_generator
from luthier.testing import check_sampler


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_sampler_keeps_its_contract(name: str) -> None:
    draws = name not in ("grid", "gp")
    check_sampler(name, trials=16 if name == "gp" else 40, draws=draws, exhausts=draws)  # gp slows down with them


class Wide(Random):
    def ask(self, request: Request) -> Proposal:
        settings = super().ask(request).settings
        return Proposal([{**values, "rate": 2 * values["rate"]} for values in settings])


class Counting(Random):
    def __init__(self) -> None:
        self.asked = 0

    def ask(self, request: Request) -> Proposal:
        self.asked += 1
        return super().ask(Request(request.space, request.count, self.asked, request.total, (), request.seed))


class Fixed(Random):
    def ask(self, request: Request) -> Proposal:
        return super().ask(Request(request.space, request.count, request.asked, request.total, (), 0))


class Poor(Random):
    """Draws from the first half of each range alone."""

    def ask(self, request: Request) -> Proposal:
        rows = [numpy_generator(request.seed, request.asked + k).random(9) / 2 for k in range(request.count)]
        return Proposal([request.space.values(dict(zip(request.space.dimensions, r, strict=False))) for r in rows])


@pytest.mark.parametrize(
    ("build", "message"),
    [(Wide, "rate"), (Counting, "request alone"), (Fixed, "another seed"), (Poor, "of ten settings")],
)
def test_the_contract_sees_what_breaks_it(build: type[Random], message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_sampler(build)

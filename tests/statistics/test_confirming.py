"""Claims hold the truth on made losses: rows, groups and trainings each with a luck of their own."""

from __future__ import annotations

import numpy as np
import pytest

from luthier.statistics.confirming import UNKNOWN, Answer, Asked, answer, answers, still_open
from luthier.statistics.paired import SeedSpread

RNG = np.random.default_rng


def made(rng: np.random.Generator, worth: float, training: float = 0.01, groups: int = 0) -> tuple[np.ndarray, ...]:
    """Losses [2, 300] with and without a thing worth a share of the loss; the truth is that share.

    Rows differ in loss and in what the thing does for them, whole groups alike; trainings in the mean.
    """
    n = 300
    units = rng.integers(0, groups, n) if groups else np.arange(n)
    rows = rng.exponential(size=n)
    own = 0.2 * rng.normal(size=units.max() + 1)[units]

    def setting(mean: np.ndarray) -> np.ndarray:
        return mean + 0.1 * rng.normal(size=(2, n)) + training * rng.normal(size=(2, 1))

    return setting(rows), setting(rows * (1 + worth) + own), units


def spread_of(rng: np.random.Generator, training: float = 0.01) -> SeedSpread:
    """The luck of trainings as fifteen other questions show it."""
    spread = SeedSpread()
    spread.add([made(rng, 0.0, training)[1] - made(rng, 0.0, training)[0] for _ in range(15)])
    return spread


@pytest.mark.parametrize(("training", "groups"), [(0.01, 0), (0.05, 0), (0.01, 30)])
def test_claims_hold_the_truth(training: float, groups: int) -> None:
    """Of 600 intervals 93 to 98 % hold the truth: 95 % less or more than two standard errors of 0.9 %."""
    rng, held = RNG(0), 0
    for _ in range(600):
        reference, losses, units = made(rng, 0.05, training, groups)
        spread = SeedSpread()
        spread.add([losses - reference, *(np.subtract(*made(rng, 0.0, training)[:2]) for _ in range(15))])
        found = answer(reference, losses, units, spread, widening=1.0)
        held += found.low <= 0.05 <= found.high
    assert 0.93 <= held / 600 <= 0.98


def test_what_helps_is_found_and_nothing_is_seldom_claimed() -> None:
    rng, spread = RNG(1), spread_of(RNG(2))
    kinds = {worth: [answer(*made(rng, worth), spread).kind for _ in range(300)] for worth in (0.1, 0.0, -0.1)}
    assert kinds[0.1].count("helps") > 290
    assert kinds[-0.1].count("hurts") > 290
    assert kinds[0.0].count("helps") + kinds[0.0].count("hurts") < 30  # 5 % of 300, and two standard errors beyond


def test_a_sure_nothing_is_an_answer_and_an_unsure_one_is_not() -> None:
    rows = RNG(0).exponential(size=(1, 4000)).repeat(2, 0)
    noise = 0.01 * RNG(1).normal(size=rows.shape)
    assert answer(rows, rows + noise, np.arange(4000), SeedSpread()).kind == "no-difference"
    assert answer(rows, rows + noise, np.arange(4000), SeedSpread(), margin=1e-5).kind == "unknown"


def test_widening_widens() -> None:
    reference, losses, units = made(RNG(0), 0.1)
    one, other = (answer(reference, losses, units, spread_of(RNG(1)), widening) for widening in (1.0, 1.5))
    assert other.half_width == pytest.approx(1.5 * one.half_width)
    assert other.size == one.size


def test_rows_of_a_unit_are_one_observation() -> None:
    """Each row four times over: summed, the interval is that of the rows; counted apart it would be half as wide."""
    reference, losses, units = made(RNG(0), 0.1)
    spread = spread_of(RNG(1))
    known = answer(reference, losses, units, spread)
    copied = answer(*(np.tile(one, (1, 4)) for one in (reference, losses)), np.tile(units, 4), spread)
    assert copied.low == pytest.approx(known.low)
    assert copied.high == pytest.approx(known.high)


@pytest.mark.parametrize("what", ["one unit", "one partition", "no rows", "a loss of 0", "a network that diverged"])
def test_what_cannot_be_known_is_unknown(what: str) -> None:
    reference, losses, units = made(RNG(0), 0.1)
    if what == "one unit":
        units = np.zeros_like(units)
    elif what == "one partition":
        reference, losses = reference[:1], losses[:1]
    elif what == "no rows":
        reference, losses, units = reference[:, :0], losses[:, :0], units[:0]
    elif what == "a loss of 0":
        reference = np.zeros_like(reference)
    else:
        losses = np.where(units == 3, np.inf, losses)
    assert answer(reference, losses, units, SeedSpread()) == UNKNOWN == Answer("unknown", 0.0, -np.inf, np.inf)


def sequentially(rng: np.random.Generator, worth: float, most: int) -> list[str]:
    """Answers to sixteen questions about things of one worth, whose trainings differ by 5 % of the loss."""
    n, units = 300, np.arange(300)
    rows = rng.exponential(size=n)

    def setting(share: float) -> np.ndarray:
        return rows * (1 + share) + 0.05 * rng.normal(size=(most, n)) + 0.035 * rng.normal(size=(most, 1))

    reference, losses = setting(0.0), {f"{k}": setting(worth) for k in range(16)}
    asked = {name: Asked(some[:2]) for name, some in losses.items()}
    for count in range(3, most + 1):
        left = [name for name in still_open(reference, asked, units) if asked[name].partitions == count - 1]
        asked |= {name: Asked(losses[name][:count]) for name in left}
    return [one.kind for one in answers(reference, asked, units).values()]


def test_more_partitions_answer_what_two_leave_open_and_claim_no_more() -> None:
    found = {
        (worth, most): [kind for seed in range(12) for kind in sequentially(RNG(seed), worth, most)]
        for worth in (0.05, 0.0)
        for most in (2, 12)
    }
    assert found[0.05, 12].count("helps") > 0.8 * 192
    assert found[0.05, 12].count("helps") > 2 * found[0.05, 2].count("helps")
    nothing = found[0.0, 12]
    # 5 % of 192 and three standard errors: questions of one draw share their reference
    assert nothing.count("helps") + nothing.count("hurts") < 0.11 * 192


def test_what_is_answered_is_not_asked_again() -> None:
    rows = RNG(0).exponential(size=(1, 300)).repeat(2, 0)
    asked = {"much": Asked(1.5 * rows), "nothing": Asked(rows), "lost": Asked(np.full((2, 300), np.nan))}
    assert still_open(rows, asked, np.arange(300)) == []


def test_luck_of_trainings_is_judged_by_what_other_settings_did_to_the_same_loss() -> None:
    """Two partitions of a question alone agree by chance now and then, and say that trainings have no luck: it claims
    a difference too often where there is none. Differences of other settings say how much luck there is."""
    rng = RNG(5)
    pairs = [made(rng, 0.0, training=0.05) for _ in range(300)]
    luck = [np.subtract(*made(rng, 0.0, training=0.05)[:2]).mean(1) for _ in range(15)]

    def claims(known: list[np.ndarray]) -> int:
        found = (answers(one, {"it": Asked(other)}, units, luck=known)["it"].kind for one, other, units in pairs)
        return sum(kind in ("helps", "hurts") for kind in found)

    assert claims(luck) <= 15 < claims([])  # of 300, 5 %
    reference, losses, units = pairs[0]
    assert still_open(reference, {"it": Asked(losses)}, units, luck=luck) == ["it"]


def test_what_was_cut_takes_nothing_from_the_others() -> None:
    """A question of one partition is unknown, and the others are answered as if it had not been asked."""
    rng = RNG(3)
    reference, other, units = made(rng, 0.0)
    asked = {f"{k}": Asked(made(rng, 0.0)[1] - made(rng, 0.0)[0] + reference) for k in range(8)}
    cut = Asked(other[:1])
    assert answers(reference, asked | {"cut": cut}, units) == answers(reference, asked, units) | {"cut": UNKNOWN}

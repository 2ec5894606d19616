"""What the documents say of trainings on digits, on so few of scikit-learn's that each claim takes a second.

The labs measure the same on MNIST. Here 60 pictures stand for Nielsen's thousand and 1,200 for all; networks are his:
sigmoids, batches of 10, plain descent. Bounds are what four seeds came to, with room for another machine's rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.svm import SVC
from torch import nn

from luthier.assess.learning_curve import fit_power_law
from luthier.engine import Member, ModuleSpec, Outcome, Settings, train
from luthier.labs.augmenting import fives
from luthier.labs.batch_norm import drift_of_means
from luthier.labs.depth import digits_part
from luthier.labs.lab import Bench
from luthier.labs.nielsen import output_errors
from luthier.nets import Augment, DenseSpec
from luthier.rows import Inputs, Rows

FEW, ALL, EPOCHS, SEEDS = 60, 1200, 400, range(4)


def part(first: int, last: int) -> Rows:
    digits = load_digits()
    rows = np.random.default_rng(0).permutation(len(digits.data))[first:last]
    X, y = torch.tensor(digits.data[rows] / 16).float(), torch.tensor(digits.target[rows]).long()
    return Rows(Inputs(numbers=X), y)


NEW = part(ALL, 1797)


def networks(hidden: int = 30, rate: float = 1.0, *, initialiser: str = "large", l2: float = 0.0) -> list[Member]:
    """One for each seed, its weights and biases from N(0, 1) or smaller."""
    spec = DenseSpec(64, (hidden,), 10, activation="sigmoid", initialiser=initialiser)
    return [Member(spec, seed, rate, momentum=0.0, l2=l2) for seed in SEEDS]


class Learnt(NamedTuple):
    """The networks at the end; accuracy in % and cost on new pictures, and the training cost, by epoch [M, E]."""

    outcome: Outcome
    accuracy: np.ndarray
    cost: np.ndarray
    training: np.ndarray


def learn(members: Sequence[Member], rows: Rows, epochs: int, *, loss: str = "binary", every: int = 1) -> Learnt:
    steps = -(-len(rows) // 10)
    settings = Settings(loss, "sgd", 10, epochs * steps, every * steps, metrics=("accuracy",))
    outcome = train(members, rows, NEW, settings)
    table = outcome.history.to_frame().sort("member", "step")
    columns = (
        table[name].to_numpy().reshape(len(members), -1) for name in ("accuracy", "validation_loss", "train_loss")
    )
    accuracy, cost, training = columns
    return Learnt(outcome, 100 * accuracy, cost, training)


def right(outcome: Outcome, rows: Rows) -> np.ndarray:
    """How many of the rows each network has right, in % [M]."""
    hits = outcome.logits(rows.numbers).argmax(-1) == rows.targets
    return np.asarray(100 * hits.double().mean(1))


@pytest.fixture(scope="module")
def few() -> Learnt:
    """A handful of pictures, 400 epochs: four networks without a penalty, the same with one on their weights."""
    plain = networks()
    return learn([*plain, *(replace(one, l2=0.05) for one in plain)], part(0, FEW), EPOCHS, every=4)


def test_few_pictures_give_some_eighty_percent(few: Learnt) -> None:
    assert ((few.accuracy[:4].max(1) > 78) & (few.accuracy[:4].max(1) < 88)).all()


def test_the_training_cost_falls_on_and_on(few: Learnt) -> None:
    quarters = few.training[:4, [2, 24, 49, 74, 99]]
    assert (np.diff(quarters, axis=1) < 0).all()
    assert (quarters[:, -1] < 0.02).all()


def test_accuracy_on_new_pictures_stalls_meanwhile(few: Learnt) -> None:
    assert (np.ptp(few.accuracy[:4, 50:], 1) < 1.5).all()
    assert (few.accuracy[:4, 50:] > 78).all()


def test_the_cost_on_new_pictures_is_lowest_early(few: Learnt) -> None:
    assert (few.cost[:4].argmin(1) < 25).all()
    assert (few.cost[:4, -1] > 1.08 * few.cost[:4].min(1)).all()


def test_in_the_end_every_training_picture_is_right(few: Learnt) -> None:
    assert (right(few.outcome, part(0, FEW)) == 100).all()


def test_a_penalty_on_weights_helps(few: Learnt) -> None:
    gain = few.accuracy[4:, -1] - few.accuracy[:4, -1]
    assert gain.mean() > 0.5
    assert (few.cost[4:, -1] < few.cost[:4, -1]).all()


def test_penalised_networks_of_other_seeds_say_nearly_the_same(few: Learnt) -> None:
    """How far the outputs of two networks lie from each other: with the penalty less than two thirds as far."""
    outputs = torch.sigmoid(few.outcome.logits(NEW.numbers)).flatten(1)
    free, held = (float(torch.pdist(outputs[cut]).mean()) for cut in (slice(4), slice(4, None)))
    assert held < free * 2 / 3


def test_small_weights_mind_noise_less(few: Learnt) -> None:
    generator = torch.Generator().manual_seed(0)
    noisy = NEW.numbers + 0.1 * torch.randn(NEW.numbers.shape, generator=generator)
    clean, other = (torch.sigmoid(few.outcome.logits(X)) for X in (NEW.numbers, noisy))
    moved = (clean - other).abs().mean((1, 2))
    assert (moved[4:] < 0.9 * moved[:4]).all()


def test_either_cost_comes_to_the_same_within_the_luck_of_a_seed() -> None:
    """30 and 100 hidden neurons, his rates; from small first weights, since large ones leave some of the quadratic
    cost's saturated so soon."""
    for hidden in (30, 100):
        ends = {
            loss: right(
                learn(networks(hidden, rate, initialiser="xavier"), part(0, 600), 30, loss=loss, every=30).outcome, NEW
            )
            for loss, rate in (("binary", 0.5), ("quadratic", 3.0))
        }
        assert min(row.min() for row in ends.values()) > 95
        assert abs(ends["binary"].mean() - ends["quadratic"].mean()) < 1.0


def test_with_all_pictures_the_gap_is_a_few_points(few: Learnt) -> None:
    every = part(0, ALL)
    outcome = learn(networks(rate=0.5), every, 30, every=30).outcome
    gap = right(outcome, every) - right(outcome, NEW)
    small = right(few.outcome, part(0, FEW))[:4] - few.accuracy[:4, -1]
    assert (gap < 3).all()
    assert (right(outcome, every) > 98).all()
    assert (small > 10).all()


def test_the_penalty_grows_with_the_number_of_rows() -> None:
    """Every row twice and lambda twice as large is the same training, step by step; with lambda alone doubled it is
    not."""
    spec, once = DenseSpec(64, (30,), 10, activation="sigmoid"), part(0, 50)
    twice = once.rows(torch.arange(50).repeat(2))
    ends = []
    for rows, l2 in ((once, 0.1), (twice, 0.2), (once, 0.2)):
        settings = Settings("binary", "sgd", len(rows), 30, 30, dtype=torch.float64)
        outcome = train([Member(spec, 0, 0.5, momentum=0.0, l2=l2)], rows, None, settings)
        ends.append(torch.cat([value.flatten() for value in outcome.state_dict().values()]))
    torch.testing.assert_close(ends[0], ends[1], rtol=1e-9, atol=1e-11)
    assert float((ends[0] - ends[2]).abs().max()) > 1e-4


@pytest.mark.parametrize("hidden", [30, 100])
def test_a_penalty_scaled_with_their_number_helps_with_more_pictures_too(hidden: int) -> None:
    rows = part(0, 3 * FEW)
    plain = networks(hidden)
    members = [*plain, *(replace(one, l2=0.15) for one in plain)]
    result = learn(members, rows, 150, every=150)
    assert result.cost[4:, -1].mean() < 0.97 * result.cost[:4, -1].mean()
    assert result.accuracy[4:, -1].mean() > result.accuracy[:4, -1].mean() - 0.3


def test_more_parameters_than_pictures_still_do_well() -> None:
    """80,000 numbers are learnt from 150 pictures, and new ones are read nine times in ten."""
    spec = DenseSpec(64, (1070,), 10)
    assert spec.parameter_count() == 64 * 1070 + 1070 + 1070 * 10 + 10 > 80_000
    settings = Settings("softmax", "adam", 10, 300, 300)
    outcome = train([Member(spec, seed, 1e-3) for seed in (0, 1)], part(0, 150), None, settings)
    assert (right(outcome, part(0, 150)) == 100).all()
    assert (right(outcome, NEW) > 90).all()


@pytest.fixture(scope="module")
def by_size() -> dict[tuple[int, int], np.ndarray]:
    """In % right of new pictures and of their own, by how many they learn from and their hidden neurons."""
    result = {}
    for rows in (50, 100, 200, 400, ALL):
        for hidden in (2, 30):
            settings = Settings("binary", "sgd", 10, 3000, 3000)
            members = networks(hidden, 0.5, initialiser="xavier")
            outcome = train(members, part(0, rows), None, settings)
            result[rows, hidden] = np.array([right(outcome, NEW).mean(), right(outcome, part(0, rows)).mean()])
    return result


def test_more_pictures_help_most_and_a_smaller_network_loses_power(by_size: dict[tuple[int, int], np.ndarray]) -> None:
    gaps = {name: shown - new for name, (new, shown) in by_size.items()}
    assert by_size[ALL, 30][0] > by_size[50, 30][0] + 10  # more pictures
    assert gaps[ALL, 2] < gaps[ALL, 30]  # a smaller network closes the gap
    assert by_size[ALL, 2][0] < by_size[ALL, 30][0] - 30  # and can do less


def test_more_pictures_help_at_every_size(by_size: dict[tuple[int, int], np.ndarray]) -> None:
    accuracy = [by_size[rows, 30][0] for rows in (50, 100, 200, 400, ALL)]
    assert (np.diff(accuracy) > 0.5).all()
    assert accuracy[-1] > 96


def test_errors_fall_as_a_power_of_the_number_of_pictures(by_size: dict[tuple[int, int], np.ndarray]) -> None:
    sizes = (50, 100, 200, 400, ALL)
    errors = [100 - float(by_size[rows, 30][0]) for rows in sizes]
    law = fit_power_law(sizes, errors)
    assert 0.5 < law.exponent < 1.3
    for rows, error in zip(sizes, errors, strict=True):
        assert law.at(rows) == pytest.approx(error, abs=1.5)


def test_networks_and_support_vector_machines_by_their_gamma(by_size: dict[tuple[int, int], np.ndarray]) -> None:
    """With gamma "auto" networks win, with "scale" machines do."""
    few, many = part(0, 100), part(0, ALL)
    machines = {
        (gamma, len(rows)): 100 * SVC(gamma=gamma).fit(rows.numbers, rows.targets).score(NEW.numbers, NEW.targets)
        for gamma in ("auto", "scale")
        for rows in (few, many)
    }
    for rows in (100, ALL):
        assert machines["auto", rows] < by_size[rows, 30][0]
    assert machines["scale", ALL] > by_size[ALL, 30][0]


def test_which_is_better_depends_on_how_many_pictures_each_has(by_size: dict[tuple[int, int], np.ndarray]) -> None:
    """The worse algorithm with more pictures beats the better one with fewer; with as many it does not."""
    rows = part(0, ALL)
    machine = 100 * SVC(gamma="auto").fit(rows.numbers, rows.targets).score(NEW.numbers, NEW.targets)
    assert by_size[100, 30][0] < machine < by_size[ALL, 30][0]


def test_validation_pictures_say_what_test_pictures_say() -> None:
    outcome = learn(networks(rate=0.5), part(0, 900), 20, every=20)
    validation = part(900, ALL)
    gap = right(outcome.outcome, validation).mean() - outcome.accuracy[:, -1].mean()
    assert abs(gap) < 2.5  # 300 and 597 pictures at 96 %: a standard error of 1.4 points


DROPPED = 0.5


@pytest.fixture(scope="module")
def thinned() -> dict[tuple[float, float], Outcome]:
    """Networks of 100 hidden units from 150 pictures: without anything, with dropout, and with a penalty as well."""
    settings, rows = Settings("softmax", "adam", 10, 2000, 2000), part(0, 150)
    return {
        (p, l2): train(
            [Member(DenseSpec(64, (100,), 10), s, 1e-3, l2=l2, dropout=(p,)) for s in SEEDS], rows, None, settings
        )
        for p, l2 in ((0.0, 0.0), (DROPPED, 0.0), (DROPPED, 0.05))
    }


def leaning(outcome: Outcome, member: int) -> float:
    """How much probabilities change, on average, when one hidden unit falls silent."""
    W, b, V, c = outcome.state_dict(member).values()
    H = torch.relu(NEW.numbers @ W.T + b)
    Z = H @ V.T + c
    silent = Z.unsqueeze(0) - H.T.unsqueeze(2) * V.T.unsqueeze(1)  # [units, rows, classes]
    return float((torch.softmax(silent, -1) - torch.softmax(Z, -1)).abs().sum(-1).mean())


def test_after_dropout_less_leans_on_single_units(thinned: dict[tuple[float, float], Outcome]) -> None:
    plain, dropped = (np.array([leaning(thinned[p, 0.0], m) for m in range(2)]) for p in (0.0, DROPPED))
    assert dropped.max() < 0.75 * plain.min()


def test_dropout_helps_and_a_penalty_beside_it_does_no_harm(thinned: dict[tuple[float, float], Outcome]) -> None:
    accuracy = {name: right(outcome, NEW).mean() for name, outcome in thinned.items()}
    assert accuracy[DROPPED, 0.0] > accuracy[0.0, 0.0] + 0.1
    assert accuracy[DROPPED, 0.05] > accuracy[DROPPED, 0.0] - 0.3


def changed(chosen: Sequence[tuple[str, float]], rows: int = 40) -> float:
    """The mean cost on new pictures after learning from few that are changed anew for every batch."""

    def pictures(some: Rows) -> Rows:
        return some.with_inputs(numbers=some.numbers.view(-1, 1, 8, 8))

    losses = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        net = nn.Sequential(Augment(tuple(chosen)), nn.Flatten(), nn.Linear(64, 60), nn.ReLU(), nn.Linear(60, 10))
        settings = Settings("softmax", "adam", 20, 300, 300)
        outcome = train([Member(ModuleSpec(net), seed, 3e-3)], pictures(part(0, rows)), pictures(NEW), settings)
        losses.append(float(outcome.history.to_frame()["validation_loss"][-1]))
    return float(np.mean(losses))


def test_a_five_is_drawn_as_it_is_and_changed() -> None:
    """Rotated it keeps its ink, elastically changed nearly; no two tiles are alike but the first of each row."""
    rows = part(0, FEW)
    tiles = fives(rows.with_inputs(numbers=rows.numbers.view(-1, 1, 8, 8)))
    assert tiles.shape == (8, 64)
    assert (tiles[0] == tiles[4]).all()
    assert len(np.unique(tiles, axis=0)) == 7
    assert tiles[0] in rows.numbers[rows.targets == 5].numpy()
    np.testing.assert_allclose(tiles.sum(1), tiles[0].sum(), rtol=0.25)


@pytest.fixture(scope="module")
def unchanged() -> float:
    return changed(())


def test_changed_pictures_help(unchanged: float) -> None:
    assert changed((("rotation", 10.0), ("shift", 0.06))) < unchanged - 0.01


def test_elastic_changes_help(unchanged: float) -> None:
    assert changed((("elastic", 1.0),)) < unchanged - 0.01


def test_digits_rotated_too_far_become_others(unchanged: float) -> None:
    assert changed((("rotation", 180.0),)) > unchanged + 0.1


def test_batch_norm_keeps_what_a_deep_layer_is_given_in_place() -> None:
    rows, _ = digits_part()
    assert drift_of_means(rows, True) < 0.7 * drift_of_means(rows, False)


def test_the_error_of_the_output_layer_by_each_cost() -> None:
    """a - y, or a - y times the slope of the sigmoid; by linear outputs it grows with the distance, however far."""
    bench = Bench()
    output_errors(bench)
    assert len(bench.comparisons) == 4
    assert [one.what for one in bench.comparisons if not one.good] == []

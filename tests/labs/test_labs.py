"""Every quick lab holds what it claims, and says so in every form."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
from tests.cli.program import luthier

from luthier.drawing import empty_figure
from luthier.errors import ConfigError
from luthier.labs.gallery import all_labs, gallery, lab_named, lines
from luthier.labs.lab import ANOTHER, FAILS, HOLDS, IN_THE_SUITE, REFUTED, SKIPPED, Bench, Lab, run_lab
from luthier.labs.mnist import digits, some
from luthier.labs.nielsen import begun
from luthier.labs.recorded import recorded
from luthier.labs.sizes import machine_accuracies, network_accuracy

QUICK = [lab for lab in all_labs().values() if lab.seconds <= IN_THE_SUITE]
VERY_LONG = ("hundred-hidden", "first-weights", "expansion", "sizes", "transfer", "more-data", "costs-on-mnist")
LONGEST_FIRST = sorted(all_labs().values(), key=lambda lab: (lab.name not in VERY_LONG, -lab.seconds))


@pytest.mark.parametrize("lab", QUICK, ids=lambda lab: lab.name)
def test_a_quick_lab_holds(lab: Lab) -> None:
    outcome = run_lab(lab)
    assert outcome.bench.comparisons
    assert outcome.good, "\n".join(lines(outcome))
    # What is drawn is drawn in the page's own type; a bare figure has none.
    assert all(figure.layout.font.family for _, figure in outcome.bench.figures)


@pytest.mark.labs
@pytest.mark.parametrize("lab", LONGEST_FIRST, ids=lambda lab: lab.name)
def test_a_lab_holds_in_full(lab: Lab) -> None:
    outcome = run_lab(lab, quick=False)
    assert outcome.good, "\n".join(lines(outcome))
    anew = f"python -m luthier.labs.recorded {lab.name} records it anew"
    assert lab.name in recorded(), anew
    differences = recorded()[lab.name].differences(outcome)
    assert not differences, "\n".join((*differences, anew))


def test_names_and_rows_are_well_formed() -> None:
    assert set(VERY_LONG) <= set(all_labs())
    for name, lab in all_labs().items():
        assert re.fullmatch(r"[a-z0-9-]+", name)
        assert lab.rows
        assert all(re.fullmatch(r"S[0-4]-\d\d\d?", row) for row in lab.rows)
        assert not lab.claim.endswith(".")
    with pytest.raises(ConfigError, match="softmax"):
        lab_named("softmaks")


def test_more_pictures_are_learnt_better() -> None:
    few, many = (float(network_accuracy(digits(), pictures, range(2), 1500).mean()) for pictures in (50, 1000))
    assert few > 20  # a guess is right for one picture in ten
    assert many > few + 10


@pytest.mark.parametrize(("large", "deviation"), [(True, 1.0), (False, 400**-0.5)])
def test_first_weights_have_the_deviation_that_is_said(large: bool, deviation: float) -> None:
    weights = torch.stack([next(iter(state.values())) for state in begun((400, 50, 10), range(4), large=large)])
    assert weights.shape == (4, 50, 400)
    assert float(weights.std()) == pytest.approx(deviation, rel=0.01)  # of 80,000 numbers it errs by 0.25 %


def test_support_vector_machines_by_matrix_products_are_scikit_learns() -> None:
    from sklearn.svm import SVC

    data = digits()._replace(training=some(digits().training, 1000), validation=some(digits().validation, 1000))
    training, validation = data.training, data.validation
    result = machine_accuracies(data, 1000)
    for gamma, accuracy in result.items():
        machine = SVC(gamma=gamma).fit(training.numbers.numpy(), training.targets.numpy())
        assert accuracy == pytest.approx(100 * machine.score(validation.numbers.numpy(), validation.targets.numpy()))


def test_verdicts() -> None:
    bench = Bench()
    bench.number("near", 1.0, [0.98, 1.01], 0.05)
    bench.number("far", 1.0, 2.0, 0.05)
    bench.number("far and explained", 1.0, 2.0, 0.05, why="another set-up", between=(1.5, 2.5))
    bench.number("printed wrong", 1.0, 2.0, 0.05, why="a sign", between=(1.5, 2.5), refuted=True)
    bench.holds("so", False, "not so")
    assert [one.verdict for one in bench.comparisons] == [HOLDS, FAILS, ANOTHER, REFUTED, FAILS]
    assert [one.good for one in bench.comparisons] == [True, False, True, True, False]
    assert bench.comparisons[0].low is not None
    assert bench.comparisons[0].why == ""


def test_without_mnist_claims_about_it_are_skipped() -> None:
    def run(bench: Bench) -> None:
        bench.number("accuracy", 96.0, 80.0, 0.5)
        bench.holds("so", True, "so")

    lab = Lab("x", "X", "claim", ("S0-01",), run, needs_mnist=True)
    outcome = run_lab(lab, is_mnist=False)
    assert [one.verdict for one in outcome.bench.comparisons] == [SKIPPED, HOLDS]
    assert outcome.good
    assert not run_lab(lab, is_mnist=True).good


def test_a_miss_that_is_explained_is_held_to_a_range() -> None:
    bench = Bench()
    for value in (2.0, 3.5):
        bench.number(f"far, {value}", 1.0, value, 0.05, why="another set-up", between=(1.5, 2.5))
    assert [one.verdict for one in bench.comparisons] == [ANOTHER, FAILS]
    assert bench.comparisons[0].expected == "1 (by formula)"
    with pytest.raises(AssertionError):
        bench.number("far", 1.0, 2.0, 0.05, why="another set-up")


def test_every_line_of_a_legend_has_its_name() -> None:
    figure = empty_figure("x", "y").add_scatter(y=[1], name="a").add_scatter(y=[2], name="a")
    with pytest.raises(AssertionError, match="two lines"):
        Bench().draw("A figure", figure)


def test_the_command_line(tmp_path: Path) -> None:
    page = tmp_path / "labs.html"
    done = luthier("lab", "run", "softmax", "temperature", "--json", "-o", page)
    assert done.returncode == 0, done.stderr
    assert [json.loads(line)["name"] for line in done.stdout.splitlines()] == ["softmax", "temperature"]
    assert "From uniform to one-hot" in page.read_text()
    assert page.stat().st_size < 2e6
    listed = luthier("lab", "list")
    assert all(name in listed.stdout for name in all_labs())


def test_the_gallery_escapes_and_counts() -> None:
    def run(bench: Bench) -> None:
        bench.holds("a < b", True, "<b>")

    page = gallery([run_lab(Lab("x", "A & B", "claim", ("S0-01",), run))])
    assert "1 reproduced" in page
    assert "A &amp; B" in page
    assert "<b>" not in page

"""Pages that compute in the browser: their engine beside ours, and every number, word and frame of every page."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.browsing import elsewhere

from luthier.classic.cs231n import EPSILON, UpdateRule
from luthier.classic.cs231n import RULES as CLASSIC_RULES
from luthier.classic.network2 import CrossEntropyCost, QuadraticCost
from luthier.classic.network2 import Network as SecondNetwork
from luthier.cli.lab import write_page
from luthier.errors import ConfigError
from luthier.labs.gallery import all_labs
from luthier.labs.pages import assemble, page_names, write_pages
from luthier.labs.pages.assemble import joined, page_named, pages
from luthier.labs.pages.mathml import mathml
from luthier.optimise import RULES, Schedule, Step, muon
from luthier.optimise.schedules import KINDS

HERE = Path(__file__).parent
PROBE = (HERE / "page_probe.js").read_text()
SIZES, STEPS, ROWS = (3, 4, 2), 100, 7
TOLERANCE = 1e-9  # rounding differs in the last bits of each operation, and 100 steps multiply that by some hundred
RATES = {"adadelta": 1.0, "adagrad": 0.1, "adam": 0.02, "adam-uncorrected": 0.02, "adamax": 0.02, "nadam": 0.02}
OUR_NAMES: dict[str, tuple[str, dict[str, float]]] = {
    "sgd": ("sgd", {"momentum": 0}),
    "momentum": ("sgd", {"momentum": 0.8}),
    "nesterov": ("nesterov-velocity", {"momentum": 0.8}),
}
Problem = dict[str, list[Any]]


@pytest.fixture(scope="module")
def problem() -> Problem:
    """First parameters, inputs and one-hot targets of a small network."""
    rng = np.random.default_rng(0)
    count = sum(before * after + after for before, after in pairwise(SIZES))
    X, labels = rng.normal(size=(ROWS, SIZES[0])), rng.integers(0, SIZES[-1], ROWS)
    return {"P": rng.normal(size=count).tolist(), "X": X.tolist(), "Y": np.eye(SIZES[-1])[labels].tolist()}


@pytest.fixture(scope="module")
def engine(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """Calls a function of the pages' engine in the browser."""
    page = tmp_path_factory.mktemp("engine") / "engine.html"
    modules = joined("engine/training.js", "engine/batch_norm.js")
    page.write_text(f"<script type=module>{modules}\n{(HERE / 'engine_probe.js').read_text()}</script>")
    browser.get(page.as_uri())
    return lambda name, *given: browser.execute_script(f"return engine.{name}(...arguments)", *given)


class SoftmaxNetwork(SecondNetwork):
    """The book's network with softmax outputs and the log-likelihood cost, whose error is a - y too."""

    def output_error(self, z: np.ndarray, a: np.ndarray, y: np.ndarray) -> np.ndarray:
        e = np.exp(z - z.max(0))
        error: np.ndarray = e / e.sum(0) - y
        return error


COSTS: dict[str, Callable[[], SecondNetwork]] = {
    "quadratic": lambda: SecondNetwork(SIZES, QuadraticCost),
    "cross-entropy": lambda: SecondNetwork(SIZES, CrossEntropyCost),
    "log-likelihood": lambda: SoftmaxNetwork(SIZES),
}


def slope(P: np.ndarray, net: SecondNetwork, problem: Problem, l1: float, l2: float) -> np.ndarray:
    """The gradient [P] of the mean cost and the penalties, by the book's backpropagation."""
    at = 0
    for k, (before, after) in enumerate(pairwise(SIZES)):
        middle = at + after * before
        net.weights[k], net.biases[k] = P[at:middle].reshape(after, before), P[middle : middle + after, None]
        at = middle + after
    by_b, by_w = net.backprop(np.array(problem["X"]).T, np.array(problem["Y"]).T)
    parts: list[np.ndarray] = []
    for w, db, dw in zip(net.weights, by_b, by_w, strict=True):
        parts += [(dw + l2 * w + l1 * np.sign(w)).ravel() / ROWS, db.ravel() / ROWS]
    return np.concatenate(parts)


def hidden_matrices(P: torch.Tensor) -> list[torch.Tensor]:
    """The hidden layer's weights [1, O, I], a view of the row [1, P]."""
    inputs, units = SIZES[:2]
    return [P[:, : units * inputs].view(1, units, inputs)]


@pytest.mark.parametrize("cost", COSTS)
@pytest.mark.parametrize("rule", RULES)
def test_every_rule_with_every_cost_is_ours(engine: Any, problem: Problem, rule: str, cost: str) -> None:
    rate, l1, l2, net = RATES.get(rule, 0.01), 0.02, 0.3, COSTS[cost]()
    P = torch.tensor(problem["P"], dtype=torch.float64)[None]
    state = RULES[rule].init(P)
    given = {"rate": rate, "momentum": 0.9, "beta1": 0.9, "beta2": 0.999}
    given |= {"epsilon": RULES[rule].epsilon, "rho": RULES[rule].rho}
    hyper = {name: torch.tensor([[value]], dtype=torch.float64) for name, value in given.items()}
    first = muon(hidden_matrices, hyper)
    turned = first.init(P)
    for step in range(1, STEPS + 1):
        gradient = torch.from_numpy(slope(P[0].numpy(), net, problem, l1, l2))[None]
        if RULES[rule].orthogonalises:
            first.update(P, gradient, turned, Step(hyper["rate"], step))
        RULES[rule].update(P, gradient, state, hyper, step)
    found = engine("trained", {**problem, "cost": cost, "rule": rule, "rate": rate, "l1": l1, "l2": l2})
    assert np.abs(np.array(found) - P[0].numpy()).max() < TOLERANCE


@pytest.mark.parametrize("cost", COSTS)
@pytest.mark.parametrize("rule", CLASSIC_RULES)
def test_the_courses_rules_are_those_of_classic(engine: Any, problem: Problem, rule: str, cost: str) -> None:
    rate, l2, net, P = 0.02, 0.3, COSTS[cost](), np.array(problem["P"])
    walk = UpdateRule(rule, learning_rate=rate, rho=0.8)
    for _ in range(STEPS):
        P = walk.step(P, slope(P, net, problem, 0, l2))
    name, more = OUR_NAMES.get(rule, (rule, {}))
    given = {"cost": cost, "rule": name, "rate": rate, "l1": 0, "l2": l2, "epsilon": EPSILON, "rho": 0.99} | more
    assert np.abs(np.array(engine("trained", {**problem, **given})) - P).max() < TOLERANCE


@pytest.mark.parametrize("kind", KINDS)
def test_every_schedule_is_ours(engine: Any, kind: str) -> None:
    for more in ({}, {"warmup": 5}, {"period": 7, "multiplier": 1.5, "decay": 0.6}):
        wanted = Schedule(kind, **more).curve(60)
        assert engine("curve", {"kind": kind, **more}, 60) == pytest.approx(wanted, abs=1e-12)


def test_batch_norm_is_pytorchs(engine: Any) -> None:
    rng = np.random.default_rng(1)
    given = {name: torch.from_numpy(rng.normal(size=(9, 4))) for name in "ZD"}
    given |= {name: torch.from_numpy(rng.uniform(0.5, 2, 4)) for name in ("scale", "shift")}
    leaves = [given[name].requires_grad_() for name in ("Z", "scale", "shift")]
    out = torch.nn.functional.batch_norm(leaves[0], None, None, leaves[1], leaves[2], True)
    wanted = [out, *torch.autograd.grad(out, leaves, given["D"])]
    found = engine("normalised", {name: value.tolist() for name, value in given.items()})
    for one, other in zip(found, wanted, strict=True):
        assert np.abs(np.array(one) - other.detach().numpy()).max() < TOLERANCE


def test_gradients_with_dropout_are_pytorchs(engine: Any, problem: Problem) -> None:
    masks = torch.from_numpy((np.random.default_rng(1).random((ROWS, SIZES[1])) < 0.5) * 2.0)
    P, X, Y = (torch.tensor(problem[name], dtype=torch.float64) for name in "PXY")
    P.requires_grad_()
    hidden = torch.sigmoid(X @ P[:12].view(4, 3).T + P[12:16]) * masks
    logits = hidden @ P[16:24].view(2, 4).T + P[24:]
    cost = torch.nn.functional.binary_cross_entropy_with_logits(logits, Y, reduction="sum") / ROWS
    (gradient,) = torch.autograd.grad(cost, P)
    assert (
        np.abs(np.array(engine("dropped", {**problem, "masks": masks.tolist()})) - gradient.numpy()).max() < TOLERANCE
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    result = tmp_path_factory.mktemp("pages")
    write_pages(page_names(), result, gallery=True)
    return result


@pytest.fixture(scope="module", params=page_names())
def opened(request: pytest.FixtureRequest, browser: Any, folder: Path) -> Iterator[str]:
    """A page, opened from the disk on a telephone."""
    name: str = request.param
    size = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.get((folder / f"{name}.html").as_uri())
    yield name
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def waited(browser: Any, condition: str) -> None:
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(browser, 60, poll_frequency=0.05).until(lambda driver: driver.execute_script(f"return {condition}"))


def move_by_keyboard(browser: Any) -> None:
    """The first slider to its other end."""
    slider = browser.find_element("css selector", "#controls input[type=range]")
    at_end = slider.get_property("value") == slider.get_property("max")
    slider.send_keys("\ue011" if at_end else "\ue010")  # Home, End


def numbers_in(text: str) -> list[str]:
    return sorted(re.findall(r"\d+(?:\.\d+)?(?:e-?\d+)?", text.replace("−", "-")))


def test_a_page_computes_its_numbers_and_says_the_same_in_both_languages(opened: str, browser: Any) -> None:
    waited(browser, "document.getElementById('numbers').dataset.done === 'yes'")
    assert browser.execute_script("return document.getElementById('played').hidden")  # the prediction comes first
    browser.execute_script("document.querySelector('#question button.main').click()")
    waited(browser, "document.body.dataset.settled")
    seen = browser.execute_script(PROBE)
    computed = {one.key: (float(seen["numbers"][one.key]), one.value, one.within) for one in page_named(opened).numbers}
    assert {key: one for key, one in computed.items() if not abs(one[0] - one[1]) <= one[2]} == {}
    assert len(seen["pairs"]) > 20
    assert [pair for pair in seen["pairs"] if numbers_in(pair[0]) != numbers_in(pair[1]) or not pair[1].strip()] == []
    assert seen["verdict"]
    assert seen["links"] == list(beside(opened))
    assert seen["width"] <= 390
    assert seen["unnamed"] == 0
    move_by_keyboard(browser)
    waited(browser, "document.body.dataset.shown")
    moved, link = browser.execute_script(PROBE), browser.current_url
    assert moved["figures"] != seen["figures"]
    assert moved["controls"] != seen["controls"]
    browser.get("about:blank")
    browser.get(link)
    waited(browser, "document.body.dataset.shown")
    assert browser.execute_script(PROBE)["controls"] == moved["controls"]  # the state is in the link
    assert [url for url in elsewhere(browser, "file:") if url != "about:blank"] == []
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []


def beside(name: str) -> Iterator[str]:
    """Files of the pages before and after one."""
    names = page_names()
    yield from (f"{other}.html" for one, other in pairwise(names[::-1]) if one == name)
    yield from (f"{other}.html" for one, other in pairwise(names) if one == name)


def test_the_gallery_leads_to_every_page(browser: Any, folder: Path) -> None:
    browser.get((folder / "index.html").as_uri())
    tiles = "return [...document.querySelectorAll('.tiles a')].map((tile) => tile.getAttribute('href'))"
    assert browser.execute_script(tiles) == [f"{name}.html" for name in page_names()]
    browser.execute_script("document.getElementById('language').click()")
    assert browser.execute_script("return document.documentElement.lang") == "zh"
    assert "实验" in browser.title


def luminance(colour: str) -> float:
    """Relative luminance of #rrggbb, as WCAG defines it."""
    parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_colours_stand_out_in_both_themes(theme: int) -> None:
    css = (Path(assemble.__file__).parent / "page.css").read_text()
    colours = {name: pair[theme] for name, *pair in re.findall(r"--(\w+): light-dark\((#\w{6}), (#\w{6})\)", css)}

    def contrast(name: str, ground: str) -> float:
        low, high = sorted(luminance(colours[one]) for one in (name, ground))
        return (high + 0.05) / (low + 0.05)

    needed = {name: 4.5 if name in ("text", "soft", "accent") else 3.0 for name in colours}  # WCAG AA: text, graphics
    for name in set(colours) - {"paper", "card", "line"}:
        assert min(contrast(name, ground) for ground in ("paper", "card")) >= needed[name], name


@pytest.mark.parametrize("name", page_names())
def test_a_page_is_small_and_well_formed(name: str, folder: Path) -> None:
    page, text = pages()[name], (folder / f"{name}.html").read_text()
    assert len(text.encode()) < 300_000
    assert not re.search(r"(?:src|href)=\"(?:https?:)?//", text)
    assert "import {" not in text
    assert set(page.labs) <= set(all_labs())
    assert all(re.fullmatch(r"S[0-4]-\d+", row) for row in page.rows)
    assert page.question["answer"] in {one.key for one in page.numbers}
    assert len({one.key for one in page.numbers}) == len(page.numbers)
    assert f'href="{name}.html"' in (folder / "index.html").read_text()


def test_the_pages_in_the_docs_are_up_to_date(folder: Path) -> None:
    kept = HERE.parents[1] / "docs" / "labs"
    stale = [path.name for path in folder.glob("*.html") if (kept / path.name).read_text() != path.read_text()]
    assert stale == [], "make pages writes them anew"


def test_the_command_writes_pages(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_page(["neuron"], tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["neuron.html"]
    assert str(tmp_path / "neuron.html") in capsys.readouterr().out
    for names, everything in ((None, False), (["neuron"], True)):
        with pytest.raises(ConfigError, match="--all"):
            write_page(names, tmp_path, everything)


def test_mistakes_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="neuron"):
        write_pages(("neurn",), tmp_path)
    with pytest.raises(ValueError, match="not a known command"):
        mathml(r"\foo")
    with pytest.raises(ValueError, match="brace"):
        mathml("a}")

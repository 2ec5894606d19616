"""A search's figures hold its numbers, and a real browser draws its page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.browsing import drawn

import luthier
from luthier.report import search_figures as figures


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> luthier.Study:
    run = tmp_path_factory.mktemp("search") / "wine"
    return luthier.tune_table(
        "wine", trials=40, epochs=9, confirm=2, sampler="coarse-to-fine", halving="hyperband", tiers=False, run=run
    )


def test_figures_hold_the_numbers(found: luthier.Study) -> None:
    trials, space = found.trials, found.outcome.space
    searched = trials.head(40)
    numbers = figures.progress(searched)
    whole = [t.value for t in found.outcome.searched if t.status == "complete"]
    assert numbers.values == whole
    assert numbers.best == np.minimum.accumulate(whole).tolist()
    indices = figures.shares_of(searched, space, "learning_rate")
    assert all(place is not None and 0 <= place <= 1 for place in indices)
    absent = figures.shares_of(searched, space, "momentum")
    assert [p is None for p in absent] == ["momentum" not in t.values for t in found.outcome.searched]
    at, texts = figures.ticks_of(space, "learning_rate")
    assert [float(text) for text in texts] == pytest.approx(
        [1e-4, 1e-3, 1e-2, 1e-1, 1], rel=1e-3
    )  # printed with four digits
    assert at == [0, 0.25, 0.5, 0.75, 1]
    nested = figures.nested_boxes(found.outcome.boxes, space)
    assert nested is not None
    assert nested.boxes[0] == (0, 1, 0, 1)
    assert len(nested.boxes) == 4
    rungs = figures.draw_rungs(searched)
    assert {trace.name for trace in rungs.data} == {"cut at a rung", "trained to the end"}
    ends = [x for x in rungs.data[0].x if x is not None]
    assert len(ends) == sum(len(t.curve) for t in found.outcome.searched if t.status == "pruned")


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1200])
def test_a_browser_draws_every_figure(found: luthier.Study, scheme: str, width: int, browser: Any) -> None:
    assert found.folder is not None
    page = Path(found.folder) / "report.html"
    assert page.stat().st_size < 3e6
    browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    )
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.get(page.resolve().as_uri())
    drawn(browser)
    shown, wanted = browser.execute_script(
        "return [document.querySelectorAll('figure .main-svg').length, document.querySelectorAll('figure').length]"
    )
    assert wanted >= 4 + len(found.outcome.space.dimensions)
    assert shown >= wanted
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []
    ink, label = browser.execute_script(
        "return [getComputedStyle(document.body).color,"
        " getComputedStyle(document.querySelector('.parcoords .axis-title, .axis-title')).fill]"
    )
    assert label == ink

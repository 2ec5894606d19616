"""The report says what the run measured, and a real browser shows it: light, dark, on a phone, in print."""

from __future__ import annotations

import base64
import json
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from tests.browsing import drawn, elsewhere

import luthier
from luthier.assess.judgement import Confusion
from luthier.recipe.judging.error_analysis import _changed_most
from luthier.report import figures
from luthier.runs.screen import SilentScreen


def _fit(source: str, run: Path) -> luthier.Result:
    result = luthier.fit(source, budget="300steps", run=run, screen=SilentScreen())
    assert result is not None
    return result


@pytest.fixture(scope="module")
def wine(tmp_path_factory: pytest.TempPathFactory) -> luthier.Result:
    result = _fit("wine", tmp_path_factory.mktemp("report") / "wine")
    table = tmp_path_factory.mktemp("new") / "wine.csv"
    luthier.data.read_source("wine").frame.write_csv(table)  # type: ignore[attr-defined]
    luthier.check(result.path, table)
    result.report()
    return result


@pytest.fixture(scope="module")
def diabetes(tmp_path_factory: pytest.TempPathFactory) -> luthier.Result:
    return _fit("diabetes", tmp_path_factory.mktemp("report") / "diabetes")


class Page(HTMLParser):
    """The text, the figures' data and whatever would be fetched."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.text, self.figures, self.fetched, self._inside = "", {}, [], ""
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        self.fetched += [named[key] for key in ("src", "href") if key in named]
        self._inside = tag if tag in ("script", "style") else ""
        if tag == "figure":
            self._figure = named["id"]

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if not self._inside:
            self.text += data
        elif data.lstrip().startswith('{"data"'):
            self.figures[self._figure] = json.loads(data)


@pytest.mark.parametrize("name", ["wine", "diabetes"])
def test_the_page_says_what_was_measured(name: str, request: pytest.FixtureRequest) -> None:
    result: luthier.Result = request.getfixturevalue(name)
    page = Page(result.report())
    assert page.fetched == []
    headline = result.scores["headline"]
    assert f"{headline['value']:.4g}" in page.text
    for row in result.scores["baselines"]:
        assert row["name"] in page.text
    for record in result.ledger:
        if record["kind"] == "decision" and record["code"] != "column":
            assert record["chosen"] in page.text
    trials = [t for t in result.scores["trials"] if t["stage"] == "fit training"]
    shown = [trace["x"] for trace in page.figures["figure-trials-3"]["data"]]
    assert sum(len(x) if isinstance(x, list) else len(_decode(x)) for x in shown) == len(trials)


def _decode(packed: dict[str, Any]) -> bytes:
    size = {"f8": 8, "f4": 4, "i4": 4, "i2": 2, "i1": 1, "u1": 1}[packed["dtype"]]
    return base64.b64decode(packed["bdata"])[::size]


def test_the_curves_are_those_of_the_best_member(wine: luthier.Result) -> None:
    """Of a training whose weights are those of its lowest loss, and of one that is judged by its end."""
    history = wine.history.filter(wine.history["population"] == "train-screen-0")
    curves = figures.learning_curves(history)
    assert curves.kept == min(curves.validation) == history["validation_loss"].min()
    complete = figures.learning_curves(history, complete=True)
    ends = history.filter(history["step"] == history["step"].max())["validation_loss"]
    assert complete.best_step == complete.steps[-1] == history["step"].max()
    assert complete.kept == ends.min()


def test_the_confusion_matrix_is_whole(wine: luthier.Result) -> None:
    confusion = wine.scores["confusion"]
    counted = sum(map(sum, confusion["matrix"]))
    assert counted == wine.scores["headline"]["n"]
    right = sum(confusion["matrix"][k][k] for k in range(len(confusion["labels"])))
    assert right / counted == pytest.approx(wine.scores["headline"]["value"])


def test_a_run_that_is_not_judged_still_has_a_page(wine: luthier.Result, tmp_path: Path) -> None:
    half = tmp_path / "half"
    shutil.copytree(wine.path, half)
    (half / "scores.json").unlink()
    (half / "drift.json").unlink()
    from luthier.report import build_report

    assert "has no test score yet" in build_report(half)


def test_names_from_the_data_cannot_become_markup(tmp_path: Path) -> None:
    import polars as pl

    wine = luthier.data.read_source("wine").frame.head(150)  # type: ignore[attr-defined]
    evil = "</script><b>x"
    frame = wine.rename({"alcohol": evil}).with_columns(
        pl.col("cultivar").replace_strict({value: f"<i>{value}" for value in wine["cultivar"].unique()})
    )
    result = luthier.fit(frame, target="cultivar", budget="40steps", run=tmp_path / "r", screen=SilentScreen())
    assert result is not None
    text = result.report().read_text()
    assert evil not in text
    assert "<i>" not in text.split("<body>")[1].replace("<\\i>", "")


def test_a_notebook_shows_the_verdict(wine: luthier.Result) -> None:
    card = wine._repr_html_()
    assert f"{wine.scores['headline']['value']:.4g}" in card
    assert "<script" not in card


@pytest.mark.browser
@pytest.mark.parametrize("name", ["wine", "diabetes"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1200])
def test_a_browser_draws_every_figure(
    name: str, scheme: str, width: int, browser: Any, request: pytest.FixtureRequest
) -> None:
    page = request.getfixturevalue(name).report()
    browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    )
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.get_log("performance")
    browser.get(page.as_uri())
    drawn(browser)
    count = len(Page(page).figures)
    assert count >= 6
    assert browser.execute_script("return document.querySelectorAll('figure .main-svg').length") >= count
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []
    assert elsewhere(browser, "file:") == []
    # Text can be read: the figures' ink is the page's, and it differs from the paper.
    ink, paper, tick = browser.execute_script(
        "const style = getComputedStyle(document.body);"
        "return [style.color, style.backgroundColor,"
        " getComputedStyle(document.querySelector('.xtick text')).fill]"
    )
    assert tick == ink != paper


@pytest.mark.browser
def test_it_prints(browser: Any, wine: luthier.Result) -> None:
    browser.get(wine.report().as_uri())
    drawn(browser)
    pdf = base64.b64decode(browser.execute_cdp_cmd("Page.printToPDF", {})["data"])
    assert pdf.startswith(b"%PDF")
    assert len(pdf) > 20_000


def test_of_very_many_classes_those_with_the_most_mistakes_are_drawn() -> None:
    matrix = np.diag(np.full(200, 6))
    matrix[150, 20], matrix[20, 150] = 2, 4  # class 150: 2 of 8 rows are taken for class 20
    confusion = Confusion(matrix=matrix.tolist(), labels=[f"c{place}" for place in range(200)])
    shown = figures.draw_confusion(confusion).data[0]
    assert np.shape(shown.z) == (60, 60)
    assert {"c20", "c150"} <= set(shown.x)
    assert shown.z[shown.y.index("c150")][shown.x.index("c20")] == 2 / 8


def test_dependence_of_many_classes_keeps_those_that_a_column_changes_most() -> None:
    values = [(value, f"c{place}", 0.001 * place * value) for value in (0, 1, 2) for place in range(30)]
    table = pl.DataFrame(values, schema=["value", "of", "mean"], orient="row")
    kept = _changed_most(table)
    assert kept["of"].unique(maintain_order=True).to_list() == [f"c{place}" for place in range(22, 30)]
    assert kept.height == 8 * 3

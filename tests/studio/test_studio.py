"""The studio: every control does something, a real browser moves all of them, and nobody comes in without the token."""

from __future__ import annotations

import json
import re
import sys
import threading
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("dash")

from tests import warm
from tests.browsing import elsewhere
from tests.cli.program import luthier as command_line
from werkzeug.serving import make_server

import luthier
from luthier.data.typed_columns.task import PositiveFacts
from luthier.engine import Snapshot
from luthier.engine.members.checkpoint import FileCheckpoint
from luthier.labs.neuron import learn
from luthier.labs.pages import gallery_page, page_html
from luthier.messages import speaking, spoken
from luthier.recipe.decisions.target_task import PositiveEvidence
from luthier.runs.screen import SilentScreen
from luthier.studio.app import OFFLINE, PAGES, make_app
from luthier.studio.live import DONE, UNDER_WAY, growth, runs_below
from luthier.studio.widgets import SelectBox, Slider, Table

ALL = list(PAGES.values())
MOVED = [(page, control) for page in ALL for control in page.controls if not isinstance(control, Table)]
OWN = "x,y,kind\n" + "\n".join(f"{k % 7},{k % 5},{'a' if k % 7 > 3 else 'b'}" for k in range(60))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    luthier.fit("wine", budget="150steps", run=folder / "wine", screen=SilentScreen())
    return folder


@pytest.fixture(scope="module")
def address(runs: Path) -> Iterator[str]:
    server = make_server("127.0.0.1", 0, make_app([runs]).server, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def shown(page: Any, **changes: Any) -> str:
    result = page.compute({**page.start(), **changes})
    return result.problem + str(result.numbers) + "".join(figure.to_json() for _, figure in result.figures)


@pytest.mark.parametrize(("page", "control"), MOVED, ids=lambda one: one.name)
def test_every_control_changes_what_is_shown(page: Any, control: Any) -> None:
    more = {"noise": {"noise": 1.0}, "decay": {"kind": "staircase"}, "seed": {}}.get(control.name, {})
    if page.name == "weights" and control.name == "deviation":
        more = {"scheme": "given standard deviation"}
    values = (
        control.options if isinstance(control, SelectBox) else [control.given(v) for v in (control.low, control.high)]
    )
    result = {shown(page, **({} if control.name in more else more), **{control.name: value}) for value in values}
    assert len(result) > 1
    assert shown(page) == shown(page)  # and by nothing else


def test_a_table_of_ones_own(tmp_path: Path) -> None:
    page = PAGES["overfitting"]
    for content, message in (
        ("", "choose a CSV"),
        ("a,b\n1,2", "two columns"),
        ("a,b,c\n1,2,x\n", "two classes"),
        ("a,b,c\nx,2,x\n", "two columns"),
    ):
        assert message in page.compute({**page.start(), "set": "own CSV", "table": content}).problem
    result = page.compute({**page.start(), "set": "own CSV", "table": OWN})
    assert not result.problem
    assert dict(result.numbers)["right, training"] == "100.0%"


def test_nobody_comes_in_without_the_token(runs: Path) -> None:
    client = make_app([runs], token="secret", host="0.0.0.0").server.test_client()
    for path in ("/", "/_dash-layout", "/_dash-dependencies", "/assets/studio.css", "/?token=wrong"):
        assert client.get(path).status_code == 401, path
    assert client.post("/_dash-update-component", json={}).status_code == 401
    assert client.get("/?token=secret").status_code == 302
    assert client.get("/").status_code == 200


@pytest.mark.parametrize(
    ("asked", "title"), [("zh-CN,zh;q=0.9,en;q=0.5", "过拟合"), ("de,en;q=0.8", "Overfitting"), ("", "Overfitting")]
)
def test_the_studio_speaks_the_browsers_language(runs: Path, asked: str, title: str) -> None:
    client = make_app([runs]).server.test_client()
    headers = {"Accept-Language": asked}
    language = "zh" if "zh" in asked else "en"
    assert f'<html lang="{language}">' in client.get("/", headers=headers).text
    layout = client.get("/_dash-layout", headers=headers).get_data(as_text=True)
    assert title in json.dumps(json.loads(layout), ensure_ascii=False)


def test_a_language_asked_for_goes_before_the_browsers(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with speaking("zh"):
        client = make_app([runs]).server.test_client()
    assert '<html lang="zh">' in client.get("/", headers={"Accept-Language": "en"}).text
    monkeypatch.setenv("LUTHIER_LANG", "en")
    client = make_app([runs]).server.test_client()
    assert '<html lang="en">' in client.get("/", headers={"Accept-Language": "zh"}).text


@pytest.mark.parametrize("page", ALL, ids=lambda page: page.name)
def test_a_page_in_chinese_names_all_that_it_shows(page: Any) -> None:
    with speaking("zh"):
        result = page.compute(page.start())
        said = [page.title, page.claim, *(one.label for one in page.controls), *(words for words, _ in result.figures)]
        said += [axis.title.text for _, figure in result.figures for axis in (figure.layout.xaxis, figure.layout.yaxis)]
        plain = [text for one in said if one and not re.search("[\u4e00-\u9fff]", text := spoken(one))]
    assert set(plain) <= {"dropout", "epoch", "x", "y", "z4"}


def test_every_lab_leads_to_its_offline_page(runs: Path) -> None:
    client = make_app([runs]).server.test_client()
    for page in PAGES.values():
        name = OFFLINE.get(page.name, page.name)
        assert client.get(f"/pages/{name}.html").text == page_html(name)
    assert client.get("/pages/index.html").text == gallery_page()
    assert client.get("/pages/app.html").status_code == 404
    assert make_app([runs], token="abc").server.test_client().get("/pages/neuron.html").status_code == 401


def test_on_loopback_another_name_is_refused(runs: Path) -> None:
    client = make_app([runs]).server.test_client()
    assert client.get("/", headers={"Host": "localhost:8050"}).status_code == 200
    assert client.get("/", headers={"Host": "[::1]:8050"}).status_code == 200
    assert client.get("/", headers={"Host": "elsewhere.example"}).status_code == 403


def test_only_runs_that_were_named_are_opened(runs: Path, tmp_path: Path) -> None:
    assert runs_below([runs]) == [runs / "wine"]
    assert runs_below([runs / "wine"]) == [runs / "wine"]
    assert set(looked_at(runs / "wine", below=tmp_path)) == {"run"}


def looked_at(run: Path, *, below: Path) -> dict[str, Any]:
    """What the page of runs shows of one, by the elements' names."""
    shown = {
        "run-numbers": "children",
        "run-curves": "figure",
        "run-scatter": "figure",
        "run-figures": "hidden",
        "run-findings": "children",
        "run-decisions": "children",
        "run": "options",
    }
    asked = {
        "output": f"..{'...'.join(f'{name}.{kind}' for name, kind in shown.items())}..",
        "changedPropIds": ["run.value"],
        "outputs": [{"id": name, "property": kind} for name, kind in shown.items()],
        "inputs": [
            {"id": "runs-clock", "property": "n_intervals", "value": 1},
            {"id": "run", "property": "value", "value": str(run)},
        ],
    }
    answer = make_app([below]).server.test_client().post("/_dash-update-component", json=asked)
    assert answer.status_code == 200
    result: dict[str, Any] = answer.get_json()["response"]
    return result


TWO = PositiveFacts(("no", "yes\u2028"), (0.9, 0.1))
DECIDED = {"code": "positive-class", "of": "", "choice": "yes\u2028"}
DECISION = json.dumps(
    {"kind": "decision", "step": 1, **DECIDED, "evidence": asdict(PositiveEvidence(TWO))}, ensure_ascii=False
)


def test_a_run_without_curves_shows_no_empty_axes(runs: Path, tmp_path: Path) -> None:
    assert looked_at(runs / "wine", below=runs)["run-figures"] == {"hidden": False}
    bare = tmp_path / "bare"
    bare.mkdir()
    (bare / "run.json").write_text("{}")
    (bare / "ledger.jsonl").write_text(DECISION + "\n")
    assert looked_at(bare, below=tmp_path)["run-figures"] == {"hidden": True}


def test_a_run_is_followed_while_it_is_written(runs: Path, tmp_path: Path) -> None:
    done = growth(runs / "wine")
    assert done.status == DONE
    assert done.of_kind("decision")
    assert done.populations
    folder = tmp_path / "growing"
    (folder / "checkpoint").mkdir(parents=True)
    (folder / "run.json").write_text("{}")
    (folder / "ledger.jsonl").write_text(DECISION + '\n{"kind": "deci')
    now = growth(folder)
    assert (now.status, len(now.records), now.populations) == (UNDER_WAY, 1, ())
    rows = [[0, "a", 10, 1.0, 0.1, 0.9, 1.0, 0.5], [1, "b", 10, 1.0, 0.1, 0.8, 0.9, 0.5]]
    FileCheckpoint(folder / "checkpoint" / "train-rate.partial").save(Snapshot({}, {"history": rows}))
    ((name, frame),) = growth(folder).populations
    assert (name, frame["validation_loss"].to_list()) == ("train-rate", [1.0, 0.9])
    (folder / "checkpoint" / "half.partial").write_bytes(b"abc")
    assert len(growth(folder).populations) == 1


def test_the_command_says_where_it_is_and_who_holds_the_port(runs: Path) -> None:
    command = [sys.executable, "-m", "luthier", "studio", runs, "--port", "0"]
    with warm.Popen(command, stdout=warm.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            result = re.search(r"http://127\.0\.0\.1:(\d+)/ ", process.stdout.readline())
            assert result is not None
            again = command_line("studio", runs, "--port", result[1])
            assert again.returncode == 2
            assert "--port 0" in again.stderr
        finally:
            process.terminate()
    none = command_line("studio", "nowhere", "--port", "0")
    assert none.returncode == 2
    assert "no folder nowhere" in none.stderr


def numbers(browser: Any, page: str) -> dict[str, str]:
    pairs = "[...document.querySelectorAll(arguments[0])].map(e => [e.children[0].innerText, e.children[1].innerText])"
    return dict(browser.execute_script(f"return {pairs}", f"#{page}-numbers > div"))


def waits_for(browser: Any, page: str, wanted: tuple[tuple[str, str], ...]) -> None:
    from selenium.webdriver.support.ui import WebDriverWait

    try:
        WebDriverWait(browser, 20).until(lambda _: numbers(browser, page) == dict(wanted))
    except Exception:
        assert numbers(browser, page) == dict(wanted)


@pytest.mark.browser
@pytest.mark.parametrize("page", ALL, ids=lambda page: page.name)
def test_a_browser_moves_every_control(page: Any, browser: Any, address: str, tmp_path: Path) -> None:
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys
    from selenium.webdriver.support.ui import WebDriverWait

    browser.get_log("performance")
    browser.get(f"{address}/lab/{page.name}")
    wait = WebDriverWait(browser, 20)
    wait.until(lambda _: numbers(browser, page.name))
    values = page.start()
    waits_for(browser, page.name, page.compute(values).numbers)
    for control in page.controls:
        if isinstance(control, Slider):
            thumb = browser.find_element(By.CSS_SELECTOR, f"#{page.name}-{control.name} [role=slider]")
            assert thumb.get_attribute("aria-valuenow") is not None
            thumb.send_keys(Keys.HOME)
            thumb.send_keys(Keys.ARROW_RIGHT)
            values[control.name] = control.given(round(control.low + control.step, 6))
        elif isinstance(control, SelectBox):
            other = next(option for option in control.options if option not in (control.value, "own CSV"))
            browser.find_element(By.ID, f"{page.name}-{control.name}").click()
            options = wait.until(
                lambda _: browser.find_elements(By.CSS_SELECTOR, ".dash-dropdown-option, [role=option]")
            )
            next(one for one in options if one.text.strip() == other).click()
            values[control.name] = other
        else:
            path = tmp_path / "own.csv"
            path.write_text(OWN)
            browser.find_element(By.CSS_SELECTOR, f"#{page.name}-{control.name} input[type=file]").send_keys(str(path))
            values[control.name] = OWN
        waits_for(browser, page.name, page.compute(values).numbers)
    assert elsewhere(browser, address) == []
    assert [one for one in browser.get_log("browser") if one["level"] == "SEVERE"] == []


@pytest.mark.browser
def test_the_neuron_learns_as_the_lab_says(browser: Any, address: str) -> None:
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import WebDriverWait

    browser.get(f"{address}/lab/neuron")
    wait = WebDriverWait(browser, 60)

    def moved() -> bool:  # on a busy machine the numbers of most epochs are skipped, the slider is not
        handles = browser.find_elements(By.CSS_SELECTOR, "#neuron-epoch [role=slider], #neuron-epoch input")
        values = [one.get_attribute("aria-valuenow") or one.get_attribute("value") for one in handles]
        return any(value not in (None, "", "300") for value in values)

    wanted = pytest.approx(learn(0.6, 0.9, 0.15, cost="quadratic").a[300], abs=1e-4)
    for _ in range(2):  # it is computed, and the same again
        wait.until(lambda _: numbers(browser, "neuron").get("epoch") == "300" and not moved())  # the page is there
        wait.until(lambda _: browser.find_element(By.ID, "neuron-run")).click()
        wait.until(lambda _: numbers(browser, "neuron").get("epoch") not in (None, "300") or moved())
        wait.until(lambda _: numbers(browser, "neuron")["epoch"] == "300" and _number(browser, "output") == wanted)


def _number(browser: Any, name: str) -> float:
    """One of the neuron's numbers; on a busy machine some come a moment after the others."""
    return float(numbers(browser, "neuron")[name])


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_fit_a_phone_in_light_and_dark(scheme: str, browser: Any, address: str) -> None:
    from selenium.webdriver.support.ui import WebDriverWait

    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    metrics = {"width": 390, "height": 800, "deviceScaleFactor": 1, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        for path in ("/", *(f"/lab/{page.name}" for page in ALL)):
            browser.get(address + path)
            WebDriverWait(browser, 20).until(
                lambda _: browser.execute_script("return document.querySelector('main h1')")
            )
            assert browser.execute_script("return document.documentElement.scrollWidth") <= 390, path
        paper = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
        assert (sum(map(int, re.findall(r"\d+", paper)[:3])) < 200) == (scheme == "dark")
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


@pytest.mark.browser
def test_a_browser_follows_a_run(browser: Any, address: str, runs: Path) -> None:
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import WebDriverWait

    browser.get(address)
    count = len(growth(runs / "wine").of_kind("decision"))
    wait = WebDriverWait(browser, 20)
    wait.until(lambda _: len(browser.find_elements(By.CSS_SELECTOR, "#run-decisions tbody tr")) == count)
    record = {"kind": "decision", "step": 4, "code": "no-remedy", "of": "", "choice": None, "evidence": {}}
    ledger = runs / "wine" / "ledger.jsonl"
    kept = ledger.read_bytes()
    try:
        ledger.write_bytes(kept + json.dumps(record).encode() + b"\n")
        wait.until(lambda _: "before any remedy" in browser.find_element(By.ID, "run-decisions").text)
    finally:
        ledger.write_bytes(kept)
    assert browser.execute_script("return document.querySelectorAll('#run-curves .scatterlayer .trace').length") > 1

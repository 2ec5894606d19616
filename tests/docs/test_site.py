"""The site builds without a warning, its pages run as printed, and its references name all there is."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.browsing import elsewhere
from tests.examples.running import blocks, peers_blocks, run_page, run_peers_side

import luthier
from luthier.cli.reference import page
from luthier.data import ENCODERS
from luthier.recipe.modality import MODALITIES

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
EXECUTED = sorted(
    path
    for folder in ("tutorials", "how-to", "concepts", "migrate", "books")
    for path in (DOCS / folder).glob("*.md")
    if list(blocks(path))
    and path.stem != "commands"  # beside the README's, on the files that they name
    and not path.name.endswith(".zh.md")  # whose blocks are those of the English page
)


@pytest.fixture(autouse=True)
def _modalities_as_they_were() -> Iterator[None]:
    """A page adds one."""
    encoders, modalities = dict(ENCODERS), dict(MODALITIES)
    yield
    for name in {*ENCODERS} - {*encoders}:
        del ENCODERS[name]
    for name in {*MODALITIES} - {*modalities}:
        del MODALITIES[name]


@pytest.mark.parametrize("path", [DOCS / "index.md", *EXECUTED], ids=lambda path: path.stem)
def test_a_page_runs_as_it_is_printed(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LUTHIER_CACHE", str(tmp_path / "cache"))
    if path.stem in ("pictures", "picture-folders"):
        pytest.importorskip("kornia")
    if path.stem == "explain":
        pytest.importorskip("captum")
    if path.stem == "deploy":
        pytest.importorskip("onnxscript")
    if path.stem == "cluster":
        pytest.importorskip("ray")
    assert run_page(path, capsys, lambda words: words) > 0


@pytest.mark.parametrize("path", sorted((DOCS / "migrate").glob("*.md")), ids=lambda path: path.stem)
def test_the_peers_side_of_a_page_runs_where_the_peer_is_installed(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (peer,) = {name for name, _ in peers_blocks(path)}
    pytest.importorskip({"scikit-learn": "sklearn"}.get(peer, peer), reason=f"{peer} is not installed")
    monkeypatch.chdir(tmp_path)
    run_peers_side(path)


@pytest.mark.parametrize("readme", ["README.md", "README.zh.md"])
def test_the_first_page_is_short(readme: str) -> None:
    lines = (ROOT / readme).read_text().splitlines()
    assert len(lines) <= 120
    (install,) = (place for place, line in enumerate(lines) if line.startswith("pip install luthier "))
    assert install < 25, "on the first screen"


def test_every_page_is_in_the_contents() -> None:
    contents = (ROOT / "mkdocs.yml").read_text()
    for path in DOCS.rglob("*.md"):
        assert str(path.relative_to(DOCS)) in contents, path


ASKED_FOR = {  # the page of each thing that people ask for, by its address
    "imbalance": "imbalance", "groups": "groups-and-time", "time": "groups-and-time", "weights": "sample-weights",
    "module": "own-network", "loss": "own-loss", "GPU": "gpu", "cluster": "cluster", "deployment": "deploy",
    "resume": "resume", "compare": "compare", "reproduce": "reproduce", "text": "text-columns",
    "pictures": "picture-folders", "larger than memory": "larger-than-memory",
}  # fmt: skip


@pytest.mark.parametrize("wanted", ASKED_FOR)
def test_what_people_ask_for_has_a_page_that_the_contents_name(wanted: str) -> None:
    page = f"how-to/{ASKED_FOR[wanted]}.md"
    (line,) = (one for one in (ROOT / "mkdocs.yml").read_text().splitlines() if one.endswith(f": {page}"))
    assert wanted.lower() in line.partition(page)[0].lower()
    assert f"({ASKED_FOR[wanted]}.md" in (DOCS / "how-to" / "index.md").read_text()
    assert wanted == "GPU" or list(blocks(DOCS / page)), "it is run as it is printed"


def test_the_reference_of_commands_is_what_the_commands_say() -> None:
    kept = (DOCS / "reference" / "command-line.md").read_text()
    assert kept == page(), "python -m luthier.cli.reference docs/reference/command-line.md"


def test_the_reference_of_names_has_all_of_them() -> None:
    text = (DOCS / "reference" / "python.md").read_text()
    for name in luthier.__all__:
        if name != "__version__":
            assert f".{name}\n" in text or f'heading: "{name}"' in text, name


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built without a warning."""
    for package in ("mkdocs", "material", "mkdocstrings"):
        pytest.importorskip(package)
    place = tmp_path_factory.mktemp("built") / "site"
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(place)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-3000:]
    return place


def test_the_site_has_every_name_and_names_the_other_language(site: Path) -> None:
    built = (site / "reference" / "python.html").read_text()
    for name in ("luthier.runs.fit_targets.fit", "luthier.saved.model.Model.explain", "luthier.search.Number"):
        assert f'id="{name}"' in built, name
    assert "https://fonts" not in built
    english, chinese = ((site / "how-to" / f"{name}.html").read_text() for name in ("monitor", "monitor.zh"))
    assert '<html lang="en"' in english
    assert '<a href="monitor.zh.html">中文</a>' in english
    assert '<html lang="zh"' in chinese
    assert '<a href="monitor.html">English</a>' in chinese
    assert not re.search("[\u4e00-\u9fff，；。]\n[\u4e00-\u9fff]", chinese), "a blank between Chinese characters"


@pytest.mark.browser
@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("dropout", "CS231n's networks and update rules"),
        ("imbalanced classes", "Imbalanced classes"),
        ("不平衡", "类别不平衡"),
    ],
)
def test_the_site_is_searched_from_the_disk(asked: str, found: str, site: Path, browser: Any) -> None:
    browser.get_log("performance")
    browser.get((site / "index.html").as_uri())
    box = browser.find_element("css selector", "input.md-search__input")
    browser.execute_script("document.querySelector('#__search').click(); arguments[0].focus()", box)
    box.send_keys(asked)
    read = "return [...document.querySelectorAll('.md-search-result__article h1')].map((one) => one.innerText)"
    until = time.monotonic() + 60
    while not (titles := browser.execute_script(read)) and time.monotonic() < until:
        time.sleep(0.1)
    assert found in titles
    assert elsewhere(browser, "file://") == []

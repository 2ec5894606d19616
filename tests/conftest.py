"""What every test shares: shapes checked at run time, and where the real data lies."""

from __future__ import annotations

import atexit
import gc
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import hypothesis
import pytest
from tests import shape_checks, warm

# Shape annotations of the numeric rooms become assertions while the tests run.
shape_checks.install(["luthier.nets", "luthier.objective", "luthier.optimise"])

hypothesis.settings.register_profile("untimed", deadline=None)  # a busy machine is not a fault
hypothesis.settings.load_profile("untimed")

# What runs did to rows is counted where a test is about that, in a home of its own.
os.environ["LUTHIER_NO_REGISTER"] = "1"
os.environ["LUTHIER_HOME"] = tempfile.mkdtemp(prefix="luthier-home-")
atexit.register(shutil.rmtree, os.environ["LUTHIER_HOME"], ignore_errors=True)


# The longest files, longest first: they begin first, so that no worker waits for another's at the end.
LONGEST = (
    "tests/labs/test_labs.py::test_a_lab_holds_in_full",
    "tests/examples/",
    "tests/reliability/",
    "tests/cli/test_tune.py",
    "tests/engine/test_distributed.py",
    "tests/recipe/",
    "tests/docs/",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files before short ones; within a file the order stays."""

    def rank(item: pytest.Item) -> int:
        return next((k for k, start in enumerate(LONGEST) if item.nodeid.startswith(start)), len(LONGEST))

    items.sort(key=rank)


def pytest_collection_finish() -> None:
    """What is there by now stays to the end: the collector need not look through it again and again."""
    gc.collect()
    gc.freeze()


def pytest_runtest_setup() -> None:
    """The first calls of each test are checked."""
    shape_checks.start_anew()


@pytest.fixture(scope="session")
def data_folder() -> Path | None:
    """The folder of real data (`LUTHIER_DATA`), or None: tests then use what scikit-learn bundles."""
    named = os.environ.get("LUTHIER_DATA")
    return Path(named) if named and Path(named).is_dir() else None


@pytest.fixture(autouse=True, scope="session")
def _baselines_start_at_once() -> Iterator[None]:
    """Each fit begins a process for its baselines; to import scikit-learn anew takes it longer than all its work."""
    with patch("luthier.assess.baselines.subprocess", warm):
        yield


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A real browser, headless."""
    if not (shutil.which("chromium") and shutil.which("chromedriver")):
        pytest.skip("needs Debian's chromium and chromium-driver")
    webdriver = pytest.importorskip("selenium.webdriver")
    options = webdriver.ChromeOptions()
    for flag in ("headless=new", "no-sandbox", "disable-gpu", "disable-background-networking", "hide-scrollbars"):
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def cluster(request: pytest.FixtureRequest) -> Iterator[Any]:
    """A Ray cluster of two workers on this machine, which import what the tests of a file define."""
    ray = pytest.importorskip("ray")
    options = {"log_to_driver": False, "include_dashboard": False, "configure_logging": False}
    places = os.pathsep.join([str(request.path.parent), *sys.path])
    ray.init(num_cpus=2, runtime_env={"env_vars": {"PYTHONPATH": places}}, **options)
    yield ray
    ray.shutdown()

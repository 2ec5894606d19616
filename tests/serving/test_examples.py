"""Every `curl` that the documentation or a command's help prints is answered, as it is printed."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")
pytest.importorskip("PIL")

from tests.serving import models
from tests.serving.asking import ThreadServer

from luthier.cli import serve
from luthier.serving.readers.limits import Limits

ROOT = Path(__file__).parents[2]
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
TEXTS = [serve._EPILOG, *(path.read_text() for path in PAGES if "labs" not in path.parts)]
EXAMPLES = sorted({line.strip() for text in TEXTS for line in text.splitlines() if line.strip().startswith("curl ")})
ADDRESS = "localhost:8000"
FRAME = pl.DataFrame({"bedrooms": [1.0, 2, 3, 4, 5] * 20, "area": [float(k) for k in range(100)]})
TOKEN = {"LUTHIER_TOKEN": "a-secret"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that the examples send."""
    result = tmp_path_factory.mktemp("examples")
    (result / "row.json").write_text(json.dumps({"rows": [models.of_frame(FRAME).typical_row()]}, indent=1))
    FRAME.head(3).write_csv(result / "rows.csv")
    (result / "cat.jpg").write_bytes(models.picture(100, "JPEG", "RGB"))
    return result


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, ThreadServer]]:
    """Of a table, once with a token, and of pictures."""
    table, limits = models.of_frame(FRAME), Limits(seconds=10)
    result = {
        "table": ThreadServer(table, limits, host="127.0.0.1"),
        "token": ThreadServer(table, limits, host="127.0.0.1", token=TOKEN["LUTHIER_TOKEN"]),
        "picture": ThreadServer(models.pictures(), limits, host="127.0.0.1"),
    }
    yield result
    for server in result.values():
        server.end()


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_is_answered(example: str, folder: Path, servers: dict[str, ThreadServer]) -> None:
    kind = "picture" if "image/" in example else "token" if "TOKEN" in example else "table"
    assert ADDRESS in example
    command = example.replace(ADDRESS, f"localhost:{servers[kind].place[1]}")
    done = subprocess.run(
        ["sh", "-c", command], capture_output=True, text=True, cwd=folder, env={**os.environ, **TOKEN}
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout).get("predictions"), done.stdout


def test_there_are_examples_of_each_kind() -> None:
    assert {bool(re.search(part, line)) for line in EXAMPLES for part in ("image/", "text/csv", "TOKEN")} == {
        True,
        False,
    }
    assert len(EXAMPLES) >= 4

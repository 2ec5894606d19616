"""The examples and the README's Python run as they are printed."""

from __future__ import annotations

import functools
import http.server
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests import warm
from tests.examples.running import blocks, commands, run_command, shortened

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs(path: Path, tmp_path: Path) -> None:
    program = tmp_path / path.name
    program.write_text(shortened(path.read_text()))
    done = warm.run([sys.executable, program], capture_output=True, text=True, cwd=tmp_path, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_the_readmes_python_runs(tmp_path: Path) -> None:
    program = "\n".join(text for language, text in blocks(ROOT / "README.md") if language == "python")
    assert "import luthier" in program
    done = warm.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path, timeout=300)
    assert done.returncode == 0, done.stderr


def _write_pictures(folder: Path) -> None:
    """Two classes of digits as PNG files."""
    from PIL import Image
    from sklearn.datasets import load_digits

    digits = load_digits()
    for k in range(100):
        if digits.target[k] < 2:
            (folder / str(digits.target[k])).mkdir(parents=True, exist_ok=True)
            pixels = (digits.images[k] * 15.9).astype("uint8")
            Image.fromarray(pixels).save(folder / str(digits.target[k]) / f"{k}.png")


@pytest.fixture
def served(tmp_path: Path) -> Iterator[str]:
    """The address at which the test's folder is served, in place of one on the network."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Say nothing."""

    handler = functools.partial(Quiet, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_the_readmes_commands_run(
    tmp_path: Path, served: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every `luthier` line of the README and of the tour, on a small table under the names that they use."""
    import polars as pl
    from safetensors.torch import save_file

    from luthier.data import read_source
    from luthier.nets.resnet import resnet

    monkeypatch.setenv("LUTHIER_CACHE", str(tmp_path / "cache"))
    frame = read_source("diabetes").frame
    frame = frame.rename({"progression": "price"}) if "progression" in frame.columns else frame
    if "price" not in frame.columns:
        frame = frame.rename({frame.columns[-1]: "price"})
    frame.write_csv(tmp_path / "houses.csv")
    frame.drop("price").write_csv(tmp_path / "new.csv")
    frame.with_columns(pl.col("price") * 1.1).write_csv(tmp_path / "this-month.csv")
    _write_pictures(tmp_path / "photos")
    save_file(resnet("resnet18").state_dict(), tmp_path / "resnet18.safetensors")
    (tmp_path / "sales").mkdir()
    frame.write_parquet(tmp_path / "sales" / "part-0.parquet")
    monkeypatch.chdir(tmp_path)
    tour = blocks(ROOT / "docs" / "how-to" / "commands.md")
    result = [words for language, text in tour if language == "sh" for words in commands(text)]
    printed = [words for language, text in blocks(ROOT / "README.md") if language == "sh" for words in commands(text)]
    assert len(printed) >= 7
    assert all(words in result for words in printed)  # what the README shows, the tour shows
    fits = 0
    for command in result:
        words = [word.replace("https://example.org", served) for word in command]
        if words[0] == "fit":
            words = [word for word in words if word not in ("--budget", "60s", "20m")]
            words += ["--budget", "5steps" if "photos/" in words else "60steps"]
            fits += 1
            words += ["--run", f"again-{fits}"] if fits > 1 and "--run" not in words else []
        if words[0] == "tune":
            words = [{"10m": "3s", "20": "8"}.get(word, word) for word in words]
            words += ["--epochs", "2"] if "--trials" in words else []
        if words[0] == "rerun":
            words += ["--run", "repeated"]
        words = [word for word in words if word != "--open"]  # no browser to open in a test
        words = ["auto" if word == "cuda" else word for word in words]  # no GPU either
        run_command(words, capsys)
    assert (tmp_path / "out.csv").exists()

"""`luthier data`: the list, what a file holds, and MNIST by its checksums, from a server of our own."""

from __future__ import annotations

import gzip
import os
import shutil
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from luthier.cli import app
from luthier.data.pictures import mnist
from luthier.errors import InputError, LuthierError
from luthier.storage import cache_folder

DATA = os.environ.get("LUTHIER_DATA")
needs_mnist = pytest.mark.skipif(
    DATA is None or not (Path(DATA) / "mnist").is_dir(), reason="needs MNIST's files under LUTHIER_DATA"
)


def run(*words: str) -> str:
    message = CliRunner().invoke(app, ["data", *words])
    assert message.exit_code == 0, message.output
    return message.output


def test_the_list_names_every_bundled_set() -> None:
    message = run("list")
    assert "digits          1797 rows,  64 columns -> digit" in message
    assert "a folder of pictures" in message


def test_what_a_table_holds(tmp_path: Path) -> None:
    pl.DataFrame({"id": range(30), "size": [0.5 * k for k in range(30)]}).write_csv(tmp_path / "t.csv")
    message = run("info", str(tmp_path / "t.csv"))
    assert "t.csv: 30 rows, 2 columns" in message
    assert "`size`: number" in message
    assert "`id`: identifier, dropped" in message


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            pass

    (tmp_path / "served").mkdir()
    served = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path / "served")))
    thread = threading.Thread(target=served.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{served.server_port}/"
    served.shutdown()
    served.server_close()


@needs_mnist
def test_mnist_is_fetched_and_checked(server: str, tmp_path: Path) -> None:
    assert DATA is not None
    for path in (Path(DATA) / "mnist").glob("*.gz"):
        shutil.copyfile(path, tmp_path / "served" / path.name)
    written = mnist.fetch_mnist(tmp_path / "mnist", (server,))
    assert len(written) == 4
    assert mnist.fetch_mnist(tmp_path / "mnist", (server,)) == []
    assert "all complete" in run("mnist", "--from", str(tmp_path / "mnist"))
    message = run("info", str(tmp_path / "mnist"))
    assert "70000 rows" in message
    assert "28 x 28 pixels" in message


def test_other_contents_never_get_the_name(server: str, tmp_path: Path) -> None:
    for name in mnist.CONTENTS:
        (tmp_path / "served" / f"{name}.gz").write_bytes(gzip.compress(b"something else"))
    with pytest.raises(LuthierError, match="could not be fetched"):
        mnist.fetch_mnist(tmp_path / "mnist", (server,))
    assert not list((tmp_path / "mnist").iterdir())


def test_without_a_network_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(LuthierError, match="could not be fetched") as error:
        mnist.fetch_mnist(tmp_path / "mnist", ("http://127.0.0.1:9/",))
    assert "check the network" in str(error.value)


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    (tmp_path / "train-images-idx3-ubyte").write_bytes(b"half of it")
    with pytest.raises(InputError, match="does not hold MNIST") as error:
        mnist.check_mnist(tmp_path)
    assert "train-images-idx3-ubyte has unexpected contents" in str(error.value)
    assert "t10k-labels-idx1-ubyte is missing" in str(error.value)
    assert CliRunner().invoke(app, ["data", "mnist"]).exit_code != 0


def test_the_cache_is_shown_and_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUTHIER_CACHE", str(tmp_path))
    kept = cache_folder("fetched") / ("0af3" * 6)
    kept.mkdir(parents=True)
    (kept / "table.csv").write_bytes(b"0" * 2048)
    stranger = cache_folder("pictures") / "holidays" / "sea.jpg"  # LUTHIER_CACHE may be a folder with more in it
    stranger.parent.mkdir(parents=True)
    stranger.write_bytes(b"kept")
    for arguments in ([], ["--clear"]):
        shown = run("cache", *arguments)
        assert f"tables from addresses: 2 KiB in {tmp_path / 'fetched'}" in shown
        assert ("removed" in shown) == bool(arguments) != kept.exists()
    assert "tables from addresses: 0 B" in run("cache")
    assert stranger.exists()

"""Tables behind addresses: fetched from a server of our own, kept, and fetched again when they change."""

from __future__ import annotations

import functools
import http.server
import io
import threading
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import polars as pl
import pytest

import luthier
from luthier.data import read_batches, read_source
from luthier.data.remote import fetched
from luthier.errors import InputError

fsspec = pytest.importorskip("fsspec")
pytest.importorskip("aiohttp")

FRAME = pl.DataFrame({"x": range(60), "y": [k * 2.5 for k in range(60)]})


class Quiet(http.server.SimpleHTTPRequestHandler):
    asked: list[str] = []  # noqa: RUF012

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        Quiet.asked.append(self.path)
        super().do_GET()


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Path, str]]:
    """A folder, and the address that it is served at."""
    monkeypatch.setenv("LUTHIER_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "served"
    folder.mkdir()
    Quiet.asked.clear()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder))) as served:
        thread = threading.Thread(target=served.serve_forever, daemon=True)
        thread.start()
        yield folder, f"http://127.0.0.1:{served.server_address[1]}"
        served.shutdown()


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_table_behind_an_address(server: tuple[Path, str], kind: str) -> None:
    folder, address = server
    getattr(FRAME, f"write_{kind}")(folder / f"table.{kind}")
    result = read_source(f"{address}/table.{kind}", target="y")
    assert result.frame.cast(FRAME.schema).equals(FRAME)
    assert (result.name, result.origin) == (f"table.{kind}", f"{address}/table.{kind}")
    assert sum(batch.height for batch in read_batches(f"{address}/table.{kind}", 7)) == 60


def test_it_is_fetched_again_only_when_it_changed(server: tuple[Path, str]) -> None:
    folder, address = server
    FRAME.write_csv(folder / "table.csv")
    first = fetched(f"{address}/table.csv")
    asked = len(Quiet.asked)
    assert fetched(f"{address}/table.csv") == first
    assert len(Quiet.asked) == asked
    FRAME.head(30).write_csv(folder / "table.csv")
    assert read_source(f"{address}/table.csv").frame.height == 30


def test_a_run_and_its_predictions_from_an_address(server: tuple[Path, str], tmp_path: Path) -> None:
    folder, address = server
    FRAME.write_csv(folder / "table.csv")
    result = luthier.fit(
        f"{address}/table.csv", target="y", columns={"x": "number"}, budget="60steps", until=2, run=tmp_path / "run"
    )
    assert result is not None
    assert f'source = "{address}/table.csv"' in (tmp_path / "run" / "recipe.toml").read_text()
    assert luthier.resume(tmp_path / "run").scores


def test_what_is_not_there(server: tuple[Path, str]) -> None:
    _, address = server
    with pytest.raises(InputError, match="nothing was found at"):
        read_source(f"{address}/missing.csv")


def test_a_server_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A refused connection says nothing about the file."""
    monkeypatch.setenv("LUTHIER_CACHE", str(tmp_path))
    with pytest.raises(InputError, match=r"cannot be fetched\n  received: Cannot connect to host 127.0.0.1:9"):
        read_source("http://127.0.0.1:9/table.csv")


def test_a_server_that_refuses(server: tuple[Path, str], monkeypatch: pytest.MonkeyPatch) -> None:
    folder, address = server
    FRAME.write_csv(folder / "table.csv")
    for name in ("do_GET", "do_HEAD"):
        monkeypatch.setattr(Quiet, name, lambda self: self.send_error(403))
    with pytest.raises(InputError, match=r"cannot be fetched\n  received: 403"):
        read_source(f"{address}/table.csv")


@pytest.mark.parametrize("address", ["nothing://bucket/table.csv", "gs://bucket/table.csv", "s3://bucket/table.csv"])
def test_an_address_whose_package_is_missing(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "s3fs", None)
    monkeypatch.setitem(__import__("sys").modules, "gcsfs", None)
    with pytest.raises(InputError, match="cannot be read here") as caught:
        read_source(address)
    assert "luthier[remote]" in str(caught.value)


def test_a_folder_of_files_behind_an_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As buckets are: through fsspec's storage in memory."""
    monkeypatch.setenv("LUTHIER_CACHE", str(tmp_path))
    storage = fsspec.filesystem("memory")
    for k, piece in enumerate(FRAME.iter_slices(25)):
        piece.write_parquet(tmp_path / "piece.parquet")
        storage.pipe(f"/bucket/table/part-{k}.parquet", (tmp_path / "piece.parquet").read_bytes())
    assert read_source("memory://bucket/table").frame.equals(FRAME)
    storage.makedirs("/bucket/empty", exist_ok=True)
    with pytest.raises(InputError, match="holds no Parquet files"):
        read_source("memory://bucket/empty")


class Buckets:
    """A server that speaks the protocol of a cloud's storage, with a bucket of its own."""

    def __init__(self, scheme: str, put: Callable[[str, bytes], None]) -> None:
        self.scheme, self.put = scheme, put

    def __call__(self, path: str) -> str:
        return f"{self.scheme}://tables/{path}"


@pytest.fixture(params=["s3", "gs"])
def buckets(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Buckets]:
    """Amazon's and Google's storage, answered by servers on this machine."""
    monkeypatch.setenv("LUTHIER_CACHE", str(tmp_path / "cache"))
    if request.param == "s3":
        pytest.importorskip("s3fs")
        moto = pytest.importorskip("moto.server")
        boto3 = pytest.importorskip("boto3")
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, "testing")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        served = moto.ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
        served.start()
        address = "http://{}:{}".format(*served.get_host_and_port())
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        client = boto3.client("s3", endpoint_url=address)
        client.create_bucket(Bucket="tables")
        yield Buckets("s3", lambda key, content: client.put_object(Bucket="tables", Key=key, Body=content))
        served.stop()
        return
    pytest.importorskip("gcsfs")
    emulator = pytest.importorskip("gcp_storage_emulator.server")
    served = emulator.create_server("127.0.0.1", 0, in_memory=True, default_bucket="tables")
    served.start()
    address = f"http://127.0.0.1:{served._api._httpd.server_address[1]}"
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", address)

    def put(key: str, content: bytes) -> None:
        where = f"{address}/upload/storage/v1/b/tables/o?uploadType=media&name={quote(key, safe='')}"
        urllib.request.urlopen(urllib.request.Request(where, content, method="POST")).close()

    yield Buckets("gs", put)
    served.stop()


def as_bytes(frame: pl.DataFrame, kind: str) -> bytes:
    """A table as the bytes of a file."""
    content = io.BytesIO()
    getattr(frame, f"write_{kind}")(content)
    return content.getvalue()


def test_buckets(buckets: Buckets, tmp_path: Path) -> None:
    """A file, a folder, a change, a run and its prediction, and nothing: all from a bucket."""
    buckets.put("rows.csv", as_bytes(FRAME, "csv"))
    for k, piece in enumerate(FRAME.iter_slices(25)):
        buckets.put(f"folder/part-{k}.parquet", as_bytes(piece, "parquet"))
    assert read_source(buckets("rows.csv"), target="y").frame.cast(FRAME.schema).equals(FRAME)
    assert read_source(buckets("folder")).frame.equals(FRAME)
    first = fetched(buckets("rows.csv"))
    assert fetched(buckets("rows.csv")) == first
    result = luthier.fit(
        buckets("rows.csv"), target="y", columns={"x": "number"}, budget="60steps", until=2, run=tmp_path / "run"
    )
    assert result is not None
    assert luthier.resume(tmp_path / "run").model.predict(read_source(buckets("folder")).frame).shape == (60,)
    buckets.put("rows.csv", as_bytes(FRAME.head(30), "csv"))
    assert read_source(buckets("rows.csv")).frame.height == 30
    for missing in ("none.csv", "nowhere/none.parquet"):
        with pytest.raises(InputError, match="nothing was found at"):
            read_source(buckets(missing))

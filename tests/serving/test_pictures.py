"""A model of pictures behind HTTP: pictures as they are, or several in base64."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.datasets import load_digits
from tests.serving.test_serve import Server

import luthier
from luthier.runs.screen import SilentScreen
from luthier.serving.application import make_app

images = pytest.importorskip("PIL.Image")


def as_file(pixels: np.ndarray, kind: str = "PNG") -> bytes:
    content = io.BytesIO()
    images.fromarray(pixels).save(content, kind)
    return content.getvalue()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three hundred pictures of digits as files, one sub-folder a class."""
    result = tmp_path_factory.mktemp("digits")
    digits = load_digits()
    for place in range(300):
        path = result / str(digits.target[place]) / f"{place}.png"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(as_file((digits.images[place] * 15).astype(np.uint8)))
    return result


@pytest.fixture(scope="module")
def run(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> luthier.Result:
    where = tmp_path_factory.mktemp("runs") / "run"
    result = luthier.fit(folder, budget="40steps", run=where, screen=SilentScreen())
    assert result is not None
    return result


@pytest.fixture(scope="module")
def server(run: luthier.Result) -> Iterator[Server]:
    result = Server(run.path, "--rows", "20", "--body", "100000")
    yield result
    result.end()


def several(*files: bytes) -> bytes:
    return json.dumps({"pictures": [base64.b64encode(file).decode() for file in files]}).encode()


def test_answers_are_those_of_the_model(run: luthier.Result, folder: Path, server: Server) -> None:
    paths = sorted(folder.glob("*/*.png"))[:12]
    frame = pl.DataFrame({"picture": [str(path) for path in paths]})
    wanted, shares = run.predict(frame).to_list(), run.predict_proba(frame)
    status, result = server.ask(several(*(path.read_bytes() for path in paths)))
    assert status == 200
    assert [one["prediction"] for one in result["predictions"]] == wanted
    for one, share in zip(result["predictions"], shares.rows(named=True), strict=True):
        assert one["probabilities"] == pytest.approx(share, abs=1e-5)
    status, alone = server.ask(paths[0].read_bytes(), "image/png")
    assert status == 200
    assert alone["predictions"][0]["probabilities"] == pytest.approx(
        result["predictions"][0]["probabilities"], abs=1e-5
    )
    large = as_file(np.kron(np.asarray(images.open(paths[0])), np.ones((9, 9), np.uint8)), "JPEG")
    assert server.ask(large, "image/jpeg")[0] == 200


GOOD = as_file(np.zeros((8, 8), np.uint8))
POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n"


@pytest.mark.parametrize(
    ("body", "kind", "status", "said"),
    [
        (b"", "image/png", 422, "not a picture"),
        (b"GIF89a", "image/gif", 422, "cannot be read"),
        (GOOD[:45], "image/png", 422, "damaged"),
        (POSTSCRIPT, "image/png", 422, "not a picture"),
        (several(GOOD, b"none"), "application/json", 422, '"picture":1'),
        (several(*[b"none"] * 20), "application/json", 422, "20 pictures cannot be read"),
        (several(*[GOOD] * 21), "application/json", 413, "at most 20 pictures"),
        (b'{"pictures": ["/etc/passwd"]}', "application/json", 422, "not base64"),
        (b'{"pictures": [3]}', "application/json", 422, "not base64"),
        (b'{"pictures": []}', "application/json", 422, "one or more"),
        (b'{"rows": []}', "application/json", 422, "one or more"),
        (b"{", "application/json", 400, "not JSON"),
        (b"x" * 200_000, "image/png", 413, "at most 100,000 bytes"),
        (b"a,b\n1,2\n", "text/csv", 415, "image/png"),
    ],
)
def test_what_cannot_be_answered_is_said(body: bytes, kind: str, status: int, said: str, server: Server) -> None:
    server.refuses(body, kind, status, said)


def test_noise_is_refused_not_a_failure(server: Server) -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        body = bytearray(GOOD)
        for place in rng.integers(0, len(body), 3):
            body[place] = rng.integers(0, 256)
        assert server.ask(bytes(body), "image/png")[0] in (200, 422)


def test_onnx_runtime_tells_the_same_and_the_page_names_the_bodies(run: luthier.Result) -> None:
    pytest.importorskip("onnxruntime")
    from fastapi.testclient import TestClient

    told: list[Any] = []
    for runtime in ("torch", "onnx"):
        with TestClient(make_app(run.model, runtime=runtime)) as client:
            told.append(client.post("/predict", content=GOOD, headers={"content-type": "image/png"}).json())
            described = client.get("/openapi.json").json()
    one, other = (result["predictions"][0]["probabilities"] for result in told)
    assert one == pytest.approx(other, abs=1e-5)
    assert {"application/json", "image/png", "image/jpeg"} <= set(
        described["paths"]["/predict"]["post"]["requestBody"]["content"]
    )

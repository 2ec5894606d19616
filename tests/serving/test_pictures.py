"""A model of pictures behind HTTP: pictures as they are, or several in base64."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

pytest.importorskip("PIL")
pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")

from tests.serving import models
from tests.serving.asking import ThreadServer

from luthier.data import PictureEncoder
from luthier.saved import Model
from luthier.serving.application import make_app
from luthier.serving.readers.limits import Limits
from luthier.serving.readers.picture_reader import STRETCH, PictureReader, decoded

PATIENCE = 20.0  # seconds, only where the test fails


@pytest.fixture(scope="module")
def model() -> Model:
    return models.pictures()


@pytest.fixture(scope="module")
def server(model: Model) -> Iterator[ThreadServer]:
    result = ThreadServer(model, Limits(rows=20, body=200_000, pixels=4_000_000))
    yield result
    result.end()


def several(*files: bytes) -> bytes:
    return json.dumps({"pictures": [base64.b64encode(file).decode() for file in files]}).encode()


def test_answers_are_those_of_the_model(model: Model, server: ThreadServer, tmp_path: Path) -> None:
    files = [models.picture(side) for side in range(12, 24)]
    paths = [tmp_path / f"{k}.png" for k in range(12)]
    for path, file in zip(paths, files, strict=True):
        path.write_bytes(file)
    frame = pl.DataFrame({"picture": [str(path) for path in paths]})
    wanted, shares = model.predict(frame).to_list(), model.predict_proba(frame)
    status, result = server.ask(several(*files))
    assert status == 200
    assert [one["prediction"] for one in result["predictions"]] == wanted
    for one, share in zip(result["predictions"], shares.rows(named=True), strict=True):
        assert one["probabilities"] == pytest.approx(share, abs=1e-5)
    status, alone = server.ask(files[0], "image/png")
    assert status == 200
    assert alone["predictions"][0]["probabilities"] == pytest.approx(
        result["predictions"][0]["probabilities"], abs=1e-5
    )
    assert server.ask(models.picture(200, "JPEG"), "image/jpeg")[0] == 200


def test_a_small_request_does_not_wait_for_one_of_many_pictures(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(model.encoder, PictureEncoder)
    began, go_on, decoded = threading.Event(), threading.Event(), PictureEncoder.decoded

    def held(encoder: PictureEncoder, contents: Sequence[bytes]) -> Any:
        if len(contents) > 1:
            began.set()
            go_on.wait(PATIENCE)
        return decoded(encoder, contents)

    monkeypatch.setattr(PictureEncoder, "decoded", held)
    reader, file = PictureReader(model.encoder), models.picture(16)

    async def asked() -> tuple[bool, int, int]:
        many = asyncio.create_task(reader.read_in_turns("application/json", several(*[file] * 20), Limits()))
        await asyncio.to_thread(began.wait, PATIENCE)
        async with asyncio.timeout(PATIENCE / 2):
            one = await reader.read_in_turns("image/png", file, Limits())
        waiting = not many.done()
        go_on.set()
        return waiting, sum(map(len, one)), sum(map(len, await many))

    assert asyncio.run(asked()) == (True, 1, 20)


def test_large_pictures_among_small_ones_keep_their_places(model: Model, server: ThreadServer) -> None:
    """A million pixels and more are unpacked by another thread."""
    files = [
        models.picture(12),
        models.picture(1100),
        models.picture(13),
        models.picture(1200, "JPEG"),
        models.picture(14),
    ]
    status, result = server.ask(several(*files))
    assert status == 200
    for file, one in zip(files, result["predictions"], strict=True):
        kind = "image/jpeg" if file.startswith(b"\xff\xd8") else "image/png"
        alone = server.ask(file, kind)[1]["predictions"][0]
        assert one["probabilities"] == pytest.approx(alone["probabilities"], abs=1e-5)


GOOD = models.picture(8)
POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n"


def scans(count: int) -> bytes:
    """A progressive JPEG of a million pixels with so many more scans, all empty but their heads."""
    from PIL import Image

    content = io.BytesIO()
    Image.new("L", (1000, 1000)).save(content, "JPEG", progressive=True)
    return content.getvalue()[:-2] + b"\xff\xda\x00\x08\x01\x01\x00\x01\x3f\x10\x00" * count + b"\xff\xd9"


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
        (several(*[models.picture(1500)] * 2), "application/json", 413, "at most 4,000,000 pixels"),
        (models.picture(2100), "image/png", 413, "at most 4,000,000 pixels"),
        (scans(100), "image/jpeg", 413, "at most 4,000,000 pixels"),
        (b'{"pictures": ["/etc/passwd"]}', "application/json", 422, "not base64"),
        (b'{"pictures": ["a\\u0041=="]}', "application/json", 422, "not base64"),
        (b'{"pictures": [3]}', "application/json", 422, "not base64"),
        (b'{"pictures": []}', "application/json", 422, "with at least one"),
        (b'{"pictures": ["', "application/json", 400, "not JSON"),
        (b'{"pictures": ["AAAA"', "application/json", 400, "not JSON"),
        (b'{"pictures": ["AAAA"]} ""', "application/json", 400, "not JSON"),
        (b'{"rows": []}', "application/json", 422, "with at least one"),
        (b"{", "application/json", 400, "not JSON"),
        (b"x" * 300_000, "image/png", 413, "larger than 200,000 bytes"),
        (b"a,b\n1,2\n", "text/csv", 415, "image/png"),
    ],
)
def test_what_cannot_be_answered_is_said(body: bytes, kind: str, status: int, said: str, server: ThreadServer) -> None:
    server.refuses(body, kind, status, said)


def test_slashes_that_are_escaped_are_slashes(server: ThreadServer) -> None:
    """As PHP writes JSON."""
    file = next(models.picture(side) for side in range(8, 99) if b"/" in base64.b64encode(models.picture(side)))
    status, result = server.ask(several(file).replace(b"/", b"\\/"))
    assert (status, result) == server.ask(several(file))
    assert status == 200


def test_noise_is_refused_not_a_failure(server: ThreadServer) -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        body = bytearray(GOOD)
        for place in rng.integers(0, len(body), 3):
            body[place] = rng.integers(0, 256)
        assert server.ask(bytes(body), "image/png")[0] in (200, 422)


def test_onnx_runtime_tells_the_same_and_the_page_names_the_bodies(model: Model) -> None:
    pytest.importorskip("onnxruntime")
    from fastapi.testclient import TestClient

    told: list[Any] = []
    for runtime in ("torch", "onnx"):
        with TestClient(make_app(model, runtime=runtime)) as client:
            told.append(client.post("/predict", content=GOOD, headers={"content-type": "image/png"}).json())
            described = client.get("/openapi.json").json()
    one, other = (result["predictions"][0]["probabilities"] for result in told)
    assert one == pytest.approx(other, abs=1e-5)
    assert {"application/json", "image/png", "image/jpeg"} <= set(
        described["paths"]["/predict"]["post"]["requestBody"]["content"]
    )


@pytest.mark.parametrize("length", [0, 1, 2, 3, 100, 3 * STRETCH // 4, STRETCH, 2 * STRETCH + 1])
def test_base64_in_stretches_is_base64(length: int) -> None:
    """As the standard library has it, which decodes all of a text in one call."""
    text = base64.b64encode(np.random.default_rng(length).bytes(length))
    others = [text[:-1] + b"!", b"=" + text, text[: length // 2] + b"\n" + text[length // 2 :]]
    others += [text[:STRETCH] + b"AA==" + text[STRETCH:], text[:-1], text[:STRETCH] + b"AAA=" + text[STRETCH:]]
    for one in (text, *others):
        try:
            expected = base64.b64decode(one, validate=True)
        except ValueError:
            with pytest.raises(ValueError, match=r".+"):
                decoded(one)
        else:
            assert decoded(one) == expected

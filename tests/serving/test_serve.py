"""A model of a table behind HTTP, asked by real clients over a real socket."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from http.client import HTTPResponse
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from tests.browsing import elsewhere

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")

from tests.serving import models
from tests.serving.asking import ThreadServer
from tests.serving.neighbours import ROW

from luthier.cli import main
from luthier.data.target_transform import TargetTransform
from luthier.saved import Model
from luthier.serving.application import make_app
from luthier.serving.readers.limits import Limits


@pytest.fixture(scope="module")
def model() -> Model:
    return models.table()


@pytest.fixture(scope="module")
def server(model: Model) -> Iterator[ThreadServer]:
    result = ThreadServer(model, Limits(rows=50, body=20_000))
    yield result
    result.end()


def rows(*changes: dict[str, Any]) -> bytes:
    return json.dumps({"rows": [{**ROW, **one} for one in changes]}).encode()


def test_answers_are_those_of_the_model(model: Model, server: ThreadServer) -> None:
    frame = pl.DataFrame([ROW, {**ROW, "kind": "green"}, {**ROW, "size": None}])
    wanted, shares = model.predict(frame).to_list(), model.predict_proba(frame)
    status, result = server.ask(rows({}, {"kind": "green"}, {"size": None}))
    assert status == 200
    assert [one["prediction"] for one in result["predictions"]] == wanted
    for one, share in zip(result["predictions"], shares.rows(named=True), strict=True):
        assert one["probabilities"] == pytest.approx(share, abs=1e-6)  # rounded to nine digits, computed in float32
    csv = b"size,kind,old,day\n3.5,red,true,2024-03-04\n3.5,green,true,2024-03-04\n,red,true,2024-03-04\n"
    assert server.ask(csv, "text/csv")[1] == result


@pytest.mark.parametrize(
    ("body", "kind", "status", "said"),
    [
        (b"{", "application/json", 400, "not JSON"),
        (b"[" * 100_00, "application/json", 400, "not JSON"),
        (b"\xff", "application/json", 400, "not JSON"),
        (b'{"rows": [{"kind": "\xff"}]}', "application/json", 400, "not UTF-8"),
        (b'{"rows": [' + b"[" * 10_000, "application/json", 400, "not JSON"),
        (b'{"rows": [' + b"9" * 5000 + b"]}", "application/json", 400, "not JSON"),
        (b"{}", "application/json", 422, "with at least one"),
        (b'{"rows": []}', "application/json", 422, "with at least one"),
        (b'{"rows": [3], "more": 1}', "application/json", 422, "with at least one"),
        (b'{"rows": [3]}', "application/json", 422, "an object"),
        (rows({"size": "large"}), "application/json", 422, '"field":"size"'),
        (rows({"size": True}), "application/json", 422, '"field":"size"'),
        (rows({"size": [1]}), "application/json", 422, '"field":"size"'),
        (rows({"day": "4111"}), "application/json", 422, "a date in the format ISO 8601"),
        (rows({}, {"day": "2024-02-30"}), "application/json", 422, '"row":1,"field":"day"'),
        (rows({"kind": "\ud800"}), "application/json", 422, '"field":"kind"'),
        (rows({"\ud800": 1}), "application/json", 422, "a column of the model"),
        (rows({"more": 1}), "application/json", 422, '"field":"more"'),
        (b'{"rows": [{"size": 1}]}', "application/json", 422, '"field":"kind"'),
        (rows({"size": 1e309}), "application/json", 422, '"field":"size"'),
        (rows(*[{}] * 51), "application/json", 413, "at most 50 rows"),
        (b"x" * 30_000, "application/json", 413, "larger than 20,000 bytes"),
        (b"size,kind\n1,red\n", "text/csv", 422, "old"),
        (b"size,kind,old,day\nbig,red,true,2024-03-04\n", "text/csv", 422, '"field":"size"'),
        (b"size,kind,old,day\n1,red,true,4111\n", "text/csv", 422, '"field":"day"'),
        (b"size,kind,old,day\n", "text/csv", 422, "no row"),
        (b"<a/>", "text/xml", 415, "text/csv"),
    ],
)
def test_what_cannot_be_answered_is_said(body: bytes, kind: str, status: int, said: str, server: ThreadServer) -> None:
    server.refuses(body, kind, status, said)


def test_rows_beyond_the_first_piece_are_named_by_their_own_number(model: Model) -> None:
    changes = [{"day": "4111"} if k in (3, 700, 4999) else {} for k in range(5000)]
    server = ThreadServer(model)
    status, result = server.ask(rows(*changes))
    assert (status, [one["row"] for one in result["fields"]]) == (422, [3, 700, 4999])
    lines = [b"1,red,true,%b" % (b"4111" if "day" in one else b"2024-03-04") for one in changes]
    status, result = server.ask(b"size,kind,old,day\n" + b"\n".join(lines), "text/csv")
    assert (status, [one["row"] for one in result["fields"]]) == (422, [3, 700, 4999])
    server.end()


def test_many_rows_are_answered_in_their_order(model: Model) -> None:
    sizes = np.random.default_rng(0).normal(3, 1, 3000).round(3).tolist()
    frame = pl.DataFrame([{**ROW, "size": size} for size in sizes])
    server = ThreadServer(model)
    for body, kind in (
        (rows(*[{"size": size} for size in sizes]), "application/json"),
        (frame.write_csv().encode(), "text/csv"),
    ):
        status, result = server.ask(body, kind)
        assert status == 200
        got = [one["probabilities"]["yes"] for one in result["predictions"]]
        assert got == pytest.approx(model.predict_proba(frame)["yes"].to_list(), abs=1e-6)
    server.end()


def test_a_prediction_that_is_not_finite_is_said() -> None:
    server = ThreadServer(replace(models.table("regression"), transform=TargetTransform(float("inf"))))
    server.refuses(rows({}), "application/json", 422, "not a finite number")
    server.end()


def test_noise_is_refused_not_a_failure(server: ThreadServer) -> None:
    rng = np.random.default_rng(0)
    base = rows({})
    for _ in range(300):
        body = bytearray(base)
        for place in rng.integers(0, len(body), 4):
            body[place] = rng.integers(0, 256)
        code, _ = server.ask(bytes(body), str(rng.choice(["application/json", "text/csv"])))
        assert code in (200, 400, 422)


def test_requests_that_come_together(model: Model, server: ThreadServer) -> None:
    sizes = [round(0.1 * k, 1) for k in range(60)]
    wanted = model.predict(pl.DataFrame([{**ROW, "size": size} for size in sizes])).to_list()
    result: dict[int, str] = {}

    def ask(k: int) -> None:
        result[k] = server.ask(rows({"size": sizes[k]}))[1]["predictions"][0]["prediction"]

    threads = [threading.Thread(target=ask, args=(k,)) for k in range(60)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [result[k] for k in range(60)] == wanted


def test_health_metrics_and_description(server: ThreadServer) -> None:
    assert server.ask(None, path="/health")[1]["classes"] == ["no", "yes"]
    server.ask(rows({}))
    assert re.search(r'luthier_requests_total\{status="200"\} [1-9]', server.ask(None, path="/metrics")[1])
    described = server.ask(None, path="/openapi.json")[1]
    content = described["paths"]["/predict"]["post"]["requestBody"]["content"]
    assert set(content["application/json"]["schema"]["properties"]["rows"]["items"]["properties"]) == set(ROW)
    assert content["application/json"]["example"]["rows"][0].keys() == ROW.keys()


@pytest.mark.parametrize("kind", ["binary", "multiclass", "regression"])
def test_the_examples_of_the_page_are_answered_as_it_says(kind: str) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    from fastapi.testclient import TestClient

    classes = ("a", "b", "c") if kind == "multiclass" else ("no", "yes")
    with TestClient(make_app(models.table(kind, classes=classes))) as client:
        described = client.get("/openapi.json").json()["paths"]["/predict"]["post"]
        for media, body in described["requestBody"]["content"].items():
            text = json.dumps(body["example"]) if media == "application/json" else body["example"]
            answer = client.post("/predict", content=text, headers={"content-type": media})
            assert answer.status_code == 200, answer.text
            jsonschema.validate(answer.json(), described["responses"]["200"]["content"]["application/json"]["schema"])


def test_a_typical_row_is_one() -> None:
    """The median where most rows are alike, the most frequent level that is one; nothing without a profile."""
    size = np.where(np.arange(300) % 4, 0.0, np.arange(300))
    kind = [("red", "red", "green", "blue", None)[k % 5] for k in range(300)]
    result = models.of_frame(pl.DataFrame({"size": size, "kind": kind}))
    assert result.typical_row() == {"size": 0.0, "kind": "red"}
    bare = replace(result, profile=None)
    assert bare.typical_row() == {"size": None, "kind": None}
    make_app(bare)


@pytest.mark.browser
def test_the_page_needs_nothing_from_elsewhere(server: ThreadServer, browser: Any) -> None:
    browser.get_log("performance")
    browser.get(f"{server.address}/docs")
    for _ in range(100):
        if "/predict" in browser.find_element("tag name", "body").text:
            break
        time.sleep(0.1)
    assert "/predict" in browser.find_element("tag name", "body").text
    assert elsewhere(browser, server.address) == []
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []


def test_time_runs_out_with_words(model: Model) -> None:
    from fastapi.testclient import TestClient

    with TestClient(make_app(model, limits=Limits(seconds=1e-6))) as client:
        answer = client.post("/predict", content=rows(*[{}] * 500))
    assert answer.status_code == 503
    assert "send fewer rows" in answer.json()["error"]


def test_a_body_that_never_ends_is_given_up(model: Model) -> None:
    server = ThreadServer(model, Limits(seconds=0.5))
    with socket.create_connection(server.place, timeout=20) as connection:
        connection.sendall(b"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n{")
        answer = HTTPResponse(connection)
        answer.begin()
        message = json.loads(answer.read())
    assert answer.status == 503
    assert "no answer within 0.5 s" in message["error"]
    assert server.ask(rows({}))[0] == 200
    server.end()


def test_nothing_that_the_description_allows_or_forbids_is_a_failure(model: Model) -> None:
    """Requests drawn from the application's own OpenAPI page, right and wrong ones: never a 5xx."""
    schemathesis = pytest.importorskip("schemathesis")
    from hypothesis import HealthCheck, given, settings

    described = schemathesis.openapi.from_asgi("/openapi.json", make_app(model))
    wrong = schemathesis.GenerationMode.NEGATIVE
    seen: dict[int, int] = {}
    torch.set_flush_denormal(False)  # training flushes them, and hypothesis wants to draw them
    for mode in (None, wrong):
        cases = described["/predict"]["POST"].as_strategy(**({} if mode is None else {"generation_mode": mode}))

        @given(case=cases)
        @settings(max_examples=100, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        def check(case: Any) -> None:
            status = case.call().status_code
            seen[status] = seen.get(status, 0) + 1
            assert status < 500

        check()
    assert seen.get(200, 0) > 10
    assert sum(count for status, count in seen.items() if status >= 400) > 50


def test_a_port_that_is_taken_is_said(
    model: Model, server: ThreadServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["serve", str(models.saved(model, tmp_path)), "--port", str(server.place[1])])
    assert ended.value.code == 2
    assert "cannot listen" in capsys.readouterr().err

"""A model behind HTTP, asked by a real client over a real socket."""

from __future__ import annotations

import json
import re
import signal
import socket
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from http.client import HTTPResponse
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from tests import warm
from tests.browsing import elsewhere
from tests.cli.program import luthier as command_line

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")

import luthier
from luthier.runs.screen import SilentScreen
from luthier.serving.app import Limits, make_app

ROW = {"size": 3.5, "kind": "red", "old": True}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> luthier.Result:
    rng = np.random.default_rng(0)
    size, kind, old = rng.normal(3, 1, 300), rng.choice(["red", "green"], 300), rng.random(300) < 0.5
    label = np.where((size > 3) ^ (kind == "red"), "yes", "no")
    frame = pl.DataFrame({"size": size, "kind": kind, "old": old, "label": label})
    folder = tmp_path_factory.mktemp("runs") / "run"
    found = luthier.fit(frame, target="label", budget="150steps", run=folder, screen=SilentScreen())
    assert found is not None
    return found


class Server:
    """`luthier serve` in a process of its own."""

    def __init__(self, run: Path, *options: str) -> None:
        command = [sys.executable, "-m", "luthier", "serve", str(run), "--port", "0", *options]
        self.process = warm.Popen(command, stdout=warm.PIPE, stderr=warm.STDOUT, text=True)
        assert self.process.stdout is not None
        found = re.search(r"at (http://\S+:\d+),", self.process.stdout.readline())
        assert found is not None
        self.address = found[1]
        for _ in range(100):
            try:
                urllib.request.urlopen(f"{self.address}/health").close()
                return
            except urllib.error.URLError:
                time.sleep(0.1)

    def ask(
        self, body: bytes, kind: str = "application/json", path: str = "/predict", **headers: str
    ) -> tuple[int, Any]:
        request = urllib.request.Request(self.address + path, body, {"content-type": kind, **headers})
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read())

    def refuses(self, body: bytes, kind: str, status: int, said: str) -> None:
        """It answers with this status, and says this somewhere."""
        code, found = self.ask(body, kind)
        assert code == status
        assert said in json.dumps(found, separators=(",", ":"))
        assert len(found["fields"]) <= 20

    def end(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout=30)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code


@pytest.fixture(scope="module")
def server(run: luthier.Result) -> Iterator[Server]:
    found = Server(run.path, "--rows", "50", "--body", "20000")
    yield found
    found.end()


def rows(*changes: dict[str, Any]) -> bytes:
    return json.dumps({"rows": [{**ROW, **one} for one in changes]}).encode()


def test_answers_are_those_of_the_model(run: luthier.Result, server: Server) -> None:
    frame = pl.DataFrame([ROW, {**ROW, "kind": "green"}, {**ROW, "size": None}])
    wanted, shares = run.predict(frame).to_list(), run.predict_proba(frame)
    status, found = server.ask(rows({}, {"kind": "green"}, {"size": None}))
    assert status == 200
    assert [one["prediction"] for one in found["predictions"]] == wanted
    for one, share in zip(found["predictions"], shares.rows(named=True), strict=True):
        assert one["probabilities"] == pytest.approx(share, abs=1e-6)
    csv = b"size,kind,old\n3.5,red,true\n3.5,green,true\n,red,true\n"
    assert server.ask(csv, "text/csv")[1] == found


@pytest.mark.parametrize(
    ("body", "kind", "status", "said"),
    [
        (b"{", "application/json", 400, "not JSON"),
        (b"[" * 100_00, "application/json", 400, "not JSON"),
        (b"\xff", "application/json", 400, "not JSON"),
        (b"{}", "application/json", 422, "one or more"),
        (b'{"rows": []}', "application/json", 422, "one or more"),
        (b'{"rows": [3]}', "application/json", 422, "an object"),
        (rows({"size": "large"}), "application/json", 422, '"field":"size"'),
        (rows({"size": True}), "application/json", 422, '"field":"size"'),
        (rows({"size": [1]}), "application/json", 422, '"field":"size"'),
        (rows({"more": 1}), "application/json", 422, '"field":"more"'),
        (b'{"rows": [{"size": 1}]}', "application/json", 422, '"field":"kind"'),
        (b'{"rows": [{"size": 1e999, "kind": "a", "old": true}]}', "application/json", 422, '"field":"size"'),
        (rows(*[{}] * 51), "application/json", 413, "at most 50 rows"),
        (b"x" * 30_000, "application/json", 413, "at most 20,000 bytes"),
        (b"size,kind\n1,red\n", "text/csv", 422, "old"),
        (b"size,kind,old\nbig,red,true\n", "text/csv", 422, '"field":"size"'),
        (b"size,kind,old\n", "text/csv", 422, "no row"),
        (b"<a/>", "text/xml", 415, "text/csv"),
    ],
)
def test_what_cannot_be_answered_is_said(body: bytes, kind: str, status: int, said: str, server: Server) -> None:
    server.refuses(body, kind, status, said)


def test_noise_is_refused_not_a_failure(server: Server) -> None:
    rng = np.random.default_rng(0)
    base = rows({})
    for _ in range(300):
        body = bytearray(base)
        for place in rng.integers(0, len(body), 4):
            body[place] = rng.integers(0, 256)
        code, _ = server.ask(bytes(body), str(rng.choice(["application/json", "text/csv"])))
        assert code in (200, 400, 422)


def test_requests_that_come_together(run: luthier.Result, server: Server) -> None:
    sizes = [round(0.1 * k, 1) for k in range(60)]
    wanted = run.predict(pl.DataFrame([{**ROW, "size": size} for size in sizes])).to_list()
    found: dict[int, str] = {}

    def ask(k: int) -> None:
        found[k] = server.ask(rows({"size": sizes[k]}))[1]["predictions"][0]["prediction"]

    threads = [threading.Thread(target=ask, args=(k,)) for k in range(60)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[k] for k in range(60)] == wanted


def test_health_metrics_and_description(server: Server) -> None:
    with urllib.request.urlopen(f"{server.address}/health") as answer:
        assert json.loads(answer.read())["classes"] == ["no", "yes"]
    server.ask(rows({}))
    with urllib.request.urlopen(f"{server.address}/metrics") as answer:
        text = answer.read().decode()
    assert re.search(r'luthier_requests_total\{status="200"\} [1-9]', text)
    with urllib.request.urlopen(f"{server.address}/openapi.json") as answer:
        described = json.loads(answer.read())
    content = described["paths"]["/predict"]["post"]["requestBody"]["content"]
    assert set(content["application/json"]["schema"]["properties"]["rows"]["items"]["properties"]) == set(ROW)
    assert content["application/json"]["example"]["rows"][0].keys() == ROW.keys()


@pytest.mark.parametrize("task", ["classes", "numbers"])
def test_the_examples_of_the_page_are_answered_as_it_says(task: str) -> None:
    """For columns of every kind."""
    jsonschema = pytest.importorskip("jsonschema")
    from fastapi.testclient import TestClient

    rng = np.random.default_rng(0)
    size, kind, old = rng.normal(3, 1, 300), rng.choice(["red", "green"], 300), rng.random(300) < 0.5
    day = np.datetime64("2024-01-01") + rng.integers(0, 900, 300).astype("timedelta64[D]")
    words = [" ".join(rng.choice(["a", "quick", "brown", "fox", "jumps", "over"], 12)) for _ in range(300)]
    target = np.where(size > 3, "yes", "no") if task == "classes" else size + rng.normal(0, 0.1, 300)
    columns = {"size": size, "kind": kind, "old": np.where(old, "Y", "N"), "day": day.astype(str), "words": words}
    frame = pl.DataFrame({**columns, "target": target})
    found = luthier.fit(frame, target="target", budget="60steps", screen=SilentScreen())
    assert found is not None
    with TestClient(make_app(found.model)) as client:
        described = client.get("/openapi.json").json()["paths"]["/predict"]["post"]
        for kind, body in described["requestBody"]["content"].items():
            text = json.dumps(body["example"]) if kind == "application/json" else body["example"]
            answer = client.post("/predict", content=text, headers={"content-type": kind})
            assert answer.status_code == 200, answer.text
            jsonschema.validate(answer.json(), described["responses"]["200"]["content"]["application/json"]["schema"])


def test_a_typical_row_is_one() -> None:
    """The median where most rows are alike, the most frequent level that is one; nothing without a profile."""
    size = np.where(np.arange(300) % 4, 0.0, np.arange(300))
    kind = [("red", "red", "green", "blue", None)[k % 5] for k in range(300)]
    label = np.where(np.arange(300) % 2, "yes", "no")
    found = luthier.fit(
        pl.DataFrame({"size": size, "kind": kind, "label": label}),
        target="label",
        budget="60steps",
        screen=SilentScreen(),
    )
    assert found is not None
    row = found.model.typical_row()
    assert row == {"size": 0.0, "kind": "red"}
    bare = replace(found.model, profile=None)
    assert bare.typical_row() == {"size": None, "kind": None}
    make_app(bare)


@pytest.mark.browser
def test_the_page_needs_nothing_from_elsewhere(server: Server, browser: Any) -> None:
    browser.get_log("performance")
    browser.get(f"{server.address}/docs")
    for _ in range(100):
        if "/predict" in browser.find_element("tag name", "body").text:
            break
        time.sleep(0.1)
    assert "/predict" in browser.find_element("tag name", "body").text
    assert elsewhere(browser, server.address) == []
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []


def test_a_token_is_asked_for(run: luthier.Result) -> None:
    server = Server(run.path, "--token", "secret")
    assert server.ask(rows({}))[0] == 401
    assert server.ask(rows({}), authorization="Bearer wrong")[0] == 401
    assert server.ask(rows({}), authorization="Bearer secret")[0] == 200
    assert server.end() in (0, -signal.SIGTERM)


def test_what_was_accepted_is_answered_before_it_stops(run: luthier.Result) -> None:
    server, answers = Server(run.path), []  # type: ignore[var-annotated]
    body = rows(*[{}] * 9000)
    threads = [threading.Thread(target=lambda: answers.append(server.ask(body)[0])) for _ in range(4)]
    for thread in threads:
        thread.start()
    time.sleep(0.15)
    server.end()
    for thread in threads:
        thread.join()
    assert answers == [200] * 4


def test_time_runs_out_with_words(run: luthier.Result) -> None:
    from fastapi.testclient import TestClient

    with TestClient(make_app(run.model, limits=Limits(seconds=1e-6))) as client:
        answer = client.post("/predict", content=rows(*[{}] * 500))
    assert answer.status_code == 503
    assert "send less at a time" in answer.json()["error"]


def test_a_body_that_never_ends_is_given_up(run: luthier.Result) -> None:
    server = Server(run.path, "--timeout", "0.5")
    host, port = server.address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(b"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n{")
        answer = HTTPResponse(connection)
        answer.begin()
        said = json.loads(answer.read())
    assert answer.status == 503
    assert "no answer within 0.5 s" in said["error"]
    assert server.ask(rows({}))[0] == 200
    server.end()


def test_nothing_that_the_description_allows_or_forbids_is_a_failure(run: luthier.Result) -> None:
    """Requests drawn from the application's own OpenAPI page, right and wrong ones: never a 5xx."""
    schemathesis = pytest.importorskip("schemathesis")
    from hypothesis import HealthCheck, given, settings

    described = schemathesis.openapi.from_asgi("/openapi.json", make_app(run.model))
    wrong = schemathesis.GenerationMode.NEGATIVE
    seen: dict[int, int] = {}
    torch.set_flush_denormal(False)  # training flushes them, and hypothesis wants to draw them
    for mode in (None, wrong):
        cases = described["/predict"]["POST"].as_strategy(**({} if mode is None else {"generation_mode": mode}))

        @given(case=cases)
        @settings(max_examples=200, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        def check(case: Any) -> None:
            status = case.call().status_code
            seen[status] = seen.get(status, 0) + 1
            assert status < 500

        check()
    assert seen.get(200, 0) > 10
    assert sum(count for status, count in seen.items() if status >= 400) > 50


def test_a_port_that_is_taken_is_said(run: luthier.Result, server: Server) -> None:
    done = command_line("serve", run.path, "--port", server.address.rpartition(":")[2])
    assert done.returncode == 2
    assert "nothing can listen" in done.stderr
    assert "Traceback" not in done.stderr

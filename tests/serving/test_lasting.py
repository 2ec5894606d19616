"""Serving that lasts: a model replaced under load, several workers, health and readiness, a log of requests."""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")

from tests.serving import models
from tests.serving.asking import Client, ProcessServer, ThreadServer
from tests.serving.neighbours import ROW

from luthier.rows import Inputs
from luthier.saved import Model
from luthier.serving import faster, reloading
from luthier.serving.predictions import Answers, Compute
from luthier.serving.request_log import JsonLines
from luthier.serving.served_model import reader_of

BODY = json.dumps({"rows": [ROW]}).encode()
ROOT = Path(__file__).parents[2]


def until(seen: Callable[[], bool], seconds: float = 30.0) -> None:
    """Wait until something is so."""
    end = time.monotonic() + seconds
    while not seen():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.05)


def put(kind: str, path: Path) -> None:
    """Another model of the same columns, as a run writes it: whole, in one step."""
    classes = () if kind == "regression" else ("no", "yes")
    models.table(kind, classes=classes).save(path.with_suffix(".new"))
    os.replace(path.with_suffix(".new"), path)


def kind_served(server: Client) -> str:
    return str(server.ask(None, path="/health")[1]["task"])


def asked_meanwhile(server: Client, change: Callable[[], None]) -> list[int]:
    """The statuses of requests that four callers send while something changes."""
    statuses: list[int] = []
    ended = threading.Event()

    def ask() -> None:
        while not ended.is_set():
            statuses.append(server.ask(BODY)[0])

    callers = [threading.Thread(target=ask) for _ in range(4)]
    for one in callers:
        one.start()
    try:
        change()
    finally:
        ended.set()
        for one in callers:
            one.join()
    return statuses


def test_a_changed_file_replaces_the_model_and_no_request_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(reloading, "EVERY", 0.05)
    path = models.saved(models.table(), tmp_path)
    server = ThreadServer(models.table(), path=path, watch=True)
    try:
        described = server.ask(None, path="/openapi.json")[1]

        def change() -> None:
            put("regression", path)
            until(lambda: kind_served(server) == "regression")

        assert set(asked_meanwhile(server, change)) == {200}
        assert "low" in server.ask(BODY)[1]["predictions"][0]
        assert server.ask(None, path="/openapi.json")[1] != described
        with caplog.at_level(logging.ERROR):
            path.write_bytes(path.read_bytes()[:100])
            until(lambda: "was not replaced" in caplog.text)
        assert server.ask(BODY)[0] == 200
    finally:
        server.end()


def test_ready_is_whether_the_model_answers() -> None:
    model = models.table()
    server = ThreadServer(model, token="a-secret")
    try:
        assert server.ask(None, path="/ready") == (200, {"status": "ready", "runtime": "torch"})
        for parameter in model.nets[0].parameters():
            parameter.data.fill_(float("nan"))
        assert server.ask(None, path="/ready") == (503, {"status": "not ready", "runtime": "torch"})
        assert server.ask(None, path="/health")[0] == 200
    finally:
        server.end()


def test_onnx_runtime_takes_over_few_rows_while_requests_are_answered(tmp_path: Path) -> None:
    """Of each model anew, and a model that cannot be exported stays with PyTorch, which the log says."""
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    path = models.saved(models.table(), tmp_path)
    server = ProcessServer(path, "--runtime", "auto", "--watch", LUTHIER_CACHE=str(tmp_path / "cache"))

    def runtime() -> str:
        return str(server.ask(None, path="/ready")[1]["runtime"])

    try:
        before = server.ask(BODY)[1]["predictions"][0]["probabilities"]["yes"]
        assert set(asked_meanwhile(server, lambda: until(lambda: runtime() == "onnx", 500))) == {200}
        assert server.ask(BODY)[1]["predictions"][0]["probabilities"]["yes"] == pytest.approx(before, abs=1e-5)
        models.text().save(path.with_suffix(".new"))
        os.replace(path.with_suffix(".new"), path)
        until(lambda: runtime() == "torch")
        body = json.dumps({"rows": [{"said": "so"}]}).encode()
        assert server.ask(body)[0] == 200
    finally:
        _, message = server.end()
    assert re.search(r"ONNX Runtime computes up to \d+ rows at a time", message)
    assert "PyTorch computes all answers: a model of text cannot be exported" in message


def test_answers_of_many_rows_stay_with_pytorch_where_it_is_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each size is timed, up to the first at which ONNX Runtime is the slower one."""
    model = models.table()
    answers = Answers(model, reader_of(model), "auto")
    seen: list[int] = []

    def slower_from_64(_: Model) -> Compute:
        def compute(inputs: Inputs) -> np.ndarray:
            seen.append(inputs.rows)
            time.sleep(0.05 if inputs.rows >= 64 else 0)
            return np.zeros((inputs.rows, 2))

        return compute

    def slow(_: Model) -> Compute:
        def compute(inputs: Inputs) -> np.ndarray:
            time.sleep(0.02)
            return np.ones((inputs.rows, 2))

        return compute

    monkeypatch.setattr(faster, "in_runtime", slower_from_64)
    monkeypatch.setattr(faster, "by_torch", slow)
    assert faster.put(answers) == 16
    assert max(seen) == 64
    assert answers.runtime == "onnx"
    few, many = (answers._compute(Inputs(numbers=torch.zeros(rows, 1))) for rows in (16, 17))
    assert (few.max(), many.min()) == (0, 1)


def test_a_request_is_a_line_of_the_log_without_what_it_held(caplog: pytest.LogCaptureFixture) -> None:
    server = ThreadServer(models.table(), logged=True)
    try:
        with caplog.at_level(logging.INFO, "luthier"):
            server.ask(BODY)
            server.ask(b"{}", path="/predict?token=a-secret")
            server.ask(None, path="/nowhere")
    finally:
        server.end()
    lines = [json.loads(JsonLines().format(one)) for one in caplog.records if one.getMessage() == "request"]
    assert [(one["method"], one["path"], one["status"]) for one in lines] == [
        ("POST", "/predict", 200),
        ("POST", "/predict", 422),
        ("GET", "/nowhere", 404),
    ]
    assert all(one["ms"] > 0 and one["bytes"] > 0 for one in lines)
    assert "a-secret" not in json.dumps(lines)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a system without fork")
def test_workers_answer_together_are_replaced_and_reload(tmp_path: Path) -> None:
    path = models.saved(models.table(), tmp_path)
    server = ProcessServer(path, "--workers", "2", "--log", "json")
    try:
        assert set(asked_meanwhile(server, lambda: time.sleep(1))) == {200}
        counted = server.ask(None, path="/metrics")[1]
        first = float(re.findall(r'luthier_requests_total\{status="200"\} ([\d.]+)', counted)[0])
        assert first >= 4  # of both, whichever is asked
        children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children")
        if children.exists():
            before = children.read_text().split()
            assert len(before) == 2
            os.kill(int(before[0]), signal.SIGKILL)
            until(lambda: len(children.read_text().split()) == 2 and children.read_text().split() != before)
        put("regression", path)
        os.kill(server.process.pid, signal.SIGHUP)
        until(lambda: {kind_served(server) for _ in range(8)} == {"regression"})
        assert server.ask(BODY)[0] == 200
    finally:
        code, message = server.end()
    assert code == 0
    assert '"message": "the model at' in message
    assert "Traceback" not in message


def test_hadolint_finds_nothing_in_the_dockerfile() -> None:
    place = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    program = shutil.which("hadolint", path=place)
    if program is None:
        pytest.skip("hadolint is not installed")
    done = subprocess.run([program, str(ROOT / "Dockerfile")], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_container_runs_as_nobody_special_and_says_how_it_is() -> None:
    """What linters of Dockerfiles ask for (hadolint's DL3002, DL3006, DL3013, DL3020, DL3025, DL3042)."""
    text = (ROOT / "Dockerfile").read_text()
    steps = [
        (one.split()[0], one) for one in re.split(r"\n(?=[A-Z]+ )", re.sub(r"\\\n\s*|^#.*\n", "", text, flags=re.M))
    ]
    names = [name for name, _ in steps]
    base = next(one for name, one in steps if name == "FROM")
    assert re.search(r":\d", base)
    assert "latest" not in base
    assert "ADD" not in names
    users = [one.split()[1] for name, one in steps if name == "USER"]
    assert users[-1:] == ["10001"], "a number, which Kubernetes can check, and not root's"
    assert names.index("USER") > max(i for i, name in enumerate(names) if name in ("RUN", "COPY"))
    for name, one in steps:
        if name == "RUN" and "pip install" in one:
            assert one.count("--no-cache-dir") == one.count("pip install")
        if name in ("CMD", "ENTRYPOINT"):
            json.loads(one.partition(" ")[2])
    assert "/ready" in next(one for name, one in steps if name == "HEALTHCHECK")
    options = json.loads(next(one for name, one in steps if name == "CMD").partition(" ")[2])
    assert {"--host", "--workers", "--log", "--watch"} <= set(options)

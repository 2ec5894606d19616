"""`luthier serve` as the command line starts it, once: what others see of it, what it takes, and how it ends."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")

from tests.serving import models
from tests.serving.asking import ProcessServer
from tests.serving.neighbours import ROW, post

BEARER = {"authorization": "bearer a-secret"}
MEGABYTE = 1 << 20


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProcessServer]:
    result = ProcessServer(models.saved(models.table(), tmp_path_factory.mktemp("model")), LUTHIER_TOKEN="a-secret")
    yield result
    if result.process.poll() is None:
        result.end()


def of_process(server: ProcessServer, name: str) -> str:
    path = Path(f"/proc/{server.process.pid}/{name}")
    if not path.exists():
        pytest.skip("a system without /proc")
    return path.read_text()


def body(count: int) -> bytes:
    return json.dumps({"rows": [ROW] * count}).encode()


def test_the_token_is_asked_for_and_not_shown(server: ProcessServer) -> None:
    assert server.ask(body(1))[0] == 401
    assert server.ask(body(1), **BEARER)[0] == 200
    assert "a-secret" not in of_process(server, "cmdline")
    assert "a-secret" not in server.line


def test_half_sent_bodies_do_not_fill_memory(server: ProcessServer) -> None:
    """Sixty of fifteen megabytes: no more than four times the largest is held, a quarter of a gigabyte with copies."""

    def resident() -> int:
        return int(re.findall(r"VmRSS:\s+(\d+)", of_process(server, "status"))[0]) // 1024

    before, most = resident(), 0
    request = post(b" " * 15 * MEGABYTE, length=16 * MEGABYTE)
    request = request.replace(b"\r\n", b"\r\nauthorization: bearer a-secret\r\n", 1)
    with ExitStack() as stack:
        for _ in range(60):
            one = stack.enter_context(socket.create_connection(server.place, timeout=60))
            one.sendall(request)
            most = max(most, resident())
        assert server.ask(body(10_000), **BEARER)[0] == 200
    assert most - before < 250


def test_what_was_accepted_is_answered_before_it_stops(server: ProcessServer) -> None:
    answers: list[int] = []
    threads = [threading.Thread(target=lambda: answers.append(server.ask(body(9000), **BEARER)[0])) for _ in range(4)]
    for thread in threads:
        thread.start()
    time.sleep(0.3)
    _, message = server.end()
    for thread in threads:
        thread.join()
    assert answers == [200] * 4
    assert "Traceback" not in message
    assert "a-secret" not in message

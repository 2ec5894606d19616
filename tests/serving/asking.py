"""Servers to be asked over a real socket: in a thread, or as the command line starts one."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from tests import warm

from luthier.saved import Model
from luthier.server_address import listen
from luthier.serving.application import make_app
from luthier.serving.readers.limits import Limits
from luthier.serving.server import server_of


class Client:
    """Who asks a server at an address."""

    address: str

    @property
    def place(self) -> tuple[str, int]:
        """Host and port."""
        host, port = self.address.removeprefix("http://").split(":")
        return host, int(port)

    def ask(
        self, body: bytes | None, kind: str = "application/json", path: str = "/predict", **headers: str
    ) -> tuple[int, Any]:
        """Status and content of an answer; without a body by GET."""
        request = urllib.request.Request(self.address + path, body, {"content-type": kind, **headers})
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, _read(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, _read(error)

    def refuses(self, body: bytes, kind: str, status: int, said: str) -> None:
        """It answers with this status, and says this somewhere."""
        code, result = self.ask(body, kind)
        assert code == status
        assert said in json.dumps(result, separators=(",", ":"))
        assert len(result["fields"]) <= 20


def _read(answer: Any) -> Any:
    content = answer.read()
    return json.loads(content) if "json" in answer.headers.get("content-type", "") else content.decode()


class ThreadServer(Client):
    """A server in a thread of this process."""

    def __init__(self, model: Model, limits: Limits | None = None, **options: Any) -> None:
        bounds = limits or Limits()
        listening, self.address = listen("127.0.0.1", 0)
        self._server = server_of(make_app(model, limits=bounds, **options), bounds)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [listening]})
        self._thread.start()
        while not self._server.started:
            time.sleep(0.01)

    def end(self) -> None:
        """Stop, and wait for it."""
        self._server.should_exit = True
        self._thread.join()


class ProcessServer(Client):
    """`luthier serve` in a process of its own; by PyTorch, unless a runtime is asked for."""

    def __init__(self, model: Path, *options: str, **environment: str) -> None:
        options = options if "--runtime" in options else ("--runtime", "torch", *options)
        command = [sys.executable, "-m", "luthier", "serve", str(model), "--port", "0", *options]
        everything = {**os.environ, **environment}
        self.process = warm.Popen(command, stdout=warm.PIPE, stderr=warm.STDOUT, text=True, env=everything)
        assert self.process.stdout is not None
        self.line = self.process.stdout.readline()
        result = re.search(r"at (http://\S+:\d+),", self.line)
        assert result is not None
        self.address = result[1]
        self._said: list[str] = []  # read all along: a server that logs waits where its pipe is full
        self._reader = threading.Thread(target=self._said.extend, args=(self.process.stdout,))
        self._reader.start()
        for _ in range(100):
            try:
                urllib.request.urlopen(f"{self.address}/health").close()
                return
            except urllib.error.URLError:
                time.sleep(0.1)

    def end(self) -> tuple[int, str]:
        """Stop it by SIGTERM: how it ended, and what it had said after its first line."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout=60)
        self._reader.join()
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code, "".join(self._said)

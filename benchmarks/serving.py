"""How many requests of one row `luthier serve` answers in a second, and how soon: by wrk, over a real socket.

    python -m benchmarks.serving

A dense network for the bundled table `breast-cancer` is served by PyTorch, by ONNX Runtime and by what the server
chooses, in turns; beside it, the same server answering /health shows what HTTP itself costs, and `benchmarks.by_hand`
what a program of one's own does.
"""

from __future__ import annotations

import json
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import luthier
from luthier.data import read_source
from luthier.exporting.to_onnx import export_onnx
from luthier.runs.screen import SilentScreen
from luthier.server_address import listen

SECONDS, TURNS, CONNECTIONS = 4, 3, (1, 8, 16)
RESULTS = Path(__file__).parent / "results" / "serving.json"


def main() -> None:
    """Print and keep a table of medians."""
    if shutil.which("wrk") is None:
        sys.exit("wrk is not there: apt-get install wrk")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        run = luthier.fit("breast-cancer", budget="1500steps", run=folder / "run", screen=SilentScreen())
        assert run is not None
        row = dict.fromkeys(run.model.encoder.number_names, 1.0)
        script = folder / "post.lua"
        body = json.dumps({"rows": [row]})
        script.write_text(
            f"wrk.method = 'POST'\nwrk.headers['content-type'] = 'application/json'\nwrk.body = [[{body}]]\n"
        )
        exported = folder / "model.onnx"
        export_onnx(run.model, exported, read_source("breast-cancer").frame)
        result: dict[str, list[tuple[float, float, float]]] = {}
        for _ in range(TURNS):
            for runtime in ("torch", "onnx", "auto"):
                with served(run.path, runtime) as (address, _):
                    for count in CONNECTIONS:
                        result.setdefault(f"{runtime}, {count} connections", []).append(
                            wrk(address, "predict", count, script)
                        )
                    if runtime == "torch":
                        result.setdefault("health, 8 connections", []).append(wrk(address, "health", 8, None))
            with by_hand(exported) as address:
                for count in CONNECTIONS:
                    result.setdefault(f"by hand, {count} connections", []).append(
                        wrk(address, "predict", count, script)
                    )
        networks = len(run.model.nets)
    rows = {name: [statistics.median(column) for column in zip(*turns, strict=True)] for name, turns in result.items()}
    print(f"{networks} network(s), one row of {len(row)} numbers; medians of {TURNS} turns of {SECONDS} s")
    print(f"{'':28}{'requests/s':>12}{'median ms':>12}{'99 % ms':>12}")
    for name, values in rows.items():
        print(f"{name:28}{values[0]:12.0f}{values[1]:12.2f}{values[2]:12.2f}")
    RESULTS.write_text(json.dumps({"networks": networks, "rows": rows}, indent=2) + "\n")


@contextmanager
def by_hand(model: Path) -> Iterator[str]:
    """The program of `benchmarks.by_hand` in a process of its own: its address."""
    listening, address = listen("127.0.0.1", 0)
    listening.close()
    port = address.rpartition(":")[2]
    with subprocess.Popen([sys.executable, "-m", "benchmarks.by_hand", str(model), port]) as process:
        try:
            for _ in range(300):
                try:
                    urllib.request.urlopen(f"{address}/openapi.json", timeout=60).close()
                    break
                except urllib.error.URLError:
                    time.sleep(0.1)
            yield address
        finally:
            process.send_signal(signal.SIGTERM)


@contextmanager
def served(run: Path, runtime: str) -> Iterator[tuple[str, int]]:
    """`luthier serve` in a process of its own: its address, and its number."""
    command = [sys.executable, "-m", "luthier", "serve", str(run), "--port", "0", "--runtime", runtime]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        result = re.search(r"at (http://\S+:\d+),", process.stdout.readline())
        assert result is not None
        try:
            urllib.request.urlopen(f"{result[1]}/health", timeout=60).close()  # a quarter of a second after its line
            if runtime == "auto":
                _wait_for_onnx(result[1])
            yield result[1], process.pid
        finally:
            process.send_signal(signal.SIGTERM)


def _wait_for_onnx(address: str) -> None:
    """Until ONNX Runtime has taken over, as it does in some seconds."""
    for _ in range(600):
        with urllib.request.urlopen(f"{address}/ready", timeout=60) as answer:
            if json.load(answer)["runtime"] == "onnx":
                return
        time.sleep(0.2)
    sys.exit("ONNX Runtime has not taken over")


def wrk(address: str, path: str, connections: int, script: Path | None) -> tuple[float, float, float]:
    """Requests a second, and the median and 99th percentile in milliseconds; any answer but 2xx is an error."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{SECONDS}s", "--latency", f"{address}/{path}"]
    message = subprocess.run(
        [*command, *(["-s", str(script)] if script else [])], capture_output=True, text=True, check=True
    )
    if "Non-2xx" in message.stdout or "Socket errors" in message.stdout:
        raise SystemExit(message.stdout)
    times = {share: _milliseconds(text) for share, text in re.findall(r"^\s+(50|99)%\s+(\S+)$", message.stdout, re.M)}
    rate = re.search(r"Requests/sec:\s+([\d.]+)", message.stdout)
    assert rate is not None
    return float(rate[1]), times["50"], times["99"]


def _milliseconds(text: str) -> float:
    number, unit = re.fullmatch(r"([\d.]+)(us|ms|s)", text).groups()  # type: ignore[union-attr]
    return float(number) * {"us": 1e-3, "ms": 1.0, "s": 1e3}[unit]


if __name__ == "__main__":
    main()

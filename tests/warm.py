"""Python programs that start at once: forked from a process that has the libraries, which take seconds to import.

`warm.Popen` and `warm.run` are used as those of `subprocess` are, with a command that begins with `sys.executable`; the
program is a process as any other, with its own signals, streams and exit code. Where the start itself is tested, use
`subprocess`; so does this, on systems that are not Linux.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import json
import os
import pkgutil
import runpy
import select
import selectors
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import types
import warnings
from pathlib import Path
from typing import IO, Any

PIPE, STDOUT, DEVNULL = subprocess.PIPE, subprocess.STDOUT, subprocess.DEVNULL
ROOT = Path(__file__).parents[1]
# Whatever a program of Luthier's may come to import; one that is not installed is left out.
LIBRARIES = (
    *("captum.attr", "hypothesis", "numpy", "optuna.importance", "pandas", "PIL.Image", "plotly.graph_objects"),
    *("plotly.io", "polars", "pydantic", "pytest", "rich.console", "rich.progress", "safetensors.torch"),
    *("scipy.optimize", "scipy.stats", "sklearn.calibration", "sklearn.compose", "sklearn.dummy", "sklearn.ensemble"),
    *("sklearn.linear_model", "sklearn.neighbors", "sklearn.pipeline", "sklearn.svm", "sqlalchemy", "tokenizers"),
    *("tomli_w", "torch.distributed", "torch.func", "typer"),
)


class Popen:
    """As `subprocess.Popen`, for what tests use of it."""

    def __init__(
        self,
        command: list[Any],
        *,
        stdin: Any = None,
        stdout: Any = None,
        stderr: Any = None,
        text: bool = False,
        cwd: Any = None,
        env: dict[str, str] | None = None,
        start_new_session: bool = False,
    ) -> None:
        self.args, self.returncode = command, None
        ours: list[int | None] = [None, None, None]
        theirs: list[int] = []
        for stream, given in enumerate((stdin, stdout, stderr)):
            if given == PIPE:
                read, write = os.pipe()
                ours[stream], end = (write, read) if stream == 0 else (read, write)
            elif given == STDOUT:
                end = os.dup(theirs[1])
            elif given == DEVNULL:
                end = os.open(os.devnull, os.O_RDWR)
            else:
                end = os.dup(stream if given is None else given if isinstance(given, int) else given.fileno())
            theirs.append(end)
        words = [str(word) for word in command]
        assert words[0] == sys.executable, words
        request = {"words": words[1:], "cwd": str(cwd or Path.cwd()), "session": start_new_session}
        request["environment"] = dict(os.environ if env is None else env)
        self._server = _asked(request, theirs)
        self.pid = _number(self._server)
        for end in theirs:
            os.close(end)
        mode = "" if text else "b"
        opened = [None if end is None else os.fdopen(end, ("r" if k else "w") + mode) for k, end in enumerate(ours)]
        self.stdin, self.stdout, self.stderr = opened

    def poll(self) -> int | None:
        """The exit code, minus the number of the signal that ended it; None while it runs."""
        return self._wait(0)

    def wait(self, timeout: float | None = None) -> int:
        """The exit code, once there is one."""
        code = self._wait(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        return code

    def _wait(self, timeout: float | None) -> int | None:
        if self.returncode is None and select.select([self._server], [], [], timeout)[0]:
            with self._server:
                self.returncode = _number(self._server)
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it."""
        self.send_signal(signal.SIGKILL)

    def communicate(self, timeout: float | None = None) -> tuple[Any, Any]:
        """All that it says on the streams that are pipes, once it has ended."""
        deadline = None if timeout is None else time.monotonic() + timeout
        found: list[Any] = [None, None]

        def read(place: int, stream: IO[Any]) -> None:
            with stream:
                found[place] = stream.read()

        readers = [
            threading.Thread(target=read, args=(place, stream), daemon=True)
            for place, stream in enumerate((self.stdout, self.stderr))
            if stream is not None
        ]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join(None if deadline is None else max(0, deadline - time.monotonic()))
            if reader.is_alive():
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
        self.wait(None if deadline is None else max(0, deadline - time.monotonic()))
        return found[0], found[1]

    def __enter__(self) -> Popen:
        return self

    def __exit__(self, *_: object) -> None:
        for stream in (self.stdin, self.stdout, self.stderr):
            if stream is not None:
                stream.close()
        self.wait()


def run(
    command: list[Any],
    *,
    capture_output: bool = False,
    timeout: float | None = None,
    check: bool = False,
    **options: Any,
) -> subprocess.CompletedProcess[Any]:
    """As `subprocess.run`."""
    if capture_output:
        options |= {"stdout": PIPE, "stderr": PIPE}
    process = Popen(command, **options)
    try:
        out, err = process.communicate(timeout)
    except BaseException:
        process.kill()
        raise
    done = subprocess.CompletedProcess(command, process.wait(), out, err)
    if check:
        done.check_returncode()
    return done


if sys.platform != "linux":
    Popen, run = subprocess.Popen, subprocess.run  # type: ignore[misc, assignment]


# -- the process that forks -------------------------------------------------------------------------

_NUMBER = struct.Struct("q")
_address: list[str] = []  # of the server that forks; a program that it made has it too


def _asked(request: dict[str, Any], streams: list[int]) -> socket.socket:
    """Ask for a program; over this connection come its number, and its exit code once it has ended."""
    if not _address:
        _start_server()
    content = json.dumps(request).encode()
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(_address[0])
    socket.send_fds(connection, [_NUMBER.pack(len(content))], streams)
    connection.sendall(content)
    return connection


def _received(connection: socket.socket, size: int) -> bytes:
    content = b""
    while len(content) < size:
        piece = connection.recv(size - len(content))
        if not piece:
            raise EOFError("the process that forks has ended")
        content += piece
    return content


def _number(connection: socket.socket) -> int:
    (number,) = _NUMBER.unpack(_received(connection, _NUMBER.size))
    return int(number)


def _start_server() -> None:
    """Start it; it ends when this process does."""
    folder = tempfile.mkdtemp(prefix="luthier-warm-")
    address = f"{folder}/socket"
    path = os.pathsep.join([str(ROOT), *sys.path])
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": path}
    command = [sys.executable, "-P", "-m", "tests.warm", address]
    server = subprocess.Popen(command, stdin=PIPE, stdout=PIPE, env=environment, cwd=ROOT)
    _kept.append(server)

    def end() -> None:
        server.communicate()  # closes its standard input
        shutil.rmtree(folder, ignore_errors=True)

    atexit.register(end)
    assert server.stdout is not None
    assert server.stdout.readline() == b"ready\n"
    _address.append(address)


_kept: list[subprocess.Popen[bytes]] = []


def _serve(listener: socket.socket) -> dict[str, Any] | None:
    """Fork for each request; returns it in the process that is to be the program, None once the tests have ended."""
    selector = selectors.DefaultSelector()
    selector.register(listener, selectors.EVENT_READ)
    selector.register(sys.stdin, selectors.EVENT_READ)
    while True:
        for key, _ in selector.select():
            if key.fileobj is sys.stdin:
                return None
            if key.fileobj is listener:
                request = _begun(selector, listener.accept()[0])
                if request is not None:
                    return request
                continue
            number, connection = key.data
            selector.unregister(key.fileobj)
            os.close(key.fd)
            with connection, contextlib.suppress(OSError):  # nobody may wait for it any more
                connection.sendall(_NUMBER.pack(os.waitstatus_to_exitcode(os.waitpid(number, 0)[1])))


def _begun(selector: selectors.BaseSelector, connection: socket.socket) -> dict[str, Any] | None:
    """Fork for one request; returns it in the new process alone, which has the streams that came with it."""
    size, streams, _, _ = socket.recv_fds(connection, _NUMBER.size, 3)
    request: dict[str, Any] = json.loads(_received(connection, *_NUMBER.unpack(size)))
    number = os.fork()
    for stream, given in enumerate(streams):
        if number == 0:
            os.dup2(given, stream)
        os.close(given)
    if number == 0:
        for other in list(selector.get_map().values()):
            if other.fd > 2:
                os.close(other.fd)
            if other.data is not None:
                other.data[1].close()
        connection.close()
        selector.close()
        return request
    selector.register(os.pidfd_open(number), selectors.EVENT_READ, (number, connection))
    connection.sendall(_NUMBER.pack(number))
    return None


def _become(request: dict[str, Any]) -> None:
    """Run what the command names, as Python would have started it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["environment"])
    if request["session"]:
        os.setsid()
    words = request["words"]
    sys.orig_argv[1:] = words
    sys.path[:0] = [one for one in os.environ.get("PYTHONPATH", "").split(os.pathsep) if one]
    while words[0] in ("-P", "-u", "-W"):
        if words[0] == "-u":
            sys.stdout.reconfigure(write_through=True)  # type: ignore[union-attr]
        if words[0] == "-W":
            warnings.simplefilter(words[1])  # type: ignore[arg-type]
        words = words[2 if words[0] == "-W" else 1 :]
    if words[0] == "-c":
        sys.argv = ["-c", *words[2:]]
        sys.path.insert(0, "")
        main = sys.modules["__main__"] = types.ModuleType("__main__")
        exec(compile(words[1], "<string>", "exec"), main.__dict__)
    elif words[0] == "-m":
        sys.argv = words[1:]
        sys.path.insert(0, os.getcwd())
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = words
        sys.path.insert(0, str(Path(words[0]).parent))
        runpy.run_path(words[0], run_name="__main__")


def _end(code: object) -> None:
    """End as the interpreter does, but for taking down all modules, which takes longer than most programs."""
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join()
    atexit._run_exitfuncs()
    if not isinstance(code, int | None):
        print(code, file=sys.stderr)
    with contextlib.suppress(OSError):
        sys.stdout.flush(), sys.stderr.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))


def _main() -> None:
    import luthier
    from luthier.assess import baselines

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.path[:] = [one for one in sys.path if one != str(ROOT)]
    ours = [found.name for found in pkgutil.walk_packages(luthier.__path__, "luthier.") if "__main__" not in found.name]
    for name in (*LIBRARIES, *ours):
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    baselines.subprocess = types.SimpleNamespace(Popen=Popen, PIPE=PIPE, DEVNULL=DEVNULL)
    gc.freeze()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(sys.argv[1])
    listener.listen()
    print("ready", flush=True)
    _address.append(sys.argv[1])
    request = _serve(listener)
    if request is None:
        return
    listener.detach()
    try:
        _become(request)
    except SystemExit as ended:
        _end(ended.code)
    _end(None)


if __name__ == "__main__":
    _main()

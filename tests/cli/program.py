"""The command line as a person calls it, in this process: to start one takes longer than most commands."""

from __future__ import annotations

import io
import subprocess
import sys
from contextlib import chdir, redirect_stderr, redirect_stdout
from pathlib import Path
from unittest.mock import patch

from luthier.cli import main


def luthier(*arguments: object, cwd: Path | None = None, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    """What `luthier ARGUMENTS` says, and the code that it ends with."""
    words = [str(one) for one in arguments]
    given, out, err = (io.TextIOWrapper(io.BytesIO(text), "utf-8") for text in ((stdin or "").encode(), b"", b""))
    code: object = 0
    with chdir(cwd or Path.cwd()), redirect_stdout(out), redirect_stderr(err), patch.object(sys, "stdin", given):
        try:
            main(words)
        except SystemExit as ended:
            code = ended.code
    told = [stream.detach().getvalue().decode() for stream in (out, err) if stream.flush() is None]  # type: ignore[attr-defined]
    return subprocess.CompletedProcess(words, code if isinstance(code, int) else int(bool(code)), *told)

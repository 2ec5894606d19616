"""The server: Uvicorn over an application, with bounds on connections."""

from __future__ import annotations

from typing import Any

from luthier.optional import require
from luthier.serving.connections import BACKLOG, protocol
from luthier.serving.readers.limits import Limits


def server_of(app: Any, limits: Limits) -> Any:
    """A Uvicorn server; `run(sockets=[...])` answers until SIGTERM or Ctrl-C, and what was accepted before it ends."""
    uvicorn = require("uvicorn", extra="serve", purpose="serving a model")
    config = uvicorn.Config(
        app,
        http=protocol(limits),
        ws="none",
        log_level="error",  # a line for every stranger's mistake would fill the log
        access_log=False,
        proxy_headers=False,
        server_header=False,
        backlog=BACKLOG,
        timeout_graceful_shutdown=int(limits.seconds) + 1,
    )
    return uvicorn.Server(config)

"""`luthier serve`: a model behind HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

_EPILOG = """\b
Examples:
  luthier serve runs/houses
  curl -d '{"rows": [{"bedrooms": 3, "area": 120}]}' localhost:8000/predict
  curl -H 'content-type: image/jpeg' --data-binary @cat.jpg localhost:8000/predict
"""


def register(app: typer.Typer) -> None:
    """Add the subcommand."""
    app.command("serve", epilog=_EPILOG)(serve)


def serve(
    model: Annotated[Path, typer.Argument(help="Folder of a run, or a model.luthier file.")],
    host: Annotated[str, typer.Option(help="Address to listen on; any but loopback needs a token.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535)] = 8000,
    token: Annotated[str, typer.Option(help="Bearer token; generated when the host is not loopback.")] = "",
    cors: Annotated[list[str] | None, typer.Option(help="Origin allowed to call (CORS).")] = None,
    rows: Annotated[int, typer.Option(help="Maximum rows per request.", min=1)] = 10_000,
    body: Annotated[int, typer.Option(help="Maximum bytes per request body.", min=1)] = 16 << 20,
    timeout: Annotated[float, typer.Option(help="Timeout per request, in seconds.", min=0.001)] = 30.0,
    runtime: Annotated[str, typer.Option(help="Runtime: torch, or onnx (ONNX Runtime).")] = "torch",
) -> None:
    """Serve POST /predict for JSON, CSV or pictures until SIGTERM or Ctrl-C; accepted requests are still answered."""
    from luthier.optional import require
    from luthier.saved import load
    from luthier.server_address import listen, token_for
    from luthier.serving.application import PURPOSE, Limits, make_app

    uvicorn = require("uvicorn", extra="serve", purpose=PURPOSE)
    token = token_for(host, token)
    app = make_app(load(model), token=token, origins=cors or (), limits=Limits(rows, body, timeout), runtime=runtime)
    listening, address = listen(host, port)
    config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=int(timeout) + 1)
    print(f"serving {model} at {address}, documentation at {address}/docs (stop with Ctrl-C)", flush=True)
    if token:
        print(f"send the header: Authorization: Bearer {token}", flush=True)
    uvicorn.Server(config).run(sockets=[listening])

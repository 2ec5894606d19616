"""`luthier studio`: runs as they grow, and labs to play with, in the browser."""

from __future__ import annotations

import secrets
import socket
from pathlib import Path
from typing import Annotated

import typer

_EPILOG = """\b
Examples:
  luthier studio
  luthier studio runs/houses --port 8051
"""


def register(app: typer.Typer) -> None:
    """Add the subcommand."""
    app.command("studio", epilog=_EPILOG)(studio)


def studio(
    runs: Annotated[list[Path] | None, typer.Argument(help="Folders of runs, or folders that hold such.")] = None,
    host: Annotated[
        str, typer.Option(help="Where to listen; anything but this machine itself asks for a token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0 takes a free one.", min=0, max=65535)] = 8050,
    token: Annotated[str, typer.Option(help="What callers have to know; drawn where it is needed and not given.")] = "",
) -> None:
    """Follow runs live, and move the sliders of the labs, until Ctrl-C."""
    from luthier.errors import InputError
    from luthier.optional import require
    from luthier.studio.app import LOOPBACK, make_app

    folders = runs or [Path("runs")]
    missing = [str(path) for path in folders if runs and not path.is_dir()]
    if missing:
        raise InputError(f"there is no folder {', '.join(missing)}", remedy="name folders of runs, or their parent")
    if host not in LOOPBACK and not token:
        token = secrets.token_urlsafe(24)
    app = make_app(folders, token=token, host=host)
    serving = require("werkzeug.serving", extra="studio", purpose="the studio")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen()
    except OSError as error:
        raise InputError(f"nothing can listen on {host}:{port}", received=str(error),
                         remedy="choose another one: luthier studio --port 0") from None  # fmt: skip
    chosen = listening.getsockname()[1]
    server = serving.make_server(host, chosen, app.server, threaded=True, request_handler=_quiet(serving),
                                 fd=listening.fileno())  # fmt: skip
    shown = f"http://{f'[{host}]' if ':' in host else host}:{chosen}/"
    print(f"the studio is at {shown}{f'?token={token}' if token else ''} (Ctrl-C ends it)", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        typer.echo("")
    finally:
        server.server_close()


def _quiet(serving: object) -> type:
    """A handler that does not print a line for every request."""

    class Quiet(serving.WSGIRequestHandler):  # type: ignore[misc]
        def log_request(self, *_: object) -> None:
            """Say nothing."""

    return Quiet

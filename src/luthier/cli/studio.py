"""`luthier studio`: runs as they grow, and labs to play with, in the browser."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from luthier.messages import Message, tr

_EPILOG = """\b
Examples:
  luthier studio
  luthier studio runs/houses --port 8051
"""


def register(app: typer.Typer) -> None:
    """Add the subcommand."""
    app.command("studio", epilog=_EPILOG)(studio)


def studio(
    runs: Annotated[list[Path] | None, typer.Argument(help="Folders of runs, or folders that contain runs.")] = None,
    host: Annotated[str, typer.Option(help="Address to listen on; any but loopback needs a token.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 picks a free one.", min=0, max=65535)] = 8050,
    token: Annotated[str, typer.Option(help="Access token; generated when the host is not loopback.")] = "",
) -> None:
    """Follow runs live and use the interactive labs in the browser, until Ctrl-C."""
    from luthier.errors import InputError
    from luthier.optional import require
    from luthier.server_address import listen, token_for
    from luthier.studio.app import make_app

    folders = runs or [Path("runs")]
    missing = [str(path) for path in folders if runs and not path.is_dir()]
    if missing:
        raise InputError(
            Message("there is no folder {names}", names=", ".join(missing)),
            remedy="name folders of runs, or a folder that contains them",
        )
    token = token_for(host, token)
    listening, address = listen(host, port)
    serving = require("werkzeug.serving", extra="studio", purpose="the studio")
    app = make_app(folders, token=token, host=host)
    server = serving.make_server(
        host,
        listening.getsockname()[1],
        app.server,
        threaded=True,
        request_handler=_quiet(serving),
        fd=listening.fileno(),
    )
    where = f"{address}/{f'?token={token}' if token else ''}"
    print(tr("the studio is at {address} (stop with Ctrl-C)", address=where), flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        typer.echo("")
    finally:
        server.server_close()


def _quiet(serving: object) -> type:
    """A handler that does not print a line for every request."""

    class Quiet(serving.WSGIRequestHandler):  # type: ignore[misc, name-defined]
        def log_request(self, *_: object) -> None:
            """Say nothing."""

    return Quiet

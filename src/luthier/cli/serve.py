"""`luthier serve`: a model behind HTTP."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from luthier.messages import Message, tr

_EPILOG = """\b
Examples:
  luthier serve runs/houses
  curl -d '{"rows": [{"bedrooms": 3, "area": 120}]}' localhost:8000/predict
  curl -H 'content-type: text/csv' --data-binary @rows.csv localhost:8000/predict
  curl -H 'content-type: image/jpeg' --data-binary @cat.jpg localhost:8000/predict
"""
VARIABLE = "LUTHIER_TOKEN"


def register(app: typer.Typer) -> None:
    """Add the subcommand."""
    app.command("serve", epilog=_EPILOG)(serve)


def serve(
    context: typer.Context,
    model: Annotated[Path, typer.Argument(help="Folder of a run, or a model.luthier file.")],
    host: Annotated[str, typer.Option(help="Address to listen on; any but loopback needs a token.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 takes a free one.", min=0, max=65535)] = 8000,
    token: Annotated[
        str,
        typer.Option(
            envvar=VARIABLE,
            help=f"Bearer token; generated when the host is not loopback. Safer in {VARIABLE} or a file: other users "
            "of this machine can read command lines.",
        ),
    ] = "",
    token_file: Annotated[Path | None, typer.Option(help="File that holds the bearer token.")] = None,
    cors: Annotated[list[str] | None, typer.Option(help="Origin allowed to call (CORS).")] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(help="Host name, besides localhost, that a server on loopback answers to (behind a proxy)."),
    ] = None,
    rows: Annotated[int, typer.Option(help="Maximum rows, or pictures, per request.", min=1)] = 10_000,
    body: Annotated[int, typer.Option(help="Maximum bytes per request body.", min=1)] = 16 << 20,
    pixels: Annotated[
        int, typer.Option(help="Maximum pixels per request; a JPEG's count as a quarter.", min=1)
    ] = 40_000_000,
    timeout: Annotated[float, typer.Option(help="Timeout per request, in seconds.", min=0.001)] = 30.0,
    connections: Annotated[int, typer.Option(help="Maximum open connections.", min=1)] = 1_000,
    runtime: Annotated[
        str,
        typer.Option(
            help="Runtime: torch, onnx (ONNX Runtime), or auto: PyTorch, and ONNX Runtime for few rows, from when it "
            "is ready, where it is installed, agrees and is faster."
        ),
    ] = "auto",
    workers: Annotated[
        int, typer.Option(help="Processes that answer, each with a model of its own; one that ends is replaced.", min=1)
    ] = 1,
    watch: Annotated[bool, typer.Option(help="Read the model again when its file changes, as on SIGHUP.")] = False,
    log: Annotated[str, typer.Option(help="Log on standard error: text, or json with a line a request.")] = "text",
) -> None:
    """Serve POST /predict for JSON, CSV or pictures until SIGTERM or Ctrl-C; accepted requests are still answered.

    On SIGHUP the model is read again, and takes the place of the one before without a request lost.
    """
    from luthier.server_address import listen, token_for
    from luthier.serving.readers.limits import Limits
    from luthier.serving.request_log import log_on_stderr
    from luthier.serving.workers import in_workers

    source = context.get_parameter_source("token")
    typed = bool(token) and source is not None and source.name == "COMMANDLINE"
    given = _token(token, token_file, typed)
    token = token_for(host, given)
    limits = Limits(rows, body, timeout, pixels, connections)
    with log_on_stderr(log):
        options: dict[str, Any] = {
            "token": token,
            "origins": cors or (),
            "runtime": runtime,
            "host": host,
            "names": allow_host or (),
        }

        def prepared() -> Callable[[], None]:
            """What answers; made before the address is shown, where there is one process."""
            from luthier.saved import load
            from luthier.serving.application import make_app
            from luthier.serving.server import server_of

            app = make_app(load(model), limits=limits, path=model, watch=watch, logged=log == "json", **options)
            return partial(server_of(app, limits).run, sockets=[listening])

        listening, address = listen(host, port)
        serve_alone = prepared() if workers == 1 else None
        page = f"{address}/docs" + ("?token=TOKEN" if token else "")
        template = "serving {model} at {address}, documentation at {page} (stop with Ctrl-C)"
        print(tr(template, model=model, address=address, page=page), flush=True)
        if token:
            shown = "TOKEN" if given else token
            print(tr("send the header: Authorization: Bearer {token}", token=shown), flush=True)
        if typed:
            template = "warning: `ps` shows --token to all users of this machine; set {variable} instead"
            typer.echo(tr(template, variable=VARIABLE), err=True)
        if serve_alone is not None:
            serve_alone()
        else:
            raise typer.Exit(in_workers(workers, lambda: prepared()()))


def _token(token: str, file: Path | None, typed: bool) -> str:
    """The token that was given, if any. InputError for a file that holds none."""
    from luthier.errors import ConfigError, InputError

    if file is None:
        return token
    if typed:
        raise ConfigError(["--token and --token-file: give one of them"])
    try:
        result = file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(Message("the token cannot be read from '{file}'", file=file), received=str(error)) from None
    if len(result.split()) != 1:
        raise InputError(Message("'{file}' does not hold a token", file=file), expected="one word")
    return result

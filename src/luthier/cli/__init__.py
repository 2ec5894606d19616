"""The command line: one file per subcommand, parser, worked example and handler together."""

from __future__ import annotations

import os
import sys
from contextlib import AbstractContextManager, nullcontext
from typing import NoReturn

import typer

from luthier.cli import (
    branch,
    check,
    check_install,
    compare,
    data,
    doctor,
    export,
    fit,
    lab,
    plan,
    predict,
    refit,
    report,
    rerun,
    resume,
    serve,
    show,
    streams,
    studio,
    test,
    tune,
)
from luthier.cli.one_target import TargetsCounted
from luthier.cli.translated import asked_language, run_in_words
from luthier.cli.versions import versions
from luthier.console import printable, printable_output
from luthier.errors import LuthierError, language_named
from luthier.messages import language, speaking

app = typer.Typer(
    name="luthier",
    cls=TargetsCounted,
    help="Build, tune and check neural networks; every choice is tested by an experiment.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
COMMANDS = (
    fit,
    plan,
    resume,
    rerun,
    branch,
    refit,
    test,
    tune,
    predict,
    check,
    doctor,
    report,
    show,
    compare,
    data,
    lab,
    studio,
    serve,
    export,
    check_install,
)
for command in COMMANDS:
    command.register(app)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo("\n".join(versions()))
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
    lang: str = typer.Option(
        "", "--lang", help="en or zh, before the command. Default: what LUTHIER_LANG says, or en."
    ),
) -> None:
    pass


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line; exit codes: 0 done, 1 the work failed, 2 bad usage or bad input, 128 + n for signal n."""
    written = streams.prepare()
    try:
        spoken = language_named(asked_language(sys.argv[1:] if arguments is None else arguments))
    except LuthierError as error:
        _complain(error)
    with speaking(spoken):
        _run(arguments, written)


def _run(arguments: list[str] | None, written: list[streams.Lasting]) -> NoReturn:
    try:
        with _several_processes() as leads, printable_output():
            if leads:
                if language() != "en":
                    run_in_words(typer.main.get_command(app), arguments)
                app(args=arguments)  # leaves with sys.exit, also for wrong usage
    except LuthierError as error:
        _complain(error)
    except (OSError, MemoryError) as error:
        _complain(streams.in_our_words(error))
    finally:
        sys.stdout.flush()
        if refused := next((stream.refused for stream in written if stream.refused), None):
            _complain(streams.in_our_words(refused))
    sys.exit(0)


def _several_processes() -> AbstractContextManager[bool]:
    """The processes that torchrun started, brought together; yields whether this one is to do the work."""
    if int(os.environ.get("WORLD_SIZE", "1")) < 2:
        return nullcontext(True)
    from luthier.engine.populations.distributed import assembled

    return assembled()


def _complain(error: LuthierError) -> NoReturn:
    typer.echo(f"luthier: {printable(str(error))}", err=True)
    sys.exit(error.exit_code)

"""`luthier lab`: the documents' claims, run and measured."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from luthier.messages import Message, spoken, tr

_EPILOG = """\b
Examples:
  luthier lab list
  luthier lab run neuron softmax
  luthier lab run overfitting --full
  luthier lab all -o labs.html
  luthier lab notebook softmax -o softmax.ipynb
  luthier lab page neuron -o pages
  luthier lab exercise softmax
  luthier lab exercise softmax --check softmax.py
"""
Full = Annotated[
    bool, typer.Option("--full", help="As printed: all seeds and whole trainings; some take many minutes.")
]
Quick = Annotated[bool, typer.Option("--quick", hidden=True)]  # what is usual now
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object per lab.")]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output", "-o", help="Write an HTML page with all figures, and beside it the labs' pages to play with."
    ),
]


def register(app: typer.Typer) -> None:
    """Add the subcommands."""
    group = typer.Typer(
        no_args_is_help=True, rich_markup_mode=None, help="Claims from courses and books, run and measured."
    )
    group.command("list")(list_labs)
    group.command("run")(run)
    group.command("all")(run_all)
    group.command("notebook")(write_notebook)
    group.command("page")(write_page)
    group.command("exercise")(exercise)
    app.add_typer(group, name="lab", epilog=_EPILOG)


def list_labs() -> None:
    """List every lab by the document of its claim, with about how long it takes quickly and with --full."""
    from luthier.labs.gallery import by_document
    from luthier.labs.lab import in_time
    from luthier.labs.recorded import seconds_of

    for place, (document, labs) in enumerate(by_document().items()):
        typer.echo(f"{chr(10) if place else ''}{spoken(document)}")
        typer.echo(f"  {'':<24} {tr('quickly'):>8} {tr('in full'):>8}")
        for lab in labs:
            fully = seconds_of(lab, quick=False)
            typer.echo(f"  {lab.name:<24} {lab.minutes:>8} {in_time(fully) if fully else '':>8}  {spoken(lab.claim)}")


def run(
    names: Annotated[list[str], typer.Argument(help="Names from `luthier lab list`.")],
    full: Full = False,
    json: Json = False,
    output: Output = None,
    quick: Quick = False,
) -> None:
    """Run one or more labs: quickly, or as printed with --full."""
    _run(names, full and not quick, json, output)


def run_all(full: Full = False, json: Json = False, output: Output = None, quick: Quick = False) -> None:
    """Run every lab."""
    from luthier.labs.gallery import all_labs

    _run(list(all_labs()), full and not quick, json, output)


def write_notebook(
    name: Annotated[str, typer.Argument(help="Name of a lab; the notebook holds its whole file.")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="File to write. Default: NAME.ipynb.")] = None,
    execute: Annotated[bool, typer.Option("--execute", help="Execute it first (quick), and keep the outputs.")] = False,
) -> None:
    """Write a lab as a notebook."""
    from luthier import storage
    from luthier.labs.gallery import lab_named
    from luthier.labs.notebook import executed, file_of, notebook

    made = notebook(file_of(lab_named(name)))
    path = output or Path(f"{name}.ipynb")
    storage.write_text(path, storage.json_text(executed(made) if execute else made, indent=1) + "\n")
    typer.echo(tr("written to {path}", path=path))


def write_page(
    names: Annotated[list[str] | None, typer.Argument(help="Names of pages; --all writes every one.")] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to write to.")] = Path(),
    everything: Annotated[bool, typer.Option("--all", help="Write all pages, and one that leads to them.")] = False,
) -> None:
    """Write labs as offline HTML pages that compute in the browser, in English and Chinese."""
    from luthier.errors import ConfigError
    from luthier.labs.pages import page_names, write_pages

    if bool(names) == everything:
        raise ConfigError(
            [Message("name one or more pages, or give --all; the pages are {names}", names=", ".join(page_names()))]
        )
    for path in write_pages(page_names() if everything else tuple(names or ()), output, gallery=everything):
        typer.echo(tr("written to {path}", path=path))


def exercise(
    name: Annotated[
        str | None, typer.Argument(help="softmax, bp1 to bp4, adam, dropout or batch-norm; none lists them.")
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="File to write. Default: NAME.py.")] = None,
    check: Annotated[
        Path | None,
        typer.Option(
            "--check", metavar="FILE", help="Judge the FILE that you filled in. It runs as a program of yours."
        ),
    ] = None,
) -> None:
    """Write an exercise with a blank to fill in, or judge what was filled in: what is wrong, in a sentence."""
    from luthier.labs.exercises import EXERCISES, exercise_named, hand_out
    from luthier.labs.judge_exercise import judged_apart

    if name is None:
        for one in EXERCISES.values():
            typer.echo(f"{one.name:<12} {spoken(one.title)} ({one.source})")
        return
    asked = exercise_named(name)
    if check is None:
        path = output or Path(f"{asked.name.replace('-', '_')}.py")
        hand_out(asked, path)
        template = "written to {path}: fill in `...`, then luthier lab exercise {name} --check {path}"
        typer.echo(tr(template, path=path, name=asked.name))
        return
    judgement = judged_apart(asked, check)
    sentence = judgement.sentence
    typer.echo(sentence.spoken() if judgement.right else tr("not yet: {sentence}", sentence=sentence))
    if not judgement.right:
        raise typer.Exit(1)


def _aside(line: str) -> None:
    typer.echo(f"  {line}", err=True)


def _run(names: list[str], full: bool, json: bool, output: Path | None) -> None:
    from luthier import storage
    from luthier.labs.gallery import gallery, lab_named, lines, pages_beside
    from luthier.labs.lab import in_time, run_lab
    from luthier.labs.pages import write_pages
    from luthier.labs.recorded import against_recorded, seconds_of

    labs = [lab_named(name) for name in names]
    seconds = [seconds_of(lab, quick=not full) for lab in labs]
    outcomes = []
    for place, lab in enumerate(labs):
        left = sum(seconds[place:])
        about = Message(", about {time} left", time=in_time(left)) if left else ""
        template = "{number} of {count}: {name}{about}"
        typer.echo(tr(template, number=place + 1, count=len(labs), name=lab.name, about=about), err=True)
        outcomes.append(run_lab(lab, quick=not full, said=_aside, about=seconds[place]))
        if json:
            typer.echo(storage.json_text(outcomes[-1].to_json()))
        else:
            typer.echo("\n".join((*lines(outcomes[-1]), *against_recorded(outcomes[-1]))))
    if output is not None:
        folder, played = output.with_name(f"{output.stem}-pages"), pages_beside(outcomes)
        storage.write_text(output, gallery(outcomes, folder.name))
        write_pages(played, folder, gallery=bool(played))
        typer.echo(tr("written to {path}", path=output), err=True)
    failed = [outcome.lab.name for outcome in outcomes if not outcome.good]
    if failed:
        typer.echo(tr("not reproduced: {names}", names=", ".join(failed)), err=True)
        raise typer.Exit(1)

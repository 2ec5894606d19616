"""Models opened by their path, and `luthier predict`: a file's rows with predictions, in batches that fit in memory."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import polars as pl

from luthier import storage
from luthier.data import Unread, read_batches
from luthier.data.typed_columns.numerals import NumberStyle, in_marks_of
from luthier.errors import InputError
from luthier.messages import Message
from luthier.saved.explained_rows import medium_of
from luthier.saved.model import Model
from luthier.saved.run_folder import finished_in, open_one, runs_in, unfinished_in_words

ROWS = 65_536  # rows of a batch
FEW = 1024  # of a batch, where a row is a picture or a text


def load(path: str | Path) -> Model:
    """The model at a `path`: a run's folder, or a `model.luthier` file.

    InputError where there is none, where it is damaged, and for one of a later version.
    """
    return Model.load(open_one(path).bundle if Path(path).is_dir() else path)


def load_all(path: str | Path) -> dict[str, Model]:
    """The models of a folder by target: of several targets those that are finished. InputError where none is."""
    path = Path(path)
    if path.is_dir():
        runs = runs_in(path)
        return {target: load(one) for target, one in (finished_in(path) or runs).items()}
    model = load(path)
    return {model.task.target: model}


@dataclass(frozen=True)
class AskedColumns:
    """What is appended to a row beside its prediction, and how.

    With `sets` a column names the classes of which one is right in nine rows of ten; with `abstain` rows unlike the
    training rows get no prediction, and a column says which they are; with `explain` there is a typical row's
    answer, and what each column adds to it (see `Model.explain`), of text the words that matter most. `answer` asks
    for another one than the run's metric did (see `Model.answering`).
    Text that a spreadsheet takes for a formula gets an apostrophe before it: in the columns that are appended, with
    `safe_cells` in all of them and in the names of columns, without (False) in none.
    """

    impute_missing_columns: bool = False
    sets: bool = False
    abstain: bool = False
    explain: bool = False
    answer: str = ""
    safe_cells: bool | None = None


USUAL = AskedColumns()


def predict_file(
    run: str | Path,
    source: str,
    output: Path | IO[bytes] | None = None,
    asked: AskedColumns = USUAL,
    *,
    rows: int = ROWS,
    say: Callable[[str], None] = lambda _: None,
    unread: Unread | None = None,
) -> int:
    """Write every row of `source` with its prediction appended, as CSV; returns how many rows.

    A classification also gets a probability for each class or label, a regression a 90 % interval, and the quantiles
    that its run was asked for; other columns where they are `asked` for. The output appears under its name only when it
    is whole. Cells that training did not know are counted in `unread`; how the rows are read goes to `say`.
    """
    if isinstance(output, Path) and output.suffix.lower() not in ("", ".csv", ".txt"):
        raise InputError(
            Message("'{output}' cannot be written", output=output),
            expected="a file name that ends in .csv",
            received=output.suffix,
        )
    models = {
        target: model.answering(asked.answer) if asked.answer and asked.answer not in model.quantile_names else model
        for target, model in load_all(run).items()
    }
    if Path(run).is_dir() and (left := unfinished_in_words(run)):
        say(left)
    first, written = next(iter(models), ""), 0
    styles = {name: style for model in models.values() for name, style in model.styles.items()}
    commas = {name: NumberStyle() for name, style in styles.items() if style.decimal == ","}
    with _destination(output) as file:
        few = not all(model.encoder.dense for model in models.values())
        for batch in read_batches(source, min(rows, FEW) if few else rows, say, styles):
            result = in_marks_of(batch, commas, ",")  # beside commas and predictions numbers have points
            for target, model in models.items():
                counted = unread if target == first else None
                columns = predictions(model, batch, asked, unread=counted)
                if len(models) > 1:
                    columns = [column.alias(f"{target}_{column.name}") for column in columns]
                result = result.hstack(columns if asked.safe_cells is False else as_cells(columns))
            if asked.safe_cells:
                frame = pl.DataFrame(as_cells(result.get_columns()))
                result = frame.rename(dict(zip(frame.columns, as_cells([pl.Series(frame.columns)])[0], strict=True)))
            file.write(result.write_csv(include_header=written == 0).encode())
            written += batch.height
    return written


def as_cells(columns: Sequence[pl.Series]) -> list[pl.Series]:
    """Columns of which no text is a formula to a spreadsheet (OWASP, CSV injection); numbers as text stay as they are.

    >>> as_cells([pl.Series(["=HYPERLINK(1)", "-1.5", "-", "@x", "yes"])])[0].to_list()
    ["'=HYPERLINK(1)", '-1.5', "'-", "'@x", 'yes']
    """
    text = pl.first()
    formula = text.str.contains(r"^\s*[=+\-@]") & text.cast(pl.Float64, strict=False).is_null()
    guarded = pl.when(formula).then("'" + text).otherwise(text)
    return [
        one.to_frame().select(guarded.alias(one.name)).to_series() if one.dtype == pl.String else one for one in columns
    ]


def predictions(
    model: Model,
    frame: pl.DataFrame,
    asked: AskedColumns = USUAL,
    *,
    unread: Unread | None = None,
) -> list[pl.Series]:
    """The columns that are appended to a frame, under names that it does not use yet.

    An answer that is asked for and is one of the model's quantiles takes the place of its own.
    """
    inputs = model.encode(frame, impute_missing_columns=asked.impute_missing_columns, unread=unread)
    answers = model.answers(inputs)
    columns = [model.decoded(answers).alias("prediction")]
    if not model.task.is_classes:
        low, high = model.intervals(answers, inputs)
        columns += [pl.Series("prediction_low", low), pl.Series("prediction_high", high)]
        if model.row_quantiles is not None:
            levels = model.quantiles(answers, inputs)
            known = {name: pl.Series(f"prediction_{name}", levels[:, q]) for q, name in enumerate(model.quantile_names)}
            columns = [known[asked.answer].alias("prediction") if asked.answer in known else columns[0], *columns[1:]]
            columns += known.values()
    else:
        columns += [pl.Series(f"probability_{name}", answers[:, c]) for c, name in enumerate(model.task.classes)]
    if asked.sets and model.task.classes and not model.task.traits.is_labels:
        columns.append(model.sets_of(answers).alias("prediction_set"))
    if asked.abstain:
        unlike = model.unlike_training(inputs)
        kept = columns[0].to_frame().with_columns(pl.when(unlike).then(None).otherwise(pl.first()).alias("prediction"))
        columns = [kept["prediction"], *columns[1:], unlike]
    if asked.explain:
        columns += medium_of(model.encoder).beside(model, frame, inputs, asked.impute_missing_columns)
    return [column.alias(_free_name(column.name, frame.columns)) for column in columns]


def _free_name(name: str, taken: Iterable[str]) -> str:
    names = set(taken)
    while name in names:
        name = f"{name}_luthier"
    return name


@contextmanager
def _destination(output: Path | IO[bytes] | None) -> Iterator[IO[bytes]]:
    if not isinstance(output, Path):
        yield output or sys.stdout.buffer
        return
    with storage.explained(output):
        if not output.parent.is_dir():
            raise InputError(Message("there is no folder '{parent}' to write into", parent=output.parent))
        if output.exists() and not output.is_file():  # a device or a pipe is written to, not replaced
            with output.open("wb") as file:
                yield file
            return
        descriptor, temporary = tempfile.mkstemp(dir=output.parent, prefix=f".{output.name}.")
        try:
            with os.fdopen(descriptor, "wb") as file:
                yield file
            Path(temporary).chmod(0o644)
            os.replace(temporary, output)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise

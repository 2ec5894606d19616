"""One row, one encoding: every type of column through every reader, against an encoding written out by hand."""

from __future__ import annotations

import asyncio
import csv
import importlib.util
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch

from luthier.data import Preprocess, TableEncoder, Task, infer_columns, read_batches, read_source, with_values
from luthier.data.encode import FIRST_LEVEL, MISSING
from luthier.data.typed_columns.numerals import NumberStyle
from luthier.data.values import styles_of
from luthier.exporting.exported_rows import exportable
from luthier.exporting.to_onnx import export_onnx
from luthier.exporting.to_torch import export_torch
from luthier.nets import DenseSpec, build
from luthier.rows import Inputs
from luthier.saved import Model
from luthier.serving.readers.limits import Limits
from luthier.serving.readers.row_reader import RequestRows, RowReader

Styles = Mapping[str, NumberStyle]
ROWS = 1100
SMALL = 60_000  # bytes of memory in which the table does not fit
ASKED = {"zip": "category", "grade": "category", "part": "category", "said": "text"}
KINDS = {
    "number": ["row", "size", "rooms", "clock"],
    "boolean": ["flag", "smoker", "sex"],
    "category": ["zip", "grade", "kind", "part"],
    "date": ["born", "seen"],
    "text": ["said"],
}
LEVELS = {
    "zip": [2134, 10001, 501],
    "grade": [1.0, 2.0, 3.5],
    "kind": ["flat", "house", "Hütte"],
    "part": ["1.234", "12.500", "1234", "7"],
}
WORDS = {"smoker": ("No", "Yes"), "sex": ("female", "male")}


def truth(rows: int = ROWS) -> pl.DataFrame:
    """The table with types; every column but the first has gaps."""
    some = np.random.default_rng(0)

    def drawn(values: list[Any], dtype: Any = None) -> pl.Series:
        picked = [None if some.random() < 0.1 else values[some.integers(len(values))] for _ in range(rows)]
        return pl.Series(picked, dtype=dtype)

    first = datetime(2021, 3, 1, 4, 19, 7, 250_000, tzinfo=UTC)
    return pl.DataFrame(
        {
            "row": [1_600_000_000_000 + 0.5 * k for k in range(rows)],
            "size": drawn([0.1, 2.5, -3.75, 1e-9, 123456.789]),
            "rooms": drawn([0, 1, 7, 12, -3, 2**40, 17, 18, 19, 20, 21, 22, 23]),
            "zip": drawn(LEVELS["zip"]),
            "grade": drawn(LEVELS["grade"], pl.Float64),
            "flag": drawn([True, False]),
            "smoker": drawn(["Yes", "No"]),
            "sex": drawn(["male", "female"]),
            "kind": drawn(LEVELS["kind"]),
            "part": drawn(LEVELS["part"]),
            "born": drawn([date(1987, 5, 13), date(2024, 2, 29), date(1969, 12, 31)]),
            "seen": drawn([first + timedelta(minutes=37 * k) for k in range(30)], pl.Datetime("us", "UTC")),
            "clock": drawn([time(0, 0), time(1, 1), time(12, 30), time(23, 59, 59)]),
            "said": drawn(["a very good film", "not a good film at all", "we liked it, it was good", "1.234"]),
        }
    )


def numbers_by_hand(frame: pl.DataFrame) -> np.ndarray:
    """All numbers but those of text, one cell after another."""
    nan, epoch, numbers = float("nan"), datetime(1970, 1, 1), []
    for row in frame.rows(named=True):
        result = [nan if row[name] is None else float(row[name]) for name in ("row", "size", "rooms", "flag")]
        result += [nan if row[name] is None else float(row[name] == yes) for name, (_, yes) in WORDS.items()]
        for day in (row["born"], row["seen"]):
            if day is None:
                result += [nan] * 6
                continue
            moment = day.replace(tzinfo=None) if isinstance(day, datetime) else datetime(day.year, day.month, day.day)
            days = ((moment - epoch) // timedelta(microseconds=1)) / 86_400_000_000
            parts = moment.year, moment.month, moment.timetuple().tm_yday, moment.isoweekday(), moment.hour
            result += [days, *parts]
        clock = row["clock"]
        result.append(nan if clock is None else clock.hour * 3600.0 + clock.minute * 60 + clock.second)
        numbers.append(result)
    return np.array(numbers)


def codes_by_hand(frame: pl.DataFrame, encoder: TableEncoder) -> np.ndarray:
    """Codes by the value of each level, however it is written."""
    columns = []
    for name, value in {"zip": int, "grade": float, "kind": str, "part": str}.items():
        levels = [value(level.replace(",", ".")) for level in encoder.vocabularies[name]]
        assert set(levels) == set(LEVELS[name])
        columns.append([MISSING if cell is None else FIRST_LEVEL + levels.index(cell) for cell in frame[name]])
    return np.array(columns).T


def as_written(frame: pl.DataFrame) -> pl.DataFrame:
    """Text as people and programs write it, gaps by several marks."""
    zips = pl.col("zip").map_elements(lambda code: f"{code:05d}", return_dtype=pl.String)
    return frame.with_columns(zips).select(
        "row",
        pl.col("size").cast(pl.String).fill_null("n/a"),
        pl.col("rooms").cast(pl.String).fill_null("-"),
        "zip",
        pl.col("grade").cast(pl.String).fill_null("NA"),
        pl.col("flag").replace_strict({True: "True", False: "False"}, return_dtype=pl.String),
        *(pl.concat_str(pl.lit(" "), pl.col(name)).alias(name) for name in ("smoker", "sex", "kind")),
        pl.col("born").cast(pl.String).fill_null("NaT"),
        pl.col("seen").dt.strftime("%Y-%m-%dT%H:%M:%S%.fZ"),
        "clock",
        "part",
        "said",
    )


def with_commas(number: float | None) -> str | None:
    """1.234,5: points between thousands, a decimal comma."""
    if number is None:
        return None
    whole, point, fraction = repr(number).partition(".")
    grouped = f"{int(whole):,}".replace(",", ".") if "e" not in whole else whole
    return grouped + point.replace(".", ",") + fraction


def as_written_with_commas(frame: pl.DataFrame) -> pl.DataFrame:
    """Text as people write it where the comma is the decimal mark; what is no number keeps its points."""
    numbers = [pl.Series(name, map(with_commas, frame[name]), dtype=pl.String) for name in ("row", "size", "rooms")]
    result = as_written(frame).with_columns(pl.col("grade").str.replace(".", ",", literal=True))
    return result.with_columns(numbers).cast(pl.String)


def file_of(frame: pl.DataFrame, path: Path, writer: str) -> Path:
    if writer == "pandas":
        pandas_of(frame, "numpy").to_csv(path, index=False)
    elif writer == "excel":
        flags = pl.col("flag").replace_strict({True: "TRUE", False: "FALSE"}, return_dtype=pl.String)
        frame.with_columns(flags).write_csv(path)
    elif writer == "Germans":
        as_written_with_commas(frame).write_csv(path, separator=";")
    else:
        (as_written(frame) if writer == "people" else frame).write_csv(path)
    return path


def pandas_of(frame: pl.DataFrame, backed: str) -> pd.DataFrame:
    if backed == "arrow":
        return frame.to_pandas(use_pyarrow_extension_array=True)
    result = frame.to_pandas()
    if backed == "nullable":
        return result.convert_dtypes()
    if backed == "categorical":
        return result.astype(dict.fromkeys(("smoker", "sex", "kind", "zip", "grade"), "category"))
    return result


def read_large(path: Path, styles: Styles) -> pl.DataFrame:
    result = read_source(path, memory=SMALL, styles=styles)
    assert result.whole is not None
    assert 100 < result.frame.height < ROWS
    return pl.concat([result.frame, result.whole.others.collect()])


def parquet(frame: pl.DataFrame, path: Path) -> Path:
    frame.write_parquet(path)
    return path


WRITERS = ("people", "Germans", "polars", "pandas", "excel")
FRAMES: dict[str, Callable[[pl.DataFrame, Path, Styles], pl.DataFrame]] = {
    **{
        f"CSV by {writer}, {how}": lambda f, p, s, writer=writer, read=read: read(file_of(f, p, writer), s)
        for writer in WRITERS
        for how, read in (
            ("whole", lambda path, styles: read_source(path, styles=styles).frame),
            ("streamed", lambda path, styles: pl.concat(read_batches(path, 97, styles=styles))),
            ("larger than memory", read_large),
        )
    },
    "Parquet": lambda f, p, s: read_source(parquet(f, p)).frame,
    "Parquet, streamed": lambda f, p, s: pl.concat(read_batches(parquet(f, p), 97)),
    "Parquet of dictionaries": lambda f, p, s: read_source(parquet(categorical(f), p)).frame,
    **{
        f"pandas, {kind}": lambda f, p, s, kind=kind: read_source(pandas_of(f, kind)).frame
        for kind in ("numpy", "nullable", "arrow", "categorical")
    },
    "Polars": lambda f, p, s: read_source(f).frame,
    "Polars, categorical": lambda f, p, s: read_source(categorical(f)).frame,
    "Polars, narrow types": lambda f, p, s: f.cast({"zip": pl.Int32, "grade": pl.Float32}),
    "Polars, decimals": lambda f, p, s: f.with_columns(pl.col("grade").cast(pl.Decimal(9, 2))),
    "Arrow": lambda f, p, s: read_source(f.to_arrow()).frame,
    "one by one": lambda f, p, s: f,
}


def categorical(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(
        pl.col("smoker", "sex").cast(pl.Categorical), pl.col("kind").cast(pl.Enum(sorted(LEVELS["kind"])))
    )


def json_of(frame: pl.DataFrame) -> bytes:
    rows = json.loads(frame.with_columns(pl.col("clock").cast(pl.Int64) // 10**9).write_json())
    return json.dumps({"rows": rows}).encode()


FITTED: dict[str, Callable[[pl.DataFrame], pl.DataFrame]] = {
    "text": lambda frame: as_written(frame).cast(pl.String),
    "text with commas": as_written_with_commas,
    "types": lambda frame: frame,
}


@pytest.fixture(scope="module", params=list(FITTED))
def encoder(request: pytest.FixtureRequest) -> TableEncoder:
    """Fitted on text as people write it, with points or commas as decimal marks, and on a frame with types."""
    frame = FITTED[request.param](truth())
    decimal = "," if request.param == "text with commas" else ""
    columns = infer_columns(frame, target="", overrides=ASKED, decimal=decimal)
    kinds = {kind: [column.name for column in columns if column.kind == kind] for kind in KINDS}
    assert kinds == KINDS
    return TableEncoder.fit(frame, columns)


@pytest.mark.parametrize("door", FRAMES)
def test_frames_and_files(door: str, encoder: TableEncoder, tmp_path: Path) -> None:
    frame = FRAMES[door](truth(), tmp_path / "table", styles_of(encoder.columns))
    frame = frame[with_values(frame, encoder.columns)["row"].arg_sort()]
    check(encoder, encoder.encode(frame), truth())


def has_commas(encoder: TableEncoder) -> bool:
    return styles_of(encoder.columns)["row"].decimal == ","


def test_a_column_reads_its_own_marks_where_few_rows_do_not_show_them(tmp_path: Path) -> None:
    """1.234 by itself, or with other numbers than those that showed the decimal mark."""
    learnt = tmp_path / "learnt.csv"
    rows = [f"{k}.234;1.{k:03};{k},5;{k % 17}\n" for k in range(1, 40)]
    learnt.write_text("people;part;price;rooms\n" + "".join(rows))
    source = read_source(learnt)
    columns = infer_columns(source.frame, target="", overrides={"part": "category"}, decimal=source.decimal)
    encoder = TableEncoder.fit(source.frame, columns)
    (tmp_path / "new.csv").write_text("people;part;price;rooms\n1.234;1.007;2.500;3.000\n")
    wanted = [[1234.0, 2500.0, 3000.0]]
    for frame in (
        read_source(tmp_path / "new.csv", styles=styles_of(columns)).frame,
        next(read_batches(tmp_path / "new.csv", 5, styles=styles_of(columns))),
        pl.DataFrame({"people": 1234, "part": "1.007", "price": 2500.0, "rooms": 3000}),
    ):
        numbers, codes = encoder.encode(frame).values()
        assert numbers.tolist() == wanted
        assert encoder.levels("part")[int(codes[0, 0])] == "1.007"
    served = RowReader(encoder, {}).read("text/csv", (tmp_path / "new.csv").read_bytes(), Limits().rows)
    assert RowReader(encoder, {}).encode([served]).numbers.tolist() == wanted


def test_rows_by_themselves(encoder: TableEncoder) -> None:
    """What a row means does not depend on the rows beside it."""
    written = as_written_with_commas if has_commas(encoder) else as_written
    for frame in (truth(40), written(truth(40)).cast(pl.String)):
        alone = [encoder.encode(frame[k]) for k in range(len(frame))]
        joined = {name: torch.cat([one[name] for one in alone]) for name in alone[0]}
        check(encoder, Inputs(**joined), truth(40))


@pytest.mark.parametrize("rows", [40, ROWS])
def test_requests(rows: int, encoder: TableEncoder, tmp_path: Path) -> None:
    reader, frame = RowReader(encoder, {}), truth(rows)
    bodies = {"application/json": [json_of(frame)], "text/csv": []}
    for writer in WRITERS:
        bodies["text/csv"].append(file_of(frame, tmp_path / "body", writer).read_bytes())

    def read(kind: str, body: bytes) -> list[RequestRows]:
        return asyncio.run(reader.read_in_turns(kind, body, Limits()))

    for kind, written in bodies.items():
        for body in written:
            check(encoder, reader.encode(read(kind, body)), frame)
            check(encoder, reader.encode([reader.read(kind, body, Limits().rows)]), frame)
    both = [piece for kind, written in bodies.items() for piece in read(kind, written[0])]
    check(encoder, reader.encode(both), pl.concat([frame, frame]))  # requests that are predicted together


@pytest.fixture(scope="module")
def exported(encoder: TableEncoder, tmp_path_factory: pytest.TempPathFactory) -> tuple[Model, Path]:
    """A model without text, which is not exported, with a network that was not trained."""
    frame, folder = truth().drop("said"), tmp_path_factory.mktemp("exported")
    plain = replace(encoder, columns=encoder.columns[:-1], texts=())
    numbers = plain.encode(frame).numbers
    preprocess = Preprocess.fit(numbers, "quantile")
    embeddings = tuple((size, 2) for size in plain.category_sizes)
    net = build(DenseSpec(inputs=preprocess.width, hidden=(8,), outputs=3, embeddings=embeddings), seed=0).eval()
    model = Model(Task("multiclass", "y", ("a", "b", "c")), plain, preprocess, (net,), (1.0,))
    export_torch(model, folder, frame)
    export_onnx(model, folder / "model.onnx", frame)
    return model, folder


RECORDS: dict[str, Callable[[pl.DataFrame, Path], list[dict[str, Any]]]] = {
    "Polars": lambda f, p: f.rows(named=True),
    **{
        f"pandas, {kind}": lambda f, p, kind=kind: pandas_of(f, kind).to_dict("records")
        for kind in ("numpy", "nullable", "arrow", "categorical")
    },
    **{
        f"csv.DictReader, by {writer}": lambda f, p, writer=writer: list(
            csv.DictReader(io.StringIO(file_of(f, p, writer).read_text(encoding="utf-8")))
        )
        for writer in WRITERS
        if writer != "Germans"
    },
    "csv.DictReader, with commas": lambda f, p: list(
        csv.DictReader(io.StringIO(file_of(f, p, "Germans").read_text(encoding="utf-8")), delimiter=";")
    ),
}


@pytest.mark.parametrize("door", RECORDS)
def test_the_exported_program(door: str, exported: tuple[Model, Path], tmp_path: Path) -> None:
    model, folder = exported
    spec = importlib.util.spec_from_file_location("exported", folder / "model.py")
    assert spec is not None
    assert spec.loader is not None
    program = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(program)
    plain, frame = program.load(folder / "model.safetensors"), truth(150)
    rows = RECORDS[door](frame, tmp_path / "rows")
    if door.startswith("csv") and has_commas(model.encoder) != door.endswith("commas"):
        with pytest.raises(ValueError, match="is not a number"):  # rows by themselves do not say how they are written
            plain.encode(rows)
        return
    numbers, codes = plain.encode(rows)
    check(model.encoder, Inputs(numbers=numbers, codes=codes), frame)
    result = np.array([list(row.values()) for row in plain.predict_proba(rows)])
    np.testing.assert_allclose(result, model.predict_proba(frame).to_numpy(), atol=1e-6)  # float32 networks
    assert plain.predict([]) == []


def test_onnx_runtime(exported: tuple[Model, Path], tmp_path: Path) -> None:
    model, folder = exported
    session = pytest.importorskip("onnxruntime").InferenceSession(folder / "model.onnx")
    for door in ("CSV by people, streamed", "pandas, nullable", "Parquet of dictionaries"):
        frame = FRAMES[door](truth(), tmp_path / "table", styles_of(model.encoder.columns))
        result = session.run(["probabilities"], exportable(model).inputs_for(model.encoder, frame))[0]
        wanted = model.predict_proba(truth()).to_numpy()
        np.testing.assert_allclose(result, wanted, atol=1e-5)  # another runtime's float32


def beside(frame: pl.DataFrame) -> pl.DataFrame:
    """A row of gaps alone, and one of cells that no row of training had."""
    odd = {"zip": 777, "grade": 2.5, "kind": "castle", "part": "8", "sex": "third", "row": -1e15, "size": 1e12}
    gaps = pl.DataFrame([dict.fromkeys(frame.columns), {**frame.row(0, named=True), **odd}], schema=frame.schema)
    return pl.concat([gaps, frame])


def test_a_prediction_does_not_depend_on_the_rows_beside_it(exported: tuple[Model, Path], tmp_path: Path) -> None:
    """Alone, among others, turned round, beside odd rows, in pieces: the model and ONNX, in float32."""
    model, folder = exported
    frame = truth(60).drop("said")
    session = pytest.importorskip("onnxruntime").InferenceSession(folder / "model.onnx")
    doors: list[tuple[Callable[[pl.DataFrame], np.ndarray], float]] = [
        (lambda rows: model.predict_proba(rows).to_numpy(), 1e-6),
        (lambda rows: session.run(["probabilities"], exportable(model).inputs_for(model.encoder, rows))[0], 1e-5),
    ]
    for predict, near in doors:
        wanted = predict(frame)
        np.testing.assert_allclose(np.concatenate([predict(frame[k]) for k in range(60)]), wanted, atol=near)
        np.testing.assert_allclose(np.concatenate([predict(one) for one in frame.iter_slices(7)]), wanted, atol=near)
        np.testing.assert_allclose(predict(frame.reverse())[::-1], wanted, atol=near)
        np.testing.assert_allclose(predict(beside(frame))[2:], wanted, atol=near)


def test_arrays(tmp_path: Path) -> None:
    """Arrays, and CSV of them, to an encoder that was fitted on either."""
    X = np.array([[1e12 + k, 0.1 * k, np.nan if k % 7 == 0 else k % 3] for k in range(60)])
    pl.DataFrame(X, schema=["x0", "x1", "x2"]).fill_nan(None).write_csv(tmp_path / "x.csv")
    doors = [read_source(source).frame for source in (X, tmp_path / "x.csv")]
    for fitted in doors:
        encoder = TableEncoder.fit(fitted, infer_columns(fitted, target="", overrides={"x0": "number"}))
        for door in doors:
            np.testing.assert_array_equal(encoder.encode(door).numbers.numpy(), X)


def check(encoder: TableEncoder, found: Inputs, frame: pl.DataFrame) -> None:
    """Equal to what was written out by hand, bit for bit."""
    numbers, codes = found.numbers, found.codes
    wanted = numbers_by_hand(frame)
    assert (numbers.dtype, codes.dtype) == (torch.float64, torch.int64)
    np.testing.assert_array_equal(numbers.numpy(), wanted)
    np.testing.assert_array_equal(codes.numpy(), codes_by_hand(frame, encoder))
    if encoder.texts:
        pieces = encoder.texts[0].encode(frame.select("said"))
        np.testing.assert_array_equal(found.tokens.numpy(), pieces)

"""Everything that reads bytes from outside, each behind one call, with files to begin from: for the fuzzers."""

from __future__ import annotations

import gzip
import io
import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import torch
from safetensors.torch import save

from luthier.data import Task, read_batches, read_source
from luthier.data.encode import TableEncoder
from luthier.data.pictures.decoding import UnreadableError, decode, shape_of
from luthier.data.pictures.idx import read_idx
from luthier.data.preprocess import Preprocess
from luthier.data.typed_columns.columns import Column, infer_columns
from luthier.errors import LuthierError
from luthier.nets import DenseSpec, build
from luthier.nets.weights import read_weights
from luthier.recipe import Recipe, read_ledger, read_recipe, write_recipe
from luthier.request import RunRequest
from luthier.saved import Model, open_run
from luthier.serving.readers.requests import RefusedError
from luthier.serving.readers.row_reader import from_csv, from_json

OURS = (LuthierError, RefusedError, UnreadableError)  # what a reader may say; anything else is a fault
COLUMNS = (Column("a", "number", True, ""), Column("b", "category", True, ""), Column("c", "boolean", True, ""))
ENCODER = TableEncoder(COLUMNS, {"b": ("x", "y")}, {})


@dataclass(frozen=True)
class Reader:
    """A reader of bytes, and whole inputs that a fuzzer changes."""

    read: Callable[[bytes], object]
    seeds: tuple[bytes, ...]


def readers(folder: Path) -> dict[str, Reader]:
    """All readers by name; `folder` is a place for their files."""

    def of_file(name: str, read: Callable[[Path], object]) -> Callable[[bytes], object]:
        def reader(content: bytes) -> object:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            return read(path)

        return reader

    return {
        "csv": Reader(of_file("table.csv", _table), CSV),
        "csv in batches": Reader(of_file("batches.csv", lambda path: list(read_batches(str(path), 2))), CSV),
        "parquet": Reader(of_file("table.parquet", _table), (_parquet(),)),
        "idx": Reader(of_file("images-idx3-ubyte", read_idx), (_idx(), gzip.compress(_idx()))),
        "picture": Reader(of_file("picture.png", _picture), _pictures()),
        "bundle": Reader(of_file("model.luthier", Model.load), (_bundle(),)),
        "config": Reader(of_file("recipe.toml", read_recipe), (_recipe(),)),
        "run": Reader(of_file("run/run.json", lambda path: open_run(path.parent)), (RUN,)),
        "ledger": Reader(of_file("ledger.jsonl", read_ledger), (b'{"kind": "note", "step": 1, "sentence": "x"}\n',)),
        "safetensors": Reader(of_file("w.safetensors", read_weights), (save({"x": torch.ones(2, 3)}),)),
        "pt": Reader(of_file("w.pt", read_weights), (_pt(),)),
        "json body": Reader(lambda content: list(from_json(content, ENCODER, 100)), BODIES),
        "csv body": Reader(lambda content: list(from_csv(content, ENCODER, 100)), (b"a,b,c\n1,x,true\n,y,\n",)),
    }


CSV = (
    b"a,b,c\n1,x,2020-01-02\n2,,2021-03-04\n",
    b"\xef\xbb\xbfa;b\n1,5;x\n2,5;y\n",
    b'"a ""q""","b\nc"\n"1","2"\n',
    "größe\tort\n1\tKöln\n".encode("latin-1"),
    b"a\n\n\n1\n",
    b"sep=|\r\na|b\r\n1|x\r\n",
    b"Sales\n\na;b\n1,5;x, y\n2,5;\n",
    b'a,b\n1,"say \\"no\\", then"\n2, "x"\n',
    "a\tb\n1\té\n".encode("utf-16"),
    gzip.compress(b"a,b\n1,x\n", mtime=0),
)
RUN = json.dumps(
    {
        "mark": "luthier run",
        "format": 1,
        "kind": "several",
        "name": "x",
        "created": "now",
        "source": "x.csv",
        "folders": {"a": "b"},
        "budget": "60s",
        "options": {},
    }
).encode()
BODIES = (b'{"rows": [{"a": 1.5, "b": "x", "c": true}, {"a": null, "b": null, "c": null}]}', b'{"rows": [[]]}')


def _table(path: Path) -> object:
    frame = read_source(path).frame
    return infer_columns(frame, target=frame.columns[0], overrides={})


def _picture(path: Path) -> object:
    return decode(str(path), shape_of(str(path)))


def _parquet() -> bytes:
    buffer = io.BytesIO()
    pl.DataFrame({"a": [1, 2, 3], "b": ["x", None, "y"]}).write_parquet(buffer)
    return buffer.getvalue()


def _idx() -> bytes:
    return bytes([0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 2]) + bytes(range(8))


def _pictures() -> tuple[bytes, ...]:
    from PIL import Image

    result = []
    for mode, kind in (("L", "PNG"), ("RGBA", "PNG"), ("P", "GIF"), ("RGB", "JPEG"), ("RGB", "BMP"), ("I;16", "TIFF")):
        buffer = io.BytesIO()
        Image.new(mode, (5, 4)).save(buffer, kind)
        result.append(buffer.getvalue())
    return tuple(result)


def _bundle() -> bytes:
    frame = pl.DataFrame({"a": [1.0, 2.0, 3.0], "b": ["x", "y", "x"]})
    columns = (Column("a", "number", True, ""), Column("b", "category", True, ""))
    encoder = TableEncoder.fit(frame, columns)
    numbers = encoder.encode(frame).numbers
    net = build(DenseSpec(inputs=1, hidden=(2,), outputs=1, embeddings=((4, 2),)), seed=0)
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "model.luthier"
        Model(Task("regression", "y"), encoder, Preprocess.fit(numbers, "quantile"), (net,), (1.0,)).save(path)
        return path.read_bytes()


def _recipe() -> bytes:
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "recipe.toml"
        write_recipe(path, Recipe(asked=RunRequest(source="x.csv", target="y", budget="60s")))
        return path.read_bytes()


def _pt() -> bytes:
    buffer = io.BytesIO()
    torch.save({"x": torch.ones(2)}, buffer)
    return buffer.getvalue()

"""The recipe on a table with one column of pictures beside numbers and text."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest
from tests.serving.asking import ThreadServer

import luthier
from luthier.data import Unread
from luthier.engine import Member
from luthier.errors import InputError
from luthier.exporting.to_onnx import export_onnx
from luthier.nets import ConvSpec, MixedSpec
from luthier.recipe import read_as_asked
from luthier.recipe.decisions.question_answers import compared_with
from luthier.recipe.modality import MODALITIES
from luthier.recipe.planning.setting import Setting
from luthier.recipe.rows.parts import parts_of
from luthier.request import RunRequest
from luthier.runs.screen import SilentScreen
from luthier.saved import AskedColumns, predict_file

Image = pytest.importorskip("PIL.Image")
SIDE = 8
FILL = ["the", "house", "has", "a", "garden", "near", "park", "with", "two", "rooms", "and", "some", "light"]


def made(folder: Path, rows: int = 160) -> Path:
    """Prices by a number, one word and the brightness of a picture; a missing picture, and one that is not there."""
    rng = np.random.default_rng(0)
    size, warm, light = rng.normal(size=rows), rng.random(rows) < 0.5, rng.random(rows) < 0.5
    said = [" ".join([*rng.choice(FILL, 6), "sunny" if one else "damp"]) for one in warm]
    (folder / "photos").mkdir(parents=True)
    names: list[str | None] = [f"photos/{row}.png" for row in range(rows)]
    for name, one in zip(names, light, strict=True):
        pixels = rng.integers(0, 100, (SIDE, SIDE)) + 120 * one
        Image.fromarray(pixels.astype(np.uint8)).save(folder / str(name))
    price = 2 * size + 2 * warm + 4 * light + 0.2 * rng.normal(size=rows)
    names[3], names[7] = None, "photos/gone.png"
    frame = pl.DataFrame({"photo": names, "said": said, "size": size, "price": price})
    frame.write_csv(folder / "table.csv")
    return folder / "table.csv"


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("mixed"))


@pytest.fixture(scope="module")
def run(table: Path) -> luthier.Result:
    result = luthier.fit(
        table, target="price", budget="60steps", run=table.parent / "run", text_model="none", screen=SilentScreen()
    )
    assert result is not None
    return result


def whole_paths(frame: pl.DataFrame, folder: Path) -> pl.DataFrame:
    return frame.with_columns(
        pl.Series("photo", [None if name is None else str(folder / name) for name in frame["photo"]])
    )


def asked(table: Path, **options: Any) -> RunRequest:
    return RunRequest(source=str(table), target="price", **options)


def test_all_columns_are_learnt_from_and_each_is_worth_something(run: luthier.Result) -> None:
    assert {c.name: c.kind for c in run.model.encoder.columns} == {"said": "text", "size": "number", "photo": "picture"}
    drops = {row["column"]: row["drop"] for row in run.scores["importance"]}
    assert set(drops) == {"photo", "said", "size"}
    assert min(drops["photo"], drops["size"]) > 0
    sentences = " ".join(str(record) for record in run.ledger)
    assert "'gone.png' (there is no such file)" in sentences
    assert "2 of 160 missing" in sentences


def test_a_model_predicts_paths_bytes_and_missing_pictures(run: luthier.Result, table: Path, tmp_path: Path) -> None:
    model = luthier.load(run.path)
    frame = whole_paths(pl.read_csv(table).head(4), table.parent)
    found = model.predict(frame)
    assert found.to_list() == run.model.predict(frame).to_list()
    assert model.predict(pl.DataFrame(frame.to_dicts())).to_list() == found.to_list()
    content = [None if path is None else Path(path).read_bytes() for path in frame["photo"]]
    as_bytes = frame.with_columns(pl.Series("photo", content, dtype=pl.Binary))
    assert model.predict(as_bytes).to_list() == found.to_list()
    gone, unread = frame.with_columns(photo=pl.lit("nowhere.png")), Unread()
    with pytest.raises(InputError, match="1 pictures cannot be read"):
        model.predict(gone)
    assert not model.encode(gone, unread=unread)["pixels"].any()
    assert unread.counts == {"photo": 4}


def test_a_prediction_is_explained_by_what_each_column_adds(run: luthier.Result, table: Path, tmp_path: Path) -> None:
    frame = whole_paths(pl.read_csv(table).slice(10, 40), table.parent)
    found = run.model.explain(frame)
    assert found.columns == ("size", "said", "photo")
    np.testing.assert_allclose(found.shares.sum(1), found.answer - found.typical, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(found.answer, run.model.margins(run.model.encode(frame))[:, 0], rtol=1e-4, atol=1e-4)
    assert np.corrcoef(found.shares[:, 0], frame["size"])[0, 1] > 0.9
    typical = {**run.model.typical_row(), "said": "", "photo": None}
    alike = pl.DataFrame([typical], schema={"said": pl.String, "size": pl.Float64, "photo": pl.String})
    np.testing.assert_allclose(run.model.explain(alike).shares, 0, atol=1e-6)  # nothing is added to a typical row
    frame.write_csv(tmp_path / "new.csv")
    predict_file(run.path, str(tmp_path / "new.csv"), tmp_path / "out.csv", AskedColumns(explain=True))
    assert {"typical", "+ said", "+ size", "+ photo"} <= set(pl.read_csv(tmp_path / "out.csv").columns)


def test_what_is_not_there_for_mixed_rows_is_refused_in_words(run: luthier.Result, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a model of mixed rows cannot be exported"):
        export_onnx(run.model, tmp_path / "model.onnx", pl.DataFrame())
    rows = pl.DataFrame({"photo": [None], "said": ["sunny"], "size": [1.0]})
    with pytest.raises(InputError, match="partial dependence is not defined for column 'photo'"):
        run.model.dependence(rows, "photo")
    assert run.model.dependence(rows, "size").height > 1


def test_a_server_takes_pictures_as_base64_and_never_as_paths(run: luthier.Result, table: Path) -> None:
    picture = table.parent / "photos" / "0.png"
    rows = [
        {"photo": base64.b64encode(picture.read_bytes()).decode(), "said": "sunny rooms", "size": 0.5},
        {"photo": None, "said": "damp", "size": -1.0},
    ]
    frame = pl.DataFrame({**{k: [row[k] for row in rows] for k in ("said", "size")}, "photo": [str(picture), None]})
    server = ThreadServer(run.model)
    try:
        status, answer = server.ask(json.dumps({"rows": rows}).encode())
        assert status == 200, answer
        found = [row["prediction"] for row in answer["predictions"]]
        assert found == pytest.approx(run.model.predict(frame).to_list(), rel=1e-5)
        path = json.dumps({"rows": [{**rows[0], "photo": str(picture)}]}).encode()
        server.refuses(path, "application/json", 422, "is not base64")
        damaged = {**rows[0], "photo": base64.b64encode(b"no picture").decode()}
        body = json.dumps({"rows": [rows[1], damaged]}).encode()
        server.refuses(body, "application/json", 422, '"row":1,"field":"photo"')
    finally:
        server.end()


def test_equal_pictures_are_equal_rows_wherever_they_lie(table: Path, tmp_path: Path) -> None:
    frame = pl.read_csv(table)
    (tmp_path / "elsewhere.png").write_bytes((table.parent / "photos" / "0.png").read_bytes())
    other = frame.head(1).with_columns(photo=pl.lit(str(tmp_path / "elsewhere.png")))
    twice = pl.concat([whole_paths(frame, table.parent), other])
    twice.write_csv(tmp_path / "twice.csv")
    read = read_as_asked(str(tmp_path / "twice.csv"), asked(tmp_path / "twice.csv"))
    assert read.copies.together[-1] == read.copies.together[0]
    assert len(np.unique(read.copies.together)) == len(frame)
    assert read.cell_hashes[-1] == read.cell_hashes[0]


def test_missing_pictures_stop_a_strict_run(table: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"1 of 160 pictures cannot be read: 'gone.png'"):
        read_as_asked(str(table), asked(table, strict=True))
    frame, few = pl.read_csv(table), table.parent / "few.csv"
    fifth = [name if row % 5 == 0 else None for row, name in enumerate(frame["photo"])]
    frame.with_columns(pl.Series("photo", fifth)).write_csv(few)
    said = list(map(str, read_as_asked(str(few), asked(few)).notes))
    assert any("has no picture in 128 of 160 rows" in note for note in said)
    with pytest.raises(InputError, match="has no picture in 128 of 160 rows"):
        read_as_asked(str(few), asked(few, strict=True))


def test_tiny_and_huge_pictures_are_bounded(table: Path) -> None:
    Image.fromarray(np.zeros((1, 1), dtype=np.uint8)).save(table.parent / "dot.png")
    Image.new("1", (10_000, 10_000)).save(table.parent / "huge.png")
    frame = pl.read_csv(table)
    frame[0, "photo"], frame[1, "photo"] = "dot.png", "huge.png"
    frame.write_csv(table.parent / "sizes.csv")
    read = read_as_asked(str(table.parent / "sizes.csv"), asked(table.parent / "sizes.csv"))
    assert read.frame["photo"].null_count() == 3
    assert any("10000 x 10000 pixels" in note for note in map(str, read.notes))


def test_only_pictures_stay_pictures_and_columns_can_be_left_out(table: Path) -> None:
    read = read_as_asked(str(table), asked(table, columns={"photo": "identifier"}))
    assert read.beside is None
    assert {c.name for c in read.columns if c.used} == {"said", "size"}
    alone = read_as_asked(str(table), asked(table, columns={"said": "identifier", "size": "identifier"}))
    assert alone.pictures is not None
    parts = parts_of(read_as_asked(str(table), asked(table)), asked(table))
    assert parts.encoder.medium == "mixed rows"
    assert parts.training.inputs["pixels"].shape[1:] == (1, SIDE, SIDE)


PLAIN = MixedSpec(1, 0, 0, 3, picture=ConvSpec((1, 8, 8), (8,), 6), layers_of_units=(8,))
WORDS = MixedSpec(1, 20, 4, 3, picture=PLAIN.picture, pairs=5, vectors=2, weighted=True, word_dropout=0.1)


@pytest.mark.parametrize("spec", [PLAIN, WORDS])
def test_each_question_about_mixed_rows_changes_one_thing(spec: MixedSpec) -> None:
    modality = MODALITIES["mixed rows"]
    now = Setting(modality.method, "adam", 16, Member(spec, 0, 0.01))
    data = SimpleNamespace(training=[0], validation=[])
    runner: Any = SimpleNamespace(problem=SimpleNamespace(crossed=False, mixes=True, data=data))
    questions = list(modality.questions(runner, now, {"sgd": 0.1}))
    assert len({one.name for one in questions}) == len(questions) >= 7
    for one in questions:
        assert one.other.member != now.member or one.other != now, one.name
        assert compared_with(one.name, one.value, used=one.used), one.name
    assert MixedSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec
    assert modality.work(WORDS, 16) > modality.work(PLAIN, 16)

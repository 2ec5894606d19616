"""The recipe on a table whose pictures a frozen backbone sees once, as numbers beside the other columns."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.torch import save_file
from tests.recipe.test_mixed_rows import made, whole_paths
from tests.serving.asking import ThreadServer
from torch import nn
from typer.testing import CliRunner

import luthier
from luthier.cli import app
from luthier.data import FrozenEncoder, Unread
from luthier.errors import InputError
from luthier.exporting.to_onnx import export_onnx
from luthier.exporting.to_torch import export_torch
from luthier.nets import backbone
from luthier.nets.picture_features import PictureFeatures, features_of
from luthier.nets.resnet import resnet
from luthier.recipe import read_as_asked
from luthier.recipe.rows.parts import parts_of
from luthier.request import RunRequest
from luthier.runs.screen import SilentScreen
from luthier.saved.bundle import read_bundle, write_bundle

Image = pytest.importorskip("PIL.Image")
SIDE, CHANNELS = 8, 6
SEEN: list[int] = []  # pictures that went through the backbone


class Small(nn.Module):
    """A backbone of the user's own, which counts what it is shown."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, CHANNELS, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten()
        )
        self.head = nn.Linear(4 * CHANNELS, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits [B, 10]."""
        SEEN.append(len(x))
        result: torch.Tensor = self.head(self.body(x))
        return result


def small() -> nn.Module:
    """It with the weights that it always has."""
    torch.manual_seed(0)
    return Small()


NAME = f"{__name__}:small"
OPTIONS: dict[str, Any] = {"target": "price", "backbone": NAME, "text_model": "none", "size": SIDE}


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("frozen"))


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("LUTHIER_CACHE", str(folder))
        patch.setattr(backbone, "_allowed", {NAME})
        yield folder


def fitted(table: Path, name: str, **options: Any) -> luthier.Result:
    given = {**OPTIONS, "budget": "120steps", "run": table.parent / name, "screen": SilentScreen(), **options}
    result = luthier.fit(table, **given)
    assert result is not None
    return result


@pytest.fixture(scope="module")
def run(table: Path) -> luthier.Result:
    """With text, so that a bag of words reads beside the pictures' numbers."""
    return fitted(table, "run")


@pytest.fixture(scope="module")
def dense(table: Path) -> luthier.Result:
    """Without text, so that rows are numbers alone."""
    return fitted(table, "dense", columns={"said": "identifier"})


def frame_of(table: Path, rows: int = 40) -> pl.DataFrame:
    return whole_paths(pl.read_csv(table).slice(10, rows), table.parent)


def test_all_columns_are_learnt_from_and_each_is_worth_something(run: luthier.Result, dense: luthier.Result) -> None:
    for result, columns in ((run, {"photo", "said", "size"}), (dense, {"photo", "size"})):
        encoder = result.model.encoder
        assert isinstance(encoder, FrozenEncoder)
        assert {column.name for column in encoder.columns} == columns
        assert len(encoder.places()["photo"]["numbers"]) == encoder.features.count <= 4 * CHANNELS  # type: ignore[union-attr]
        drops = {row["column"]: row["drop"] for row in result.scores["importance"]}
        assert set(drops) == columns  # a whole column permuted
        assert drops["photo"] > 0
    specs = {type(net.spec).__name__ for one in (run, dense) for net in one.model.nets}
    assert specs == {"TextSpec", "DenseSpec"}
    assert any("numbers of each picture" in str(record) for record in run.ledger)
    assert not any(record.get("topic") == "unfrozen blocks" for record in run.ledger)


def test_a_picture_is_seen_once_for_all_runs(run: luthier.Result, table: Path, tmp_path: Path) -> None:
    shutil.copytree(table.parent / "photos", tmp_path / "photos")
    shutil.copy(table, tmp_path / "table.csv")
    SEEN.clear()
    parts_of(*read(tmp_path / "table.csv", seed=3))  # other parts of the same pictures, which lie elsewhere
    to_know_its_sizes = sum(SEEN)
    assert to_know_its_sizes < 10
    Image.new("L", (SIDE, SIDE), 77).save(tmp_path / "photos" / "5.png")
    SEEN.clear()
    parts_of(*read(tmp_path / "table.csv"))
    assert sum(SEEN) == to_know_its_sizes + 1  # the new one
    assert CliRunner().invoke(app, ["data", "cache", "--clear"]).exit_code == 0
    SEEN.clear()
    parts_of(*read(tmp_path / "table.csv"))
    assert sum(SEEN) > 150


def read(path: Path, **options: Any) -> tuple[Any, RunRequest]:
    asked = RunRequest(source=str(path), **{**OPTIONS, **options})
    return read_as_asked(str(path), asked), asked


def test_what_is_fitted_is_fitted_on_training_rows_alone(table: Path) -> None:
    parts = parts_of(*read(table))
    encoder = parts.encoder
    assert isinstance(encoder, FrozenEncoder)
    place = encoder.places()["photo"]["numbers"]
    numbers = parts.training.numbers[:, place]
    assert float(numbers.mean(0).abs().max()) < 1e-4  # of float32, relative to the smallest component's deviation
    assert float((numbers.var(0, correction=0) - 1).abs().max()) < 1e-3
    assert float(parts.validation.numbers[:, place].mean(0).abs().max()) > 1e-2


def test_numbers_are_the_modules_own_wherever_they_come_from(table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = torch.randint(0, 256, (9, 1, SIDE, SIDE), dtype=torch.uint8)
    features = features_of(NAME, (1, SIDE, SIDE), 16, "", lambda sentence: None)
    seen = features.seen(pictures)
    assert seen.shape == (9, 4 * CHANNELS)
    known = features.fit(seen)
    assert known.count <= 8  # of nine pictures
    expected = known(pictures).double().numpy()
    np.testing.assert_allclose(known.numbers_of(pictures), expected, atol=1e-4)
    known.seen(pictures, keep=True)
    np.testing.assert_allclose(known.numbers_of(pictures), expected, atol=1e-4)
    whole = small().eval()
    shown = nn.functional.interpolate(pictures.float() / 255, size=(16, 16), mode="bilinear").expand(-1, 3, -1, -1)
    mean, std = (features.net.get_submodule("show").get_buffer(name) for name in ("mean", "std"))
    with torch.no_grad():
        np.testing.assert_allclose(seen, whole.body((shown - mean) / std).numpy(), atol=1e-5)  # type: ignore[operator]
    with pytest.raises(InputError, match="sees the same in all pictures"):
        features.fit(np.ones((5, 4 * CHANNELS), np.float32))


def test_a_file_of_weights_is_read_and_others_are_refused(tmp_path: Path) -> None:
    state = {name: value + 0.01 for name, value in resnet("resnet18").state_dict().items() if value.is_floating_point()}
    save_file(state, tmp_path / "w.safetensors")
    features = features_of("resnet18", (1, SIDE, SIDE), 32, str(tmp_path / "w.safetensors"), lambda sentence: None)
    assert features.spec.width == 512
    assert torch.equal(features.net.state_dict()["body.conv1.weight"], state["conv1.weight"])
    other = features_of("resnet18", (1, SIDE, SIDE), 32, "", lambda sentence: None)
    assert other.digest != features.digest
    assert other.digest == features_of("resnet18", (1, SIDE, SIDE), 32, "", lambda sentence: None).digest
    with pytest.raises(InputError, match="the weights do not fit the network"):
        features_of("resnet34", (1, SIDE, SIDE), 32, str(tmp_path / "w.safetensors"), lambda sentence: None)


def test_a_model_predicts_elsewhere_what_it_predicted_here(
    run: luthier.Result, dense: luthier.Result, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = frame_of(table)
    for result in (run, dense):
        expected = result.model.predict(frame).to_numpy()
        monkeypatch.setenv("LUTHIER_CACHE", str(tmp_path / "nothing"))
        model = luthier.load(result.path)
        np.testing.assert_allclose(model.predict(frame).to_numpy(), expected, rtol=1e-4)
        content = [Path(path).read_bytes() for path in frame["photo"]]
        as_bytes = frame.with_columns(pl.Series("photo", content, dtype=pl.Binary))
        np.testing.assert_allclose(model.predict(as_bytes).to_numpy(), expected, rtol=1e-4)
        gone, unread = frame.with_columns(photo=pl.lit("nowhere.png")), Unread()
        with pytest.raises(InputError, match="1 pictures cannot be read"):
            model.predict(gone)
        black = frame.with_columns(photo=pl.lit(None, dtype=pl.String))
        assert torch.equal(model.encode(gone, unread=unread).numbers, model.encode(black).numbers)
        assert unread.counts == {"photo": frame.height}
    monkeypatch.setattr(backbone, "_allowed", set())
    with pytest.raises(InputError, match="a file must not choose code to run"):
        luthier.load(run.path)


def test_parts_that_do_not_belong_together_are_refused(dense: luthier.Result, tmp_path: Path) -> None:
    bundle = read_bundle(dense.path / "model.luthier")
    axes = bundle.weights["encoder.axes"]
    other = {**bundle.encoder["backbone"], "inputs": [3, SIDE, SIDE]}
    wrong = [
        replace(bundle, weights={**bundle.weights, "encoder.axes": axes[:, 1:].contiguous()}),
        replace(bundle, weights={name: value for name, value in bundle.weights.items() if name != "encoder.mean"}),
        replace(bundle, weights={**bundle.weights, "encoder.mean": bundle.weights["encoder.mean"] * torch.nan}),
        replace(bundle, encoder={**bundle.encoder, "backbone": other}),
    ]
    for number, one in enumerate(wrong):
        write_bundle(tmp_path / f"{number}.luthier", one)
        with pytest.raises(InputError, match="does not describe a model"):
            luthier.load(tmp_path / f"{number}.luthier")


def test_a_prediction_is_explained_by_what_each_column_adds(
    run: luthier.Result, dense: luthier.Result, table: Path
) -> None:
    frame = frame_of(table)
    for result, columns in ((run, ("size", "said", "photo")), (dense, ("size", "photo"))):
        found = result.model.explain(frame)
        assert found.columns == columns
        np.testing.assert_allclose(found.shares.sum(1), found.answer - found.typical, rtol=1e-4, atol=1e-4)
        assert set(result.model.typical_row()) == set(columns)
        assert result.model.dependence(frame, "size").height > 1
        with pytest.raises(InputError, match="partial dependence is not defined for column 'photo'"):
            result.model.dependence(frame, "photo")


def test_it_cannot_be_exported_and_says_so(run: luthier.Result, dense: luthier.Result, tmp_path: Path) -> None:
    for result in (run, dense):
        with pytest.raises(InputError, match="beside frozen pictures cannot be exported"):
            export_onnx(result.model, tmp_path / "model.onnx", pl.DataFrame())
        with pytest.raises(InputError, match="beside frozen pictures cannot be exported"):
            export_torch(result.model, tmp_path / "model", pl.DataFrame())


def test_a_server_takes_pictures_as_base64(dense: luthier.Result, table: Path) -> None:
    picture = table.parent / "photos" / "0.png"
    rows = [{"photo": base64.b64encode(picture.read_bytes()).decode(), "size": 0.5}, {"photo": None, "size": -1.0}]
    frame = pl.DataFrame({"size": [0.5, -1.0], "photo": [str(picture), None]})
    server = ThreadServer(dense.model)
    try:
        status, answer = server.ask(json.dumps({"rows": rows}).encode())
        assert status == 200, answer
        found = [row["prediction"] for row in answer["predictions"]]
        assert found == pytest.approx(dense.model.predict(frame).to_list(), rel=1e-4)
    finally:
        server.end()


def test_what_takes_too_long_is_refused_before_it_is_begun(table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PictureFeatures, "seconds", lambda self, pictures, device: 31.0)
    with pytest.raises(InputError, match=r"158 pictures takes about 31 s here(.|\n)*24 s(.|\n)*smaller --size"):
        parts_of(*read(table, budget="60s"))
    with pytest.raises(InputError, match="learns from text alone"):
        read(table, columns={"photo": "identifier"})
    alone, _ = read(table, columns={"said": "identifier", "size": "identifier"})
    assert alone.pictures is not None


def test_new_rows_are_checked_and_a_run_is_resumed(dense: luthier.Result, table: Path) -> None:
    frame = frame_of(table, 60)
    frame.write_csv(table.parent / "new.csv")
    luthier.check(dense.path, table.parent / "new.csv")
    again = luthier.resume(dense.path, screen=SilentScreen())
    assert again.scores["headline"] == dense.scores["headline"]

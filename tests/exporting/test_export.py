"""Models taken elsewhere tell the same: ONNX Runtime with raw columns, and a module that knows PyTorch alone."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from tests.cli.program import luthier as command_line

import luthier
from luthier.data.preprocess import METHODS
from luthier.errors import ConfigError, InputError, LuthierError
from luthier.exporting.exported_rows import exportable
from luthier.exporting.graph import normal_quantile
from luthier.exporting.to_onnx import export_onnx
from luthier.exporting.to_torch import export_torch
from luthier.runs.export_run import Exported, export_run
from luthier.runs.screen import SilentScreen

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")


def table(rows: int = 240) -> pl.DataFrame:
    rng = np.random.default_rng(0)
    size, kind = rng.lognormal(3, 0.5, rows), rng.choice(["flat", "house", "hut"], rows)
    days = [f"{1950 + k % 60}-{1 + k % 12:02d}-11" for k in range(rows)]
    price = size * np.where(kind == "flat", 3, 2) * np.exp(0.1 * rng.normal(size=rows))
    gaps = np.where(rng.random(rows) < 0.1, np.nan, size)
    words = [None if rng.random() < 0.05 else str(one) for one in kind]
    return pl.DataFrame(
        {
            "size": gaps,
            "kind": words,
            "built": days,
            "garden": rng.random(rows) < 0.5,
            "price": price,
            "dear": np.where(price > 50, "yes", "no"),
            "class": np.digitize(price, [30, 60]).astype(str),
        }
    ).with_columns(pl.col("size").fill_nan(None))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, luthier.Result]:
    folder, result = tmp_path_factory.mktemp("runs"), {}
    for target in ("price", "dear", "class"):
        frame = table().drop([name for name in ("price", "dear", "class") if name != target])
        done = luthier.fit(frame, target=target, budget="100steps", run=folder / target, screen=SilentScreen())
        assert done is not None
        result[target] = done
    return result


@pytest.fixture(scope="module")
def exported(runs: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Exported]]:
    """The ONNX files of the runs; PyTorch's exporter takes longer than all else here."""
    folder = tmp_path_factory.mktemp("onnx")
    paths = {target: folder / f"{target}.onnx" for target in runs}
    return {target: (path, export_run(runs[target].path, path, kind="onnx")) for target, path in paths.items()}


@pytest.mark.parametrize("target", ["price", "dear", "class"])
def test_onnx_runtime_tells_the_same_from_raw_columns(
    target: str, runs: dict[str, Any], exported: dict[str, tuple[Path, Exported]]
) -> None:
    run, (path, result) = runs[target], exported[target]
    assert result.gap is not None
    assert result.gap < 1e-5
    assert result.rows > 30
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    assert {one.name for one in session.get_inputs()} >= {"size", "kind", "garden", "built (year)"}
    frame = table(7).with_columns(pl.Series("kind", ["flat", "never seen", None, "hut", "house", "flat", "hut"]))
    for some in (frame, frame.head(1)):  # any number of rows
        outputs = dict(
            zip(
                [one.name for one in session.get_outputs()],
                session.run(None, exportable(run.model).inputs_for(run.model.encoder, some)),
                strict=True,
            )
        )
        if target == "price":
            np.testing.assert_allclose(outputs["value"][:, 0], run.predict(some).to_numpy(), rtol=1e-4)
        else:
            assert outputs["class"].tolist() == run.predict(some).to_list()
            np.testing.assert_allclose(outputs["probabilities"], run.predict_proba(some).to_numpy(), atol=1e-5)


UNKNOWN_LEVELS = table(5).with_columns(pl.Series("kind", ["flat", "never seen", None, "hut", "house"]))
ALONE = """
import sys
for name in ("luthier", "numpy", "polars", "safetensors"):
    sys.modules[name] = None
import json
rows, predictions, here = json.loads(sys.argv[1]), {}, list(sys.path)
for target in sys.argv[2:]:
    sys.path[:] = [target, *here]
    import model
    predictions[target] = model.load(f"{target}/model.safetensors").predict(rows)
    del sys.modules["model"]
print(json.dumps(predictions))
"""


@pytest.fixture(scope="module")
def alone(runs: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Any]]:
    """What the exported folders predict in a process that has PyTorch and nothing else."""
    folder = tmp_path_factory.mktemp("torch")
    for target, run in runs.items():
        result = export_run(run.path, folder / target, kind="torch")
        assert result.gap is not None
        assert result.gap < 1e-6
    rows = UNKNOWN_LEVELS.select("size", "kind", "built", "garden").rows(named=True)
    command = [sys.executable, "-W", "ignore", "-c", ALONE, json.dumps(rows), *runs]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, env={"PATH": ""}, timeout=120)
    assert done.returncode == 0, done.stderr
    result: dict[str, list[Any]] = json.loads(done.stdout)
    return result


@pytest.mark.parametrize("target", ["price", "dear", "class"])
def test_a_module_that_knows_pytorch_alone(target: str, runs: dict[str, Any], alone: dict[str, list[Any]]) -> None:
    run, told, frame = runs[target], alone[target], UNKNOWN_LEVELS
    if target == "price":
        np.testing.assert_allclose(told, run.predict(frame).to_numpy(), rtol=1e-5)
    else:
        assert told == run.predict(frame).to_list()


@pytest.mark.parametrize("method", METHODS)
def test_every_way_that_numbers_enter(method: str, runs: dict[str, Any], tmp_path: Path) -> None:
    from luthier.data import Preprocess
    from luthier.nets import DenseSpec, NumberEmbedding, build

    model, frame = runs["class"].model, table(60)
    numbers = model.encode(frame).numbers
    fitted = Preprocess.fit(numbers, method)
    embeddings = tuple((levels, 3) for levels in model.encoder.category_sizes)
    others = ("leaky relu", "tanh", "gelu", "sigmoid", "selu", "mish")
    pair = [others[(METHODS.index(method) + k) % len(others)] for k in (0, 1)]
    specs = [
        DenseSpec(
            inputs=fitted.width,
            hidden=(8, 8),
            outputs=3,
            embeddings=embeddings,
            activation=name,
            batch_norm=name == "tanh",
            layer_norm=name == "gelu",
            residual=True,
            number_embedding=NumberEmbedding(len(model.encoder.number_names), deviation=1.0) if k else None,
            input_scale=bool(k),
        )
        for k, name in enumerate(pair)
    ]
    nets = tuple(build(spec, seed=k).eval() for k, spec in enumerate(specs))
    with torch.no_grad():
        nets[1].scales[0].factor.uniform_(0.5, 2)
    other = replace(model, preprocess=fitted, nets=nets, weights=(0.4, 0.6), temperature=0.7)
    assert export_onnx(other, tmp_path / "m.onnx", frame) < 1e-5
    assert export_torch(other, tmp_path / "out", frame) < 1e-6


def test_the_quantile_is_that_of_pytorch() -> None:
    p = torch.cat(
        [torch.logspace(-12, -1, 500, dtype=torch.float64), torch.linspace(0.1, 0.9, 500, dtype=torch.float64)]
    )
    p = torch.cat([p, 1 - p])
    torch.testing.assert_close(normal_quantile(p), torch.special.ndtri(p), rtol=1e-9, atol=1e-12)


def test_what_tells_otherwise_is_not_handed_over(runs: dict[str, Any], tmp_path: Path, monkeypatch: Any) -> None:
    from luthier.exporting import to_onnx, to_torch

    model = runs["dear"].model
    model = replace(model, nets=model.nets[:1], weights=(1.0,))
    for module, write in ((to_onnx, export_onnx), (to_torch, export_torch)):
        monkeypatch.setattr(module, "_gap", lambda *_: 0.1)
        with pytest.raises(LuthierError, match="differ from the original"):
            write(model, tmp_path / "out", table(5))
        assert not (tmp_path / "out").exists()


def test_what_cannot_be_exported(runs: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="onnx or torch"):
        export_run(runs["dear"].path, tmp_path / "x", kind="tflite")
    with pytest.raises(InputError, match="not a run"):
        export_run(tmp_path, tmp_path / "x", kind="onnx")
    done = command_line("export", runs["dear"].path)
    assert done.returncode == 2
    assert "--onnx" in done.stderr


def test_with_8_bits_the_file_is_smaller_and_the_loss_is_measured(
    runs: dict[str, luthier.Result], exported: dict[str, tuple[Path, Exported]], tmp_path: Path
) -> None:
    for name, run in runs.items():
        small, (whole, _) = tmp_path / f"{name}-8.onnx", exported[name]
        result = export_run(run.path, small, kind="onnx", int8=True).quantised
        assert result is not None
        assert result.before == whole.stat().st_size
        assert result.after == small.stat().st_size
        assert result.change.low is not None
        assert result.change.low <= result.change.value
        frame = table()
        inputs = exportable(run.model).inputs_for(run.model.encoder, frame)
        told = [onnxruntime.InferenceSession(path).run(None, inputs)[0] for path in (small, whole)]
        gap = np.abs(told[0] - told[1]) / (1 if run.model.task.classes else np.abs(told[1]).mean())
        assert 0 < gap.mean() < 0.05, name
        assert str(result).count("bytes are now") == 1
    with pytest.raises(ConfigError, match="8-bit weights"):
        export_run(run.path, tmp_path / "x", kind="torch", int8=True)


def test_columns_may_be_called_as_values_of_the_network_are(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    frame = table().select("size", "kind", "dear")
    first = luthier.fit(frame, target="dear", budget="60steps", run=tmp_path / "first", screen=SilentScreen())
    assert first is not None
    export_run(first.path, tmp_path / "first.onnx", kind="onnx")
    outputs = [name for node in onnx.load(tmp_path / "first.onnx").graph.node for name in node.output]
    own = [name.removeprefix("network/") for name in outputs if name.startswith("network/")]
    assert len(own) > 3
    named = frame.rename({"size": own[0], "kind": own[-1]})
    second = luthier.fit(named, target="dear", budget="60steps", run=tmp_path / "second", screen=SilentScreen())
    assert second is not None
    assert (export_run(second.path, tmp_path / "second.onnx", kind="onnx").gap or 0.0) < 1e-5

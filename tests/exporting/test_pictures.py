"""Models of pictures taken elsewhere tell the same: bytes in, the answer out."""

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
from safetensors.torch import save_file
from torch import nn

from luthier.data import PictureEncoder, Task
from luthier.data.pictures import Pixels
from luthier.data.target_transform import TargetTransform
from luthier.data.typed_columns.columns import Column
from luthier.errors import InputError
from luthier.exporting.quantised import export_int8
from luthier.exporting.to_onnx import export_onnx
from luthier.exporting.to_torch import export_torch
from luthier.nets import BackboneSpec, ConvSpec, build
from luthier.nets.licences import UNSTATED, licences_of
from luthier.saved import Model

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")
pytest.importorskip("PIL.Image")
TASKS = {
    "multiclass": Task("multiclass", "kind", ("cat", "dog", "hen"), label_kind="text"),
    "binary": Task("binary", "kind", ("cat", "dog"), label_kind="text"),
    "regression": Task("regression", "weight"),
}
SHAPE = (3, 18, 20)
SOAK = pytest.mark.soak
NETS: dict[str, dict[str, Any]] = {
    "plain": {},
    "residual": {"residual": True, "convolutions": 3},
    "no norm": {"batch_norm": False, "convolutions": 2},
    "dense": {"units": 12, "dropout": 0.3},
    "changed": {"augment": (("shift", 0.1),), "mean": (0.4, 0.5, 0.6), "std": (0.2, 0.3, 0.1)},
}


@pytest.fixture(scope="module")
def frame(tmp_path_factory: pytest.TempPathFactory) -> pl.DataFrame:
    path = tmp_path_factory.mktemp("pictures") / "pictures.npy"
    np.save(path, np.random.default_rng(0).integers(0, 256, (40, *SHAPE), dtype=np.uint8))
    return pl.DataFrame({"picture": [f"{path}#{k}" for k in range(40)]})


def model_of(kind: str, *nets: nn.Module) -> Model:
    """Networks whose batch norms have seen something, as one model."""
    torch.manual_seed(0)
    for net in nets:
        for _ in range(3):
            net.train()(torch.randint(0, 256, (16, *SHAPE), dtype=torch.uint8))
        last = [layer for layer in net.modules() if isinstance(layer, nn.Linear)][-1]
        nn.init.normal_(last.weight, std=0.3)
        net.eval()
    shares = tuple(float(k + 1) / sum(range(len(nets) + 1)) for k in range(len(nets)))
    return Model(
        TASKS[kind],
        PictureEncoder((Column("picture", "picture", True, "pictures"),), SHAPE),
        Pixels(),
        nets,
        shares,
        temperature=1.3,
        transform=TargetTransform(2.0, 0.5, TASKS[kind].log_scale),
    )  # type: ignore[arg-type]


def conv(kind: str, seed: int = 0, **options: Any) -> nn.Module:
    outputs = 3 if kind == "multiclass" else 1
    return build(ConvSpec(SHAPE, (4, 8), outputs, **options), seed=seed)


@pytest.mark.parametrize(
    ("kind", "options"),
    [  # PyTorch's exporter takes a second or two: every task, and every network, once in `make test`
        pytest.param(kind, options, id=f"{kind}, {name}", marks=() if "multiclass" in kind or "plain" in name else SOAK)
        for kind in TASKS
        for name, options in NETS.items()
    ],
)
def test_every_kind_of_network_tells_the_same(
    kind: str, options: dict[str, Any], frame: pl.DataFrame, tmp_path: Path
) -> None:
    model = model_of(kind, conv(kind, **options), conv(kind, 1, residual=True))
    assert export_onnx(model, tmp_path / "m.onnx", frame) < 1e-5
    assert export_torch(model, tmp_path / "out", frame) < 1e-6
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx", providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    assert (given.name, given.type, given.shape[1:]) == ("pictures", "tensor(uint8)", list(SHAPE))
    for some in (frame.head(1), frame.head(7)):  # any number of pictures
        pixels = model.encode(some)["pixels"]
        names = [one.name for one in session.get_outputs()]
        told = dict(zip(names, session.run(None, {"pictures": pixels.numpy()}), strict=True))
        if kind == "regression":
            np.testing.assert_allclose(told["value"][:, 0], model.predict(some).to_numpy(), rtol=1e-4)
        else:
            assert told["class"].tolist() == model.predict(some).to_list()


def test_the_folder_needs_pytorch_alone(frame: pl.DataFrame, tmp_path: Path) -> None:
    model = replace(model_of("binary", conv("binary", units=5)), threshold=0.4)
    export_torch(model, tmp_path / "out", frame)
    pixels = model.encode(frame)["pixels"]
    save_file({"pictures": pixels}, tmp_path / "pictures.safetensors")
    torch.save(pixels, tmp_path / "out" / "pictures.pt")
    program = (
        "import sys\nfor name in ('luthier', 'polars', 'safetensors'):\n    sys.modules[name] = None\n"
        "import json, torch, model\ntold = model.load('model.safetensors')\n"
        "pictures = torch.load('pictures.pt', weights_only=True)\n"
        "print(json.dumps([told.predict(pictures), told.predict_proba(pictures), told.shape]))"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        capture_output=True,
        text=True,
        cwd=tmp_path / "out",
        env={"PATH": ""},
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    classes, shares, shape = json.loads(done.stdout)
    assert classes == model.predict(frame).to_list()
    assert shape == list(SHAPE)
    wanted = model.predict_proba(frame)["dog"].to_numpy()
    np.testing.assert_allclose([one["dog"] for one in shares], wanted, atol=1e-6)


def test_a_network_that_learnt_elsewhere_goes_to_onnx_alone(frame: pl.DataFrame, tmp_path: Path) -> None:
    model = model_of("multiclass", build(BackboneSpec("resnet18", SHAPE, 3, side=32), seed=0))
    assert export_onnx(model, tmp_path / "m.onnx", frame) < 1e-5
    with pytest.raises(InputError, match="cannot be exported to plain PyTorch"):
        export_torch(model, tmp_path / "out", frame)


def test_8_bits(frame: pl.DataFrame, tmp_path: Path) -> None:
    spec = ConvSpec(SHAPE, (32, 64), 3, convolutions=2, units=64)
    model = model_of("multiclass", build(spec, seed=0))
    y = model.classes_of(model.probabilities(model.encode(frame)))
    result = export_int8(model, tmp_path / "m.onnx", frame, y, "accuracy")
    assert result.after < 0.4 * result.before
    assert result.after == (tmp_path / "m.onnx").stat().st_size
    assert result.change.value > -0.2


def test_licences_come_from_the_package_or_the_file(tmp_path: Path) -> None:
    (package,) = licences_of("captum.attr:IntegratedGradients") if captum_there() else (None,)
    assert package is None or "BSD" in package.name
    save_file({"x": torch.zeros(1)}, tmp_path / "told.safetensors", {"license": "cc-by-4.0"})
    save_file({"x": torch.zeros(1)}, tmp_path / "silent.safetensors")
    assert licences_of("resnet18", str(tmp_path / "told.safetensors"))[0].name == "cc-by-4.0"
    assert licences_of("resnet18", str(tmp_path / "silent.safetensors"))[0].name == UNSTATED
    assert licences_of("my_own_file:net")[0].name == UNSTATED
    assert licences_of("resnet18") == licences_of("") == ()


def test_licences_travel_with_the_model(tmp_path: Path) -> None:
    model = replace(model_of("binary", conv("binary")), licences=licences_of("torch.nn:Linear"))
    model.save(tmp_path / "m.luthier")
    assert Model.load(tmp_path / "m.luthier").licences == model.licences != ()


def captum_there() -> bool:
    from luthier.optional import has

    return has("captum")

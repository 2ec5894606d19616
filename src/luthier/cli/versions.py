"""The versions that matter, for `--version` and `check-install`."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

import luthier


def versions() -> list[str]:
    """Lines with the versions that matter."""
    lines = [
        f"luthier {luthier.__version__}",
        f"Python {platform.python_version()} on {platform.system()} {platform.machine()}",
    ]
    for name in ("torch", "numpy", "polars", "scikit-learn"):
        try:
            lines.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            lines.append(f"{name} is not installed")
    return lines

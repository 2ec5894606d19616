"""What every test shares: shapes checked at run time, and where the real data lies."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from jaxtyping import install_import_hook

# Shape annotations of the numeric rooms become assertions while the tests run.
install_import_hook(["luthier.nets", "luthier.objective", "luthier.optimise"], "beartype.beartype")


@pytest.fixture(scope="session")
def data_folder() -> Path | None:
    """The folder of real data (`LUTHIER_DATA`), or None: tests then use what scikit-learn bundles."""
    named = os.environ.get("LUTHIER_DATA")
    return Path(named) if named and Path(named).is_dir() else None

"""Models on disk: one file, no code in it."""

from __future__ import annotations

from luthier.saved.bundle import Bundle, read_bundle, write_bundle
from luthier.saved.model import Model, activate

__all__ = ["Bundle", "Model", "activate", "read_bundle", "write_bundle"]

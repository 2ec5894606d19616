"""Models on disk: one file, no code in it."""

from __future__ import annotations

from luthier.saved.blend import Blend, activate
from luthier.saved.bundle import Bundle, read_bundle, write_bundle
from luthier.saved.explanation import Explanation
from luthier.saved.model import Model

__all__ = ["Blend", "Bundle", "Explanation", "Model", "activate", "read_bundle", "write_bundle"]

"""The tour of the house names files and things that are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "luthier"
PROSE = re.sub(
    r"^```.*?^```$", "", (ROOT / "docs" / "concepts" / "tour.md").read_text(), flags=re.DOTALL | re.MULTILINE
)
NAMES = sorted({re.split(r"[(\[]", name)[0] for name in re.findall(r"`([^`\n]+)`", PROSE)})
CODE = "\n".join(path.read_text() for path in SOURCE.rglob("*.py"))


@pytest.mark.parametrize("name", [name for name in NAMES if "/" in name or name.endswith((".py", ".yml"))])
def test_files_of_the_tour_exist(name: str) -> None:
    assert any((place / name).exists() for place in (ROOT, SOURCE)), name


@pytest.mark.parametrize("name", [name for name in NAMES if re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", name)])
def test_names_of_the_tour_exist(name: str) -> None:
    """A room, or something that is defined somewhere in the code or in PyTorch."""
    last = name.rpartition(".")[2]
    defined = re.search(rf"(?m)^\s*(?:class|def) {last}\b|^{last}\b.* = |^\s+{last}: ", CODE)
    known = defined or hasattr(torch, last) or hasattr(torch.func, last) or name.endswith((".py", ".yml"))
    assert (SOURCE / name).is_dir() or (ROOT / name).is_dir() or known, name

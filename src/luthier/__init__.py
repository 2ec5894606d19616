"""Luthier: a systematic trainer of neural networks.

The public names stand in `__init__.pyi` and load on first use, so that importing the package costs nothing.
"""

import ast
from importlib import import_module
from pathlib import Path
from typing import Any

from luthier._version import __version__ as __version__
from luthier.renamed import PUBLIC as _RENAMED


def _places() -> dict[str, tuple[str, str]]:
    """The public names of the stub, `from ROOM import NAME as NAME` or `NAME = OTHER`, each with its place."""
    places, public = {}, {}
    for line in ast.parse(Path(__file__).with_suffix(".pyi").read_text(encoding="utf-8")).body:
        if isinstance(line, ast.ImportFrom):
            places |= {alias.name: (line.module or "", alias.name) for alias in line.names}
            public |= {alias.name: places[alias.name] for alias in line.names if alias.asname}
        elif isinstance(line, ast.Assign):
            public[ast.unparse(line.targets[0])] = places[ast.unparse(line.value)]
    return public


_PLACES = _places()
__all__ = sorted(_PLACES)


def __getattr__(name: str) -> Any:
    if name in _RENAMED:
        from luthier.renamed import current_name

        name = current_name(name, _RENAMED[name])
    if name not in _PLACES:
        raise AttributeError(f"module 'luthier' has no attribute '{name}'")
    module, attribute = _PLACES[name]
    return getattr(import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted({*globals(), *_PLACES})

"""Optional libraries: missing ones fail at use, with the name of the extra that brings them."""

from __future__ import annotations

import importlib
import importlib.util
from types import ModuleType

from luthier.errors import MissingExtraError
from luthier.messages import Message


def has(module: str) -> bool:
    """Whether a library is there.

    >>> has("json"), has("no_such_library")
    (True, False)
    """
    return importlib.util.find_spec(module) is not None


def require(module: str, *, extra: str, purpose: str) -> ModuleType:
    """Import `module`, or say which extra brings it.

    >>> require("no_such_library", extra="vision", purpose="reading pictures")
    Traceback (most recent call last):
    ...
    luthier.errors.MissingExtraError: reading pictures needs the library 'no_such_library'
      try: pip install 'luthier[vision]'
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        library = module.partition(".")[0]
        raise MissingExtraError(
            Message("{purpose} needs the library '{library}'", purpose=purpose, library=library),
            remedy=Message("pip install 'luthier[{extra}]'", extra=extra),
        ) from error

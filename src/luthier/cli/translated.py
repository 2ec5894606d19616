"""The command line in another language than English: which one, help texts, and what is said of wrong usage."""

from __future__ import annotations

import os
from collections.abc import Sequence


def asked_language(arguments: Sequence[str]) -> str:
    """The language of `--lang` before the command, else of `LUTHIER_LANG`, else English.

    >>> asked_language(["--lang", "zh", "fit", "digits"]), asked_language(["--lang=zh", "fit"])
    ('zh', 'zh')
    """
    for place, argument in enumerate(arguments):
        if not argument.startswith("-"):
            break
        name, _, value = argument.partition("=")
        if name == "--lang":
            return value or next(iter(arguments[place + 1 : place + 2]), "")
    return os.environ.get("LUTHIER_LANG", "") or "en"

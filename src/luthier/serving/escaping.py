"""What comes from data, written so that no page takes it for markup or script."""

from __future__ import annotations

import json
from typing import Any

# Harmless inside JSON's strings, where alone they occur; outside of JSON, in a page or a script, they begin something.
_ESCAPED = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}


def as_json(value: Any) -> bytes:
    """A value as JSON that is safe inside HTML and scripts, too; half a character (a lone surrogate) stays an escape.

    >>> as_json({"</script>": "\\ud800"})
    b'{"\\\\u003c/script\\\\u003e":"\\\\ud800"}'
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for plain, escaped in _ESCAPED.items():
        text = text.replace(plain, escaped)
    return text.encode("utf-8", "backslashreplace")

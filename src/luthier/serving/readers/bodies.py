"""Bodies of JSON and CSV, read a window at a time: no call takes long, and none holds more than a window of values.

`json.loads` of 16 MB stops the interpreter for a fifth of a second, and of `[[],[],...` makes 400 MB.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from typing import Any

from luthier.records import JsonObject
from luthier.serving.readers.limits import LONGEST_ROW, SMALL
from luthier.serving.readers.requests import SHOWN, RefusedError, shown

WINDOW = 32 << 10  # bytes: about a millisecond's work
LONGEST_WORD = 16  # characters: true, null, -Infinity, an escape: cut by a window, it looks wrong
MOST_COLUMNS = 10_000  # of CSV, beside those that a model wants
_SPACE = re.compile(r"[ \t\n\r]*")
_OPENING = rb'(?:\xef\xbb\xbf)?[ \t\n\r]*\{[ \t\n\r]*"%b"[ \t\n\r]*:[ \t\n\r]*\['
_UTF8 = codecs.getincrementaldecoder("utf-8")


class _RepeatedKeyError(Exception):
    """An object of JSON that has a key twice."""


def _object(pairs: list[tuple[str, Any]]) -> JsonObject:
    """An object by its keys and values. Of a key that comes twice most readers take the last value: here it is refused,
    as the caller may have meant the first."""
    result = dict(pairs)
    if len(result) < len(pairs):
        raise _RepeatedKeyError(next(key for place, (key, _) in enumerate(pairs) if key in dict(pairs[:place])))
    return result


_DECODER = json.JSONDecoder(object_pairs_hook=_object)


def list_begins(body: bytes, name: str, example: str) -> int:
    """Where the list of a body {name: [...]} begins. RefusedError for any other body, with an `example`."""
    result = re.match(_OPENING % name.encode(), body)
    if result:
        return result.end()
    if len(body) <= SMALL:
        try:
            json.loads(body)
        except (ValueError, RecursionError) as error:
            raise RefusedError(400, f"the body is not JSON: {error}") from None
    raise another_body(example)


def another_body(example: str) -> RefusedError:
    """What is said of JSON that is not the list that is wanted."""
    return RefusedError(422, f"the body must be {example}, with at least one")


def json_items(body: bytes, name: str, example: str, longest: int = LONGEST_ROW) -> Iterator[Any]:
    """The values of the list that is all a JSON body holds, each of at most so many characters.

    RefusedError for any other body, and for a value that is too long.
    """
    text = _Text(body, list_begins(body, name, example), longest)
    if text.character() == "]":
        raise another_body(example)
    count = 0
    while True:
        yield text.value(count)
        count += 1
        if text.take(",]") == "]":
            break
    if text.take("},") == ",":
        raise another_body(example)
    if text.character():
        raise RefusedError(400, "the body is not JSON: something follows its end")


class _Text:
    """A body's text from some byte on, decoded a window at a time."""

    def __init__(self, body: bytes, start: int, longest: int) -> None:
        self._body, self._next, self._longest = body, start, longest
        self._decoder = _UTF8()
        self._text, self._at = "", 0

    def _more(self) -> bool:
        """Decode the next window, twice as long where a value did not fit; whether there was one."""
        if self._next >= len(self._body):
            return False
        left = self._text[self._at :]
        end = self._next + max(WINDOW, len(left))
        try:
            decoded = self._decoder.decode(self._body[self._next : end], final=end >= len(self._body))
        except UnicodeDecodeError as error:
            raise RefusedError(400, f"the body is not UTF-8 text: {error.reason}") from None
        self._text, self._at, self._next = left + decoded, 0, end
        return True

    def character(self) -> str:
        """The next character that is not space; none at the end."""
        while True:
            result = _SPACE.match(self._text, self._at)
            assert result is not None
            self._at = result.end()
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                return ""

    def take(self, allowed: str) -> str:
        """The next character, one of those allowed."""
        result = self.character()
        if not result or result not in allowed:
            raise RefusedError(400, f"the body is not JSON: {' or '.join(allowed)} is missing after an item")
        self._at += 1
        return result

    def value(self, count: int) -> Any:
        """The next value, the count-th of its list."""
        self.character()
        while True:
            value, end, fault = self._scanned(count)
            if end < len(self._text) - LONGEST_WORD:  # what ends near the window's end may go on: 1.5 as 1, 1., 1.5
                break
            if len(self._text) - self._at > self._longest:
                raise RefusedError(413, f"item {count} is longer than {self._longest:,} characters")
            if not self._more():
                break
        if fault:
            raise RefusedError(400, f"the body is not JSON: item {count}: {fault}")
        self._at = end
        return value

    def _scanned(self, count: int) -> tuple[Any, int, str]:
        """The value that begins here, where it ends, and what is wrong with it; the end of the window for its end
        where more of it could mend that."""
        try:
            return *_DECODER.raw_decode(self._text, self._at), ""
        except json.JSONDecodeError as error:
            unended = error.msg.startswith("Unterminated")
            return None, len(self._text) if unended else error.pos, error.msg
        except _RepeatedKeyError as error:
            raise _repeated(count, str(error)) from None
        except (ValueError, RecursionError) as error:  # a number of thousands of digits, lists in lists in lists
            raise RefusedError(400, f"the body is not JSON that can be read: item {count}: {error}") from None


def _repeated(row: int, key: str) -> RefusedError:
    wrong = {"row": row, "field": key[:SHOWN], "expected": "each field once", "received": "the same field twice"}
    return RefusedError(422, f"item {row} has the key {shown(key)} twice", [wrong])


def csv_parts(body: bytes, wanted: int, longest: int = LONGEST_ROW) -> Iterator[bytes]:
    """A CSV body in parts of whole records, each under the header. RefusedError for a record that is too long."""
    if len(body) <= SMALL:
        yield body
        return
    start = _first_end(body, longest)
    header = body[:start]
    if header.count(b",") > MOST_COLUMNS + wanted:
        raise RefusedError(413, f"a header has at most {MOST_COLUMNS + wanted:,} columns")
    window = max(SMALL, 4 * len(header))  # of the first part, by which it is seen how all of it is written
    while start < len(body):
        end = _last_end(body, start, window, longest)
        window = max(WINDOW, window)
        yield header + body[start:end]
        start = end


def _first_end(body: bytes, longest: int) -> int:
    """Where the first record ends: behind a line's end with an even number of quotes before it."""
    at, quotes = -1, 0
    while (line := body.find(b"\n", at + 1, longest)) >= 0:
        quotes += body.count(b'"', at + 1, line)
        if quotes % 2 == 0:
            return line + 1
        at = line
    raise RefusedError(413, f"the header is longer than {longest:,} bytes")


def _last_end(body: bytes, start: int, window: int, longest: int) -> int:
    """Where the last record ends that fits into a window; a window that none fits into is made twice as long."""
    end = start + window
    while end < len(body):
        line = body.rfind(b"\n", start, end)
        quotes = body.count(b'"', start, max(start, line))
        while line >= 0 and quotes % 2:
            before = body.rfind(b"\n", start, line)
            quotes -= body.count(b'"', max(start, before), line)
            line = before
        if line >= 0:
            return line + 1
        if end - start > longest:
            raise RefusedError(413, f"a record is longer than {longest:,} bytes")
        end += end - start
    return len(body)

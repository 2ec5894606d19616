"""A text file as UTF-8, piece by piece, whatever it is packed with and encoded in."""

from __future__ import annotations

import codecs
import gzip
import io
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from luthier.errors import InputError, in_a_line
from luthier.messages import Message

PIECE = 1 << 20  # bytes that are held while a file is looked through
GZIP = b"\x1f\x8b"
MARKS = {  # byte-order marks; the longer ones first, since UTF-32's begins as UTF-16's does
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
OTHER_KINDS = {
    b"PK\x03\x04": ("an Excel workbook or a zip archive", "save the sheet as CSV, or unpack the archive"),
    b"\xd0\xcf\x11\xe0": ("an Excel workbook", "save the sheet as CSV"),
    b"BZh": ("packed with bzip2", "unpack it: bunzip2 FILE"),
    b"\xfd7zXZ": ("packed with xz", "unpack it: unxz FILE"),
    b"\x28\xb5\x2f\xfd": ("packed with Zstandard", "unpack it: unzstd FILE"),
}
OTHER_TEXTS = {  # by how they begin
    rb"\s*(?:\[\s*)?\{\s*\"[^\"]*\"\s*:": ("JSON", "convert it: pandas.read_json(FILE, lines=...).to_csv(...)"),
    rb"\s*<(?:!doctype|html|\?xml|table)\b": ("a web page or XML", "save the table in it as CSV"),
}
WINDOWS_LACKS = b"\x81\x8d\x8f\x90\x9d"  # what Windows-1252, else a superset of Latin-1's text, does not have
IN_WORDS = {
    **dict.fromkeys(("utf-16", "utf-16-le", "utf-16-be"), "UTF-16"),
    "utf-32": "UTF-32",
    "cp1252": "Latin-1 (Windows-1252)",
    "latin-1": "Latin-1",
}


@dataclass(frozen=True)
class TextBytes:
    """A text file, or its content, that was looked through once.

    `encoding` is Python's name, `size` the number of bytes unpacked, `odd_line` the first line that is not UTF-8 (0:
    all are).
    """

    source: Path | bytes
    name: str
    encoding: str
    gzipped: bool
    size: int
    odd_line: int = 0

    def pieces(self, size: int = PIECE) -> Iterator[bytes]:
        """Its text in UTF-8, without a byte-order mark. InputError with the line of what cannot be decoded."""
        raw = _unpacked(self.source, self.name, size)
        if self.encoding == "utf-8":
            first = next(raw, b"")
            yield from chain([first.removeprefix(codecs.BOM_UTF8)], raw)
            return
        decoder, line = codecs.getincrementaldecoder(self.encoding)(), 1
        for piece in chain(raw, [b""]):
            try:
                text = decoder.decode(piece, final=not piece)
            except UnicodeDecodeError as error:
                line += error.object[: error.start].count(b"\n")
                raise InputError(
                    Message(
                        "line {line:,} of '{name}' is not {in_words}",
                        line=line,
                        name=self.name,
                        in_words=IN_WORDS[self.encoding],
                    ),
                    expected="one encoding from start to end",
                    received=in_a_line(error),
                ) from None
            line += text.count("\n")
            yield text.encode()

    @property
    def in_words(self) -> tuple[str, ...]:
        """What is worth saying about how it is kept."""
        packed = ("gzip",) if self.gzipped else ()
        if self.encoding == "utf-8":
            return packed
        why = Message(", since line {odd_line:,} is not UTF-8", odd_line=self.odd_line) if self.odd_line else ""
        return (*packed, IN_WORDS[self.encoding] + why)


def look_through(source: Path | bytes, name: str) -> TextBytes:
    """How a text file is kept, by its first bytes and one pass over all of them. InputError for what is not text.

    >>> look_through("größe;ort".encode("latin-1"), "x.csv").encoding
    'cp1252'
    """
    head = next(_raw(source, 8), b"")
    for start, (what, remedy) in OTHER_KINDS.items():
        if head.startswith(start):
            raise InputError(
                Message("'{name}' is {what}", name=name, what=Message(what)),
                expected="CSV, also as .csv.gz, or Parquet",
                remedy=remedy,
            )
    gzipped = head.startswith(GZIP)
    pieces = _unpacked(source, name, PIECE)
    first = next(pieces, b"")
    for start, (what, remedy) in OTHER_TEXTS.items():
        if re.match(start, first.removeprefix(codecs.BOM_UTF8), re.IGNORECASE):
            raise InputError(
                Message("'{name}' is {what}", name=name, what=Message(what)),
                expected="CSV, also as .csv.gz, or Parquet",
                remedy=remedy,
            )
    marked = next((encoding for mark, encoding in MARKS.items() if first.startswith(mark)), "")
    if not marked and b"\x00" in first:
        marked = _unmarked_utf16(first, name)
    if marked:
        return TextBytes(source, name, marked, gzipped, len(first) + sum(map(len, pieces)))
    size, odd_line = _first_odd_line(chain([first], pieces))
    if not odd_line:
        return TextBytes(source, name, "utf-8", gzipped, size)
    if sum(byte < 32 and byte not in b"\t\r\n\f" for byte in first[:4096]) > len(first[:4096]) // 100:
        raise _binary(name)
    encoding = _one_byte_encoding(_unpacked(source, name, PIECE), name, odd_line)
    return TextBytes(source, name, encoding, gzipped, size, odd_line)


def text_size(path: Path) -> int:
    """How many bytes a file has, unpacked."""
    with path.open("rb") as file:
        packed = file.read(2) == GZIP
    return sum(map(len, _unpacked(path, path.name, PIECE))) if packed else path.stat().st_size


def _first_odd_line(pieces: Iterator[bytes]) -> tuple[int, int]:
    """How many bytes there are, and the first line that is not UTF-8; 0: all lines are."""
    size, line, odd = 0, 1, 0
    decoder = codecs.getincrementaldecoder("utf-8")()
    for piece in chain(pieces, [b""]):
        size += len(piece)
        if odd:
            continue
        try:
            decoder.decode(piece, final=not piece)
        except UnicodeDecodeError as error:
            odd = line + error.object[: error.start].count(b"\n")
        line += piece.count(b"\n")
    return size, odd


def _one_byte_encoding(pieces: Iterator[bytes], name: str, odd_line: int) -> str:
    """Windows-1252 or Latin-1; InputError for UTF-8 with some other bytes in it, which either would garble."""
    decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
    odd = good = 0
    windows = True
    for piece in pieces:
        windows = windows and not any(byte in piece for byte in WINDOWS_LACKS)
        text = decoder.decode(piece)
        odd += len(re.findall("[\udc80-\udcff]", text))
        good += len(re.findall("[^\x00-\x7f\udc80-\udcff]", text))
    if good > odd:
        raise InputError(
            Message("line {odd_line:,} of '{name}' is not UTF-8", odd_line=odd_line, name=name),
            expected=Message("UTF-8 from start to end, as {good:,} other characters are", good=good),
            received=Message("{odd:,} bytes of another encoding", odd=odd),
            remedy="correct them, or leave them out: iconv -c -f utf-8 -t utf-8 FILE > CLEAN.csv",
        )
    return "cp1252" if windows else "latin-1"


def _unmarked_utf16(head: bytes, name: str) -> str:
    """UTF-16 without its mark has a zero in every second byte of plain text, and none in the others."""
    even, odd = head[0::2].count(0), head[1::2].count(0)
    if min(even, odd) or max(even, odd) < len(head) // 4:
        raise _binary(name)
    return "utf-16-le" if odd else "utf-16-be"


def _binary(name: str) -> InputError:
    return InputError(
        Message("'{name}' is not a text file", name=name), expected="CSV or Parquet", received="binary data"
    )


def _raw(source: Path | bytes, size: int) -> Iterator[bytes]:
    with io.BytesIO(source) if isinstance(source, bytes) else source.open("rb") as file:
        yield from iter(lambda: file.read(size), b"")


def _unpacked(source: Path | bytes, name: str, size: int) -> Iterator[bytes]:
    """The bytes of a file, of one that is packed with gzip its content's."""
    with io.BytesIO(source) if isinstance(source, bytes) else source.open("rb") as file:
        packed = file.read(2) == GZIP
        file.seek(0)
        with gzip.GzipFile(fileobj=file) if packed else file as content:
            try:
                yield from iter(lambda: content.read(size), b"")
            except (EOFError, gzip.BadGzipFile, zlib.error) as error:
                raise InputError(
                    Message("'{name}' is not a whole gzip file", name=name),
                    received=in_a_line(error),
                    remedy="it may have been cut short; copy or fetch it again",
                ) from error

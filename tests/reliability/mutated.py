"""Inputs that are damaged at random, for every reader of bytes: errors of ours alone, soon, in memory like the file's.

    python tests/reliability/mutated.py --count 100000 --seed 1 --seconds 600

Beside bytes that are changed, cut out, doubled and put in, JSON and tensors are changed as a forger would. Ends with an
error where a reader let out another error, took longer than PATIENCE, or more memory than 3 times the file and 200 MB.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import re
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.reliability.forged import changed, changed_tensors, followed, text_of
from tests.reliability.readers import OURS, readers

PATIENCE = 10.0  # seconds of the processor, however busy the machine is
TIMES, BESIDE = 3, 200 << 20  # bytes of memory that an input may take: so many times its own, and so many
PIECES = (
    *(
        b"\x00",
        b"\xff\xff\xff\xff",
        b"\x7f\xff\xff\xff",
        b'"',
        b",,,,",
        b"\n",
        b"\r\n",
        b"\xef\xbb\xbf",
        b"\xed\xa0\x80",
    ),
    *(b"nan", b"1e999", b"-inf", b"9" * 400, b"{}", b"[]", b"null", b"../../x", b"=", b"[[x]]", b"PK\x03\x04", b"=1+1"),
    *(
        b"[" * 5000,
        b'{"a":' * 5000,
        b'"' + b"x" * 20_000,
        b"\xe2\x80\xa8",
        b"\x1b]0;x\x07",
        b"a," * 20_000,
        b"\n" * 20_000,
    ),
)


@dataclass
class Found:
    """What many inputs came to."""

    count: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    foreign: dict[str, str] = field(default_factory=dict)  # one of each place, with how to make it again
    slow: list[str] = field(default_factory=list)
    large: list[str] = field(default_factory=list)
    slowest: float = 0.0
    most: int = 0  # bytes of memory that an input took

    @property
    def clean(self) -> bool:
        """Whether all went as it should."""
        return not (self.foreign or self.slow or self.large)


def mutated(content: bytes, draw: random.Random) -> bytes:
    """An input with a few pieces of bytes changed, cut out, doubled or put in."""
    if content[:2] == b"\x1f\x8b" and draw.random() < 0.7:
        return gzip.compress(mutated(gzip.decompress(content), draw), mtime=0)
    result = bytearray(content)
    for _ in range(draw.choice((1, 1, 2, 4, 8))):
        at, length = draw.randrange(len(result) + 1), draw.choice((1, 2, 4, 8, 64))
        match draw.randrange(6):
            case 0:
                del result[at : at + length]
            case 1 if result:
                result[min(at, len(result) - 1)] = draw.randrange(256)
            case 2:
                result[at:at] = bytes(result[at : at + length]) * draw.choice((1, 2, 50))
            case 3:
                result[at:at] = draw.choice(PIECES)
            case 4:
                result[at : at + length] = draw.randbytes(length)
            case _:
                del result[draw.choice((at, len(result) // 2)) :]
    return bytes(result)


def _of_json(content: bytes, draw: random.Random) -> bytes:
    return text_of(changed(json.loads(content), draw), draw)


def _of_lines(content: bytes, draw: random.Random) -> bytes:
    return b"".join(_of_json(line, draw) + b"\n" for line in content.splitlines())


FORGERS: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "safetensors": changed_tensors,
    "ledger": _of_lines,
    "run": _of_json,
    "json body": _of_json,
}


def mutate(count: int, seed: int, folder: Path, *, start: int = 0, seconds: float = float("inf")) -> Found:
    """Inputs from `start` to `count`, of every reader in turns, as many as `seconds` allow."""
    found, known = Found(), readers(folder)
    names = list(known)
    warnings.simplefilter("ignore")
    for reader in known.values():  # what a library takes the first time is not an input's
        for content in reader.seeds:
            try:
                reader.read(content)
            except OURS:
                continue
    for number in followed(range(start, count), seconds, lambda: f"slowest {found.slowest:.2f} s"):
        found.count += 1
        draw, name = random.Random(f"{seed}/{number}"), names[number % len(names)]
        content, forge = draw.choice(known[name].seeds), FORGERS.get(name)
        content = forge(content, draw) if forge and draw.random() < 0.5 else mutated(content, draw)
        what, before, began = f"{name}: seed {seed}, number {number}", _reset_peak(), time.process_time()
        try:
            known[name].read(content)
            found.ends[f"{name}: read"] += 1
        except OURS:
            found.ends[f"{name}: refused"] += 1
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a panic of Rust is no Exception
            frames = traceback.extract_tb(error.__traceback__)
            ours = next((one for one in reversed(frames) if "/luthier/" in one.filename), frames[-1])
            key = f"{Path(ours.filename).name}:{ours.lineno} {type(error).__name__}"
            found.foreign.setdefault(key, f"{what}: {str(error)[:200]}")
        used, taken = time.process_time() - began, _status("VmHWM") - before
        found.slowest, found.most = max(found.slowest, used), max(found.most, taken)
        if used > PATIENCE:
            found.slow.append(f"SLOW {what}: {used:.1f} s")
        if taken > TIMES * len(content) + BESIDE:
            found.large.append(f"LARGE {what}: {taken >> 20} MB for {len(content):,} bytes")
    return found


def _reset_peak() -> int:
    """Let the system forget this process's peak of memory; returns the bytes that it has now."""
    Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def _status(name: str) -> int:
    result = re.search(rf"{name}:\s+(\d+)", Path("/proc/self/status").read_text())
    return int(result[1]) << 10 if result else 0


def main() -> int:
    """Mutate, and say what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--start", type=int, default=0, help="the number of the first input")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="after which no other is begun")
    asked = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="luthier-mutated-") as place:
        found = mutate(asked.count, asked.seed, Path(place), start=asked.start, seconds=asked.seconds)
    print(f"{found.count:,} inputs in {time.monotonic() - began:.0f} s: {dict(sorted(found.ends.items()))}")
    print(f"slowest {found.slowest:.2f} s, most memory {found.most >> 20} MB")
    print(*(f"FOREIGN {key}: {how}" for key, how in found.foreign.items()), *found.slow, *found.large, sep="\n")
    return not found.clean


if __name__ == "__main__":
    sys.exit(main())

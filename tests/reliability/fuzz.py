"""Atheris against readers: bytes that are steered by which of our lines they reach.

    python tests/reliability/fuzz.py csv --runs 100000

Ends with an error, and the bytes in FOLDER, where a reader lets out anything but an error of ours.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import warnings
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).parents[2]))
with atheris.instrument_imports(include=["luthier"]):
    from tests.reliability.readers import OURS, readers


def main() -> None:
    """Fuzz the readers that are named, one after another, each in a process that ends with its fuzzing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="+")
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--folder", type=Path, default=None, help="what was found, and files of the readers")
    asked = parser.parse_args()
    folder = asked.folder or Path(tempfile.mkdtemp(prefix="luthier-fuzz-"))
    warnings.simplefilter("ignore")
    for name in asked.names:
        number = os.fork()
        if not number:
            fuzz(name, asked.runs, folder / name)
        code = os.waitstatus_to_exitcode(os.waitpid(number, 0)[1])
        if code:
            sys.exit(f"{name}: exit {code}")


def fuzz(name: str, runs: int, folder: Path) -> None:
    """Fuzz one reader; this ends the process."""
    reader = readers(folder)[name]
    corpus = folder / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    for place, seed in enumerate(reader.seeds):
        (corpus / str(place)).write_bytes(seed)

    def once(content: bytes) -> None:
        try:
            reader.read(content)
        except OURS:
            return

    limits = ["-max_len=4096", "-rss_limit_mb=8192", "-timeout=60", f"-runs={runs}"]
    atheris.Setup([sys.argv[0], *limits, f"-artifact_prefix={folder}/", str(corpus)], once)
    atheris.Fuzz()


if __name__ == "__main__":
    main()

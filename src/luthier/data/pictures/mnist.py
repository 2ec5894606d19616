"""MNIST's four files: fetched from public mirrors, or checked where they lie, by the checksums of their contents."""

from __future__ import annotations

import gzip
import hashlib
import urllib.error
import urllib.request
from pathlib import Path

from luthier import storage
from luthier.errors import InputError, LuthierError
from luthier.messages import Message

# SHA-256 of each file unpacked: how a mirror packed it does not matter.
CONTENTS = {
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
}
MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
SECONDS = 20.0


def check_mnist(folder: Path) -> list[str]:
    """The files of MNIST in a folder, each of them whole. InputError that names every one missing or altered."""
    if not folder.is_dir():
        raise InputError(
            Message("there is no folder '{folder}'", folder=folder), expected="MNIST's four IDX files, plain or gzip"
        )
    problems, result = [], []
    for name, wanted in CONTENTS.items():
        path = next((folder / one for one in (f"{name}.gz", name) if (folder / one).exists()), None)
        if path is None:
            problems.append(f"{name} is missing")
        elif _checksum(path) != wanted:
            problems.append(f"{path.name} has unexpected contents")
        else:
            result.append(path.name)
    if problems:
        raise InputError(
            Message("'{folder}' does not hold MNIST", folder=folder),
            expected=", ".join(CONTENTS),
            received="; ".join(problems),
            remedy=Message("luthier data mnist --to {folder}", folder=folder),
        )
    return result


def fetch_mnist(folder: Path, mirrors: tuple[str, ...] = MIRRORS) -> list[str]:
    """Download what is missing into a folder, each file checked before it gets its name."""
    with storage.explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, wanted in CONTENTS.items():
        path = folder / f"{name}.gz"
        if path.exists() and _checksum(path) == wanted:
            continue
        storage.write_bytes(path, _download(f"{name}.gz", wanted, mirrors))
        written.append(path.name)
    return written


def _download(name: str, wanted: str, mirrors: tuple[str, ...]) -> bytes:
    message = []
    for mirror in mirrors:
        try:
            with urllib.request.urlopen(mirror + name, timeout=SECONDS) as answer:
                content: bytes = answer.read()
            if hashlib.sha256(gzip.decompress(content)).hexdigest() == wanted:
                return content
            message.append(f"{mirror}: unexpected contents")
        except (urllib.error.URLError, TimeoutError, OSError, EOFError) as error:
            message.append(f"{mirror}: {getattr(error, 'reason', error)}")
    raise LuthierError(
        Message("'{name}' could not be fetched", name=name),
        expected="the known file from one of the mirrors",
        received="; ".join(message),
        remedy="check the network; or copy the four files and check them with luthier data mnist --from DIR",
    )


def _checksum(path: Path) -> str:
    content = path.read_bytes()
    try:
        return hashlib.sha256(gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content).hexdigest()
    except (OSError, EOFError):
        return "damaged"

"""`model.luthier`: a model as one zip of JSON and safetensors. Reading it runs no code.

`manifest.json` names the format version and the SHA-256 of every other entry; nothing else may be
in the zip, sizes are bounded before anything is unpacked, and checksums are compared before
anything is used. They guard against accidents, not against who writes a file on purpose: what a file describes is
compared with its schema, and its parts with each other, before anything is made of it.
"""

from __future__ import annotations

import io
import os
import struct
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

import luthier
from luthier import storage
from luthier.errors import InputError, in_a_line
from luthier.messages import Message
from luthier.saved.model_schemas import EncoderFacts, ManifestFacts, ModelFacts, NoProfile, ProfileFacts
from luthier.saved.upgrades import embeddings_first, with_parsers
from luthier.schema_types import Plain
from luthier.untrusted import LARGEST_JSON, open_plain, parse_json, validated

FORMAT = 3  # what changed is said in `upgrades`
READABLE = (1, 2, 3)
ENTRIES = ("model.json", "encoder.json", "profile.json", "metrics.json", "weights.safetensors")
LARGEST = {"weights.safetensors": 8 << 30, "manifest.json": 1 << 20}
_OF_READING = (RuntimeError, NotImplementedError, OverflowError, ValueError)  # that a damaged archive leads to
SCHEMAS: dict[str, Any] = {
    "model": ModelFacts,
    "encoder": EncoderFacts,
    "profile": ProfileFacts | NoProfile,
    "metrics": dict[str, Plain],
}


@dataclass(frozen=True)
class Bundle:
    """The contents of a model file: plain JSON values, and weights by name."""

    model: dict[str, Any]
    encoder: dict[str, Any]
    profile: dict[str, Any]
    metrics: dict[str, Any]
    weights: dict[str, Tensor]


def write_bundle(path: Path, bundle: Bundle) -> None:
    """Write a bundle whole, or leave what was there."""
    entries = {
        f"{name}.json": storage.json_text(getattr(bundle, name)).encode()
        for name in ("model", "encoder", "profile", "metrics")
    }
    entries["weights.safetensors"] = save_tensors({k: v.contiguous() for k, v in bundle.weights.items()})
    _write(path, entries)


def write_metrics(path: Path, metrics: Mapping[str, object]) -> None:
    """Write other metrics into a bundle that was written just now; all else in it stays, byte by byte."""
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in ENTRIES}
    _write(path, {**entries, "metrics.json": storage.json_text(metrics).encode()})


def _write(path: Path, entries: Mapping[str, bytes]) -> None:
    manifest = {
        "format": FORMAT,
        "luthier": luthier.__version__,
        "checksums": {name: storage.sha256(content) for name, content in entries.items()},
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, content in {"manifest.json": storage.json_text(manifest).encode(), **entries}.items():
            archive.writestr(zipfile.ZipInfo(name), content)  # a fixed date: the same model, the same bytes
    storage.write_bytes(path, buffer.getvalue())


def read_bundle(path: Path) -> Bundle:
    """Read and verify a bundle. InputError for anything that is not exactly what was saved."""
    try:
        with open_plain(path) as file, zipfile.ZipFile(file) as archive:
            contents, version = _contents(archive, path, os.fstat(file.fileno()).st_size)
    except FileNotFoundError:
        raise InputError(
            Message("there is no model at '{path}'", path=path),
            expected="a model.luthier file, or a finished run's folder",
            remedy="finish the run with `luthier resume`",
        ) from None
    except (zipfile.BadZipFile, zipfile.LargeZipFile, struct.error, EOFError, OSError, *_OF_READING) as error:
        raise InputError(
            Message("'{path}' is not a complete model file", path=path),
            received=in_a_line(error),
            remedy="copy it again from the original",
        ) from None
    values = {name: parse_json(contents.pop(f"{name}.json"), f"'{path}', {name}.json,") for name in SCHEMAS}
    try:
        weights = load_tensors(contents["weights.safetensors"])
    except (SafetensorError, KeyError, RuntimeError, TypeError, ValueError) as error:  # of types that torch has not
        raise InputError(Message("'{path}' has no readable weights", path=path), received=in_a_line(error)) from None
    try:
        bundle = _upgraded(Bundle(**values, weights=weights), version)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, RuntimeError) as error:
        raise InputError(Message("'{path}' does not describe a model", path=path), received=in_a_line(error)) from None
    checked = {
        name: validated(schema, getattr(bundle, name), f"'{path}', {name}.json,") for name, schema in SCHEMAS.items()
    }
    return replace(bundle, **checked)


def _upgraded(bundle: Bundle, version: int) -> Bundle:
    """The bundle as the newest format has it."""
    if version < 2:
        bundle = replace(bundle, weights=embeddings_first(bundle.model["specs"], bundle.weights))
    if version < 3 and bundle.encoder.get("kind") != "pictures":
        bundle = replace(bundle, encoder=with_parsers(bundle.encoder))
    return bundle


def _contents(archive: zipfile.ZipFile, path: Path, size: int) -> tuple[dict[str, bytes], int]:
    names = [info.filename for info in archive.infolist()]
    if sorted(names) != sorted(("manifest.json", *ENTRIES)):
        raise InputError(
            Message("'{path}' is not a model of Luthier", path=path),
            expected=Message("the entries manifest.json, {names}", names=", ".join(ENTRIES)),
            received=", ".join(name[:40] for name in names[:10]) or "an empty archive",
        )
    for info in archive.infolist():
        if info.compress_type != zipfile.ZIP_STORED or info.file_size > LARGEST.get(info.filename, LARGEST_JSON):
            raise InputError(
                Message("'{path}' has an entry that is compressed or too large", path=path), received=info.filename
            )
    if sum(info.file_size for info in archive.infolist()) > size:
        raise InputError(Message("'{path}' has entries that share their bytes", path=path))
    where = Message("'{path}', manifest.json,", path=path)
    manifest = validated(ManifestFacts, parse_json(archive.read("manifest.json"), where), where)
    if manifest["format"] not in READABLE:
        raise InputError(
            Message("'{path}' has a format that this version of Luthier cannot read", path=path),
            expected=Message("format {names}", names=" or ".join(map(str, READABLE))),
            received=Message("format {format}", format=manifest["format"]),
            remedy="pip install --upgrade luthier",
        )
    contents = {name: archive.read(name) for name in ENTRIES}
    for name, content in contents.items():
        if manifest["checksums"].get(name) != storage.sha256(content):
            raise InputError(
                Message("'{path}' was changed after it was saved: {name}", path=path, name=name),
                expected="the checksum in its manifest",
                received="another one",
                remedy="copy it again from the original",
            )
    return contents, manifest["format"]

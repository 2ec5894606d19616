"""Under which licences a backbone and its weights came, as far as their package or file says."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from luthier.bert import MINILM
from luthier.nets.backbone import AUTO
from luthier.nets.efficientnet import LITE, PACKAGE

UNSTATED = "not stated"
KEYS = ("license", "licence", "license_name")  # in a safetensors file's own description
TROVE = "License :: OSI Approved :: "


@dataclass(frozen=True)
class Licence:
    """What it is for, its name, and where that stands written."""

    of: str
    name: str
    written: str


def licences_of(backbone: str, weights: str = "") -> tuple[Licence, ...]:
    """The licences of a `module:callable` (none is needed for an architecture of ours), of MiniLM, of the weights of a
    sentence transformer's folder and of a file of weights.

    >>> licences_of("resnet18")
    ()
    >>> licences_of("torch.nn:Linear")[0].of
    'torch.nn:Linear'
    """
    result = [Licence(backbone, *_of_package(backbone.partition(":")[0]))] if ":" in backbone else []
    if backbone in (AUTO, LITE) and not weights:
        result = [Licence(f"{LITE}, ImageNet weights", "Apache-2.0", f"the file LICENSE of the package {PACKAGE}")]
    if backbone == MINILM:
        result = [Licence(MINILM, "Apache-2.0", "the model card of sentence-transformers/all-MiniLM-L6-v2")]
    elif backbone and Path(backbone).is_dir():
        result = [Licence(Path(backbone).name, *_of_file(Path(backbone) / "model.safetensors"))]
    return (*result, *([Licence(Path(weights).name, *_of_file(Path(weights)))] if weights else []))


def _of_package(module: str) -> tuple[str, str]:
    names = metadata.packages_distributions().get(module.partition(".")[0], [])
    if not names:
        return UNSTATED, "no installed package has this module"
    facts = metadata.metadata(names[0])

    def lines(field: str) -> list[str]:
        return [line for text in facts.get_all(field) or [] for line in str(text).strip().splitlines()[:1]]

    trove = [line.removeprefix(TROVE) for line in lines("Classifier") if line.startswith(TROVE)]
    message = "".join(lines("License-Expression")) or "; ".join(trove) or "".join(lines("License"))
    written = f"the package {facts['Name']} {facts['Version']}"
    return (UNSTATED if message in ("", "UNKNOWN") else message), written


def _of_file(path: Path) -> tuple[str, str]:
    if path.suffix != ".safetensors":
        return UNSTATED, "the file has no metadata"
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            facts = file.metadata() or {}
    except (SafetensorError, OSError):
        return UNSTATED, "the file cannot be read"
    return next((facts[key] for key in KEYS if facts.get(key)), UNSTATED), "the file's own description"

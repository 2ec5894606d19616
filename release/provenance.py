"""Where the files of a release come from, as an in-toto statement with SLSA's predicate: `make release` writes it.

    python release/provenance.py dist > dist/provenance.json

The statement names each file with its checksum, the commit it was built from and the lock file that users install; it
is not signed here: who publishes signs it (`cosign attest-blob`, or the publisher's own attestation).
"""

from __future__ import annotations

import hashlib
import json
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
NAMES = ("*.whl", "*.tar.gz", "*.cdx.json")


def statement(folder: Path) -> dict[str, Any]:
    """The statement about the files of a folder; the same files, commit and machine give the same one."""
    files = sorted(path for name in NAMES for path in folder.glob(name))
    commit, source = _git("rev-parse", "HEAD"), _git("remote", "get-url", "origin") or "unpublished"
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": path.name, "digest": {"sha256": _checksum(path)}} for path in files],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": "https://packaging.python.org/en/latest/specifications/pyproject-toml/",
                "externalParameters": {"source": source, "command": "make release"},
                "internalParameters": {"python": platform.python_version(), "system": platform.platform()},
                "resolvedDependencies": [
                    {"uri": f"git+{source}", "digest": {"gitCommit": commit}},
                    {"uri": "requirements.lock", "digest": {"sha256": _checksum(ROOT / "requirements.lock")}},
                ],
            },
            "runDetails": {"builder": {"id": f"make release on {platform.node()}"}},
        },
    }


def _checksum(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _git(*words: str) -> str:
    return subprocess.run(["git", *words], capture_output=True, text=True, cwd=ROOT).stdout.strip()


if __name__ == "__main__":
    print(json.dumps(statement(Path(sys.argv[1])), indent=1))

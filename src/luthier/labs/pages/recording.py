"""A run as data for the page that walks through it: decisions with their gains, range tests, scores.

`python -m luthier.labs.pages.recording RUN` writes `play/wine_run.js`; `RUN` is that of
`luthier fit wine --budget 3000steps --seed 0 --run RUN`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from luthier import storage
from luthier.recipe import Record, read_ledger, wording_of

_FILE = Path(__file__).parent / "play" / "wine_run.js"


def recorded(run: Path) -> dict[str, object]:
    """What the page shows of a run folder."""
    ledger = read_ledger(run / "ledger.jsonl")
    scores = json.loads((run / "scores.json").read_text(encoding="utf-8"))
    about = json.loads((run / "run.json").read_text(encoding="utf-8"))
    decisions = [_decision(one) for one in ledger if one["kind"] == "decision" and one["step"] > 0]
    lines = [{"name": one["name"], "test": one["test"]["value"]} for one in scores["baselines"]]
    tests = [
        {"name": one["rule"], "rates": _short(one["rates"]), "losses": _short(one["losses"])}
        for one in scores["range_tests"]
    ]
    return {
        "rows": about["source"]["rows"],
        "columns": about["source"]["columns"],
        "classes": len(about["task"]["classes"]),
        "decisions": decisions,
        "tests": tests,
        "accuracy": {"value": scores["headline"]["value"], "n": scores["headline"]["n"]},
        "baselines": lines,
    }


def _decision(record: Record) -> dict[str, object]:
    """Step, topic and choice, and options as [name, gain, half width] where gains were measured."""
    variants = record["evidence"].get("variants", ())
    gains = [[one["label"], one["gain"]["gain"], one["gain"]["half_width"]] for one in variants if one["gain"]]
    words = wording_of(record)
    return {"step": record["step"], "topic": words.topic, "chosen": words.chosen, "gains": gains}


def _short(values: list[float | None]) -> list[float | None]:
    """Six digits of each, which is more than a figure shows."""
    return [None if value is None else float(f"{value:.6g}") for value in values]


def main() -> None:
    """Write the module from the run that is named."""
    text = storage.json_text(recorded(Path(sys.argv[1])))
    head = "// A real run, recorded by luthier.labs.pages.recording: luthier fit wine --budget 3000steps --seed 0."
    storage.write_text(_FILE, f"{head}\n\nexport const WINE_RUN = {text};\n")


if __name__ == "__main__":
    main()

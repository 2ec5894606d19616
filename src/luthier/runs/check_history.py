"""What the checks of a run found, one after another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from luthier import storage
from luthier.messages import tr
from luthier.records import Measure
from luthier.saved import RunFolder
from luthier.saved.score_schemas import CheckFacts

MOST = 2000  # checks that are kept: five years of days


def remember(folder: RunFolder, earlier: Sequence[CheckFacts], result: Mapping[str, Any]) -> None:
    """Add a check to the run's list, which is written whole: a kill leaves the old one."""
    distances = [row["value"] / row["threshold"] for row in result["columns"]]
    record = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        **{name: result[name] for name in ("source", "rows", "until", "level", "score")},
        "drifted": list(dict.fromkeys(row["column"] for row in result["columns"] if row["drifted"])),
        "farthest": max(distances, default=0.0),
    }
    lines = [storage.json_text(one) + "\n" for one in [*earlier, record][-MOST:]]
    storage.write_text(folder.checks, "".join(lines))


def since_earlier(earlier: Sequence[CheckFacts]) -> list[str]:
    """How the last check ended, for the end of the next."""
    if not earlier:
        return []
    last = earlier[-1]
    rows, when, level = last["rows"], last["at"][:10], tr(last["level"])
    words = tr("the last check, of {rows} rows on {when}: {level}", rows=rows, when=when, level=level)
    return [f"  {words}" if last["score"] is None else f"  {words}, {Measure.from_json(last['score'])}"]


def nothing_new(source: str, since: str) -> dict[str, Any]:
    """The outcome of a check without rows: nothing is written, and a scheduler goes on."""
    verdict = tr("there are no rows since {since}", since=since)
    nothing = dict.fromkeys(("prediction", "told_apart", "score", "change", "finding"))
    return {
        "source": source,
        "rows": 0,
        "until": "",
        "columns": [],
        "unread": [],
        "unlike": 0.0,
        "known": 0,
        **nothing,
        "unscored": verdict,
        "level": "fine",
        "verdict": verdict,
        "lines": [f"{source}: {verdict}"],
    }

"""What the checks of a run found, one after another."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from luthier import storage
from luthier.assess import PastCheck, RunCheck
from luthier.messages import in_words, tr
from luthier.records import JsonObject
from luthier.saved import RunFolder

MOST = 2000  # checks that are kept: five years of days


def remember(folder: RunFolder, earlier: Sequence[PastCheck], result: RunCheck) -> None:
    """Add a check to the run's list, which is written whole: a kill leaves the old one."""
    record = PastCheck(
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        farthest=max((row.value / row.threshold for row in result.columns), default=0.0),
        **{name: getattr(result, name) for name in ("source", "rows", "until", "level", "drifted", "score")},
    )
    lines = [storage.json_text(one) + "\n" for one in [*earlier, record][-MOST:]]
    storage.write_text(folder.checks, "".join(lines))


def since_earlier(earlier: Sequence[PastCheck]) -> list[str]:
    """How the last check ended, for the end of the next."""
    if not earlier:
        return []
    last = earlier[-1]
    rows, when, level = last.rows, last.at[:10], tr(last.level)
    words = tr("the last check, of {rows} rows on {when}: {level}", rows=rows, when=when, level=level)
    return [f"  {words}" if last.score is None else tr("  {check}, {score}", check=words, score=last.score)]


def in_lines(check: RunCheck, lines: list[str]) -> JsonObject:
    """A check as plain values, its sentences in the language that is spoken, with the lines that sum it up."""
    said: JsonObject = in_words(storage.plain(check.to_json()))
    return {**said, "lines": lines}


def nothing_new(source: str, since: str) -> JsonObject:
    """The outcome of a check without rows: nothing is written, and a scheduler goes on."""
    verdict = tr("there are no rows since {since}", since=since)
    return in_lines(RunCheck(source, 0, verdict, unscored=verdict), [f"{source}: {verdict}"])

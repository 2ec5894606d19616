"""What a check is."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from luthier.diagnosis.checks.trace import Trace
from luthier.records import Finding, JsonObject, Severity

ORDER: dict[Severity, int] = {"error": 0, "warning": 1, "note": 2}


class Check(NamedTuple):
    """One rule: what it looks for, from which threshold on, and why that one.

    `look` gives a Finding's sentence and evidence, or None where all is well.
    """

    code: str
    severity: Severity
    claim: str
    threshold: str
    source: str
    remedy: str
    look: Callable[[Trace], tuple[str, JsonObject] | None]

    def finding(self, trace: Trace) -> Finding | None:
        """What the rule says of a training."""
        result = self.look(trace)
        if result is None:
            return None
        sentence, evidence = result
        return Finding(self.code, self.severity, sentence, evidence, self.remedy, self.source)


def look(trace: Trace, checks: Iterable[Check]) -> list[Finding]:
    """All findings of some checks, the gravest first."""
    result = [finding for check in checks if (finding := check.finding(trace)) is not None]
    return sorted(result, key=lambda finding: ORDER[finding.severity])

"""A run's numbers for people: one HTML file, and lines for the terminal."""

from __future__ import annotations

from luthier.report.contents import Contents, read_contents
from luthier.report.page import build_report, write_report
from luthier.report.terminal import ledger_lines, notebook_card, summary_lines

__all__ = [
    "Contents",
    "build_report",
    "ledger_lines",
    "notebook_card",
    "read_contents",
    "summary_lines",
    "write_report",
]

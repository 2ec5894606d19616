"""A run's numbers for people: one HTML file, and lines for the terminal."""

from __future__ import annotations

from luthier.report.page import build_report, write_report
from luthier.report.terminal import ledger_lines, notebook_card, summary_lines

__all__ = ["build_report", "ledger_lines", "notebook_card", "summary_lines", "write_report"]

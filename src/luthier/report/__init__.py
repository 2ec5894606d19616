"""A run's numbers for people: one HTML file, and lines for the terminal."""

from __future__ import annotations

from luthier.report.card import model_card
from luthier.report.contents import Contents, read_contents
from luthier.report.overview import write_overview
from luthier.report.page import build_report, write_report
from luthier.report.search_page import build_search_report, read_search, write_search_report
from luthier.report.terminal import ledger_lines, notebook_card, search_lines, summary_lines

__all__ = [
    "Contents",
    "build_report",
    "build_search_report",
    "ledger_lines",
    "model_card",
    "notebook_card",
    "read_contents",
    "read_search",
    "search_lines",
    "summary_lines",
    "write_overview",
    "write_report",
    "write_search_report",
]

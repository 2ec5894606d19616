"""The pages of the diagnosis hold the rules as they are, with what was measured, in both languages."""

from __future__ import annotations

import json

import pytest
from benchmarks.diagnosis import MEASURED, PAGES, with_tables

from luthier.diagnosis import CHECKS, ROWS


@pytest.mark.parametrize("language", PAGES)
def test_the_tables_are_the_rules_with_what_was_measured(language: str) -> None:
    page = PAGES[language].read_text()
    assert with_tables(page, json.loads(MEASURED.read_text()), language) == page
    assert all(f"| {check.code} | " in page for check in (*CHECKS, *ROWS))

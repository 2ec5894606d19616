"""A run that learnt nothing says so wherever its result is read; one that learnt something does not."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import luthier
from luthier.report import model_card, summary_lines
from luthier.runs.screen import SilentScreen

SENTENCE = "nothing is learnt: on the sealed test set the network is no better than a constant, beyond the noise"


def table(kind: str, noise: float) -> pl.DataFrame:
    rng = np.random.default_rng(8)
    x = rng.normal(size=(600, 2))
    value = (1 - noise) * x[:, 0] + noise * rng.normal(size=600)
    y = value if kind == "regression" else np.where(value > (1.45 if kind == "rare" else 0), "heads", "tails")
    return pl.DataFrame({"a": x[:, 0], "b": x[:, 1], "y": y})


@pytest.mark.parametrize("kind", ["regression", "binary"])
def test_coin_labels(tmp_path: Path, kind: str) -> None:
    run = tmp_path / "run"
    luthier.fit(table(kind, 1.0), target="y", budget="100steps", run=run, screen=SilentScreen())
    scores = json.loads((run / "scores.json").read_text())
    assert scores["no_better_than_constant"]["sentence"].startswith(SENTENCE)
    assert "shuffled targets do no worse" in scores["no_better_than_constant"]["sentence"]
    assert "other columns" in scores["next_step"]
    assert "another target" in scores["next_step"]
    lines, page, card = "\n".join(summary_lines(run)), (run / "report.html").read_text(), model_card(run)
    assert SENTENCE in lines
    assert SENTENCE in card.split("## Model")[0]
    assert SENTENCE in page[: page.index("<dl class=questions>")]
    assert "luthier check" not in lines


def test_what_is_learnt_is_not_denied(tmp_path: Path) -> None:
    run = tmp_path / "run"
    luthier.fit(table("regression", 0.2), target="y", budget="300steps", run=run, screen=SilentScreen())
    assert json.loads((run / "scores.json").read_text())["no_better_than_constant"] is None
    assert "constant" not in "\n".join(summary_lines(run))


def test_too_few_rows_to_show_it_are_not_said_to_show_nothing(tmp_path: Path) -> None:
    """Three sealed rows of the rare class prove nothing; shuffled targets do worse."""
    run = tmp_path / "run"
    luthier.fit(table("rare", 0.3), target="y", budget="300steps", run=run, screen=SilentScreen())
    scores = json.loads((run / "scores.json").read_text())
    assert "shuffled targets do worse" in scores["no_better_than_constant"]["sentence"]
    assert "nothing is learnt" not in scores["no_better_than_constant"]["sentence"]
    assert scores["next_step"].startswith("more rows")

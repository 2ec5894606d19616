"""The recipe on a table with free text, beside other columns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

import luthier
from luthier.cli import app
from luthier.errors import InputError
from luthier.recipe import follows
from luthier.runs.screen import SilentScreen

GOOD, BAD = ("superb", "moving", "clever", "not bad"), ("dull", "awful", "clumsy", "not good")
FILL = ["the", "film", "has", "a", "story", "about", "people", "in", "a", "town", "while", "others", "watch", "rain"]


def reviews(count: int, seed: int) -> pl.DataFrame:
    """Sentences that praise or do not, one in thirty by mistake; `stars` and `land` say a little too."""
    rng = np.random.default_rng(seed)
    y = rng.random(count) < 0.5
    texts = []
    for good in y ^ (rng.random(count) < 1 / 30):
        words = list(rng.choice(FILL, 12))
        words.insert(int(rng.integers(12)), str(rng.choice(GOOD if good else BAD)))
        texts.append(" ".join(words))
    stars = y + rng.normal(size=count) * 2
    land = np.where(rng.random(count) < 0.5 + 0.1 * y, "home", rng.choice(["near", "far"], count))
    return pl.DataFrame({"text": texts, "stars": stars, "land": land, "y": np.where(y, "good", "bad")})


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> luthier.Result:
    folder = tmp_path_factory.mktemp("text")
    reviews(900, 0).write_csv(folder / "reviews.csv")
    result = luthier.fit(
        folder / "reviews.csv", target="y", budget="3000steps", run=folder / "run", screen=SilentScreen()
    )
    assert result is not None
    return result


def test_text_is_learnt_beside_other_columns(run: luthier.Result) -> None:
    assert run.scores["headline"]["value"] > 0.9
    assert {c.name: c.kind for c in run.model.encoder.columns} == {
        "text": "text",
        "stars": "number",
        "land": "category",
    }
    names = [row["name"] for row in run.scores["baselines"]]
    linear = "logistic regression on"
    assert names == ["majority class", f"{linear} tf-idf", f"{linear} sentence vectors"]
    importance = [row["column"] for row in run.scores["importance"]]
    assert importance[0] == "text"
    assert set(importance) == {"text", "stars", "land"}


def test_every_decision_follows_from_its_evidence(run: luthier.Result) -> None:
    result = [r for r in run.ledger if r["kind"] == "decision"]
    assert {"text", "first-text-network", "experiment", "answer", "bags"} <= {r["code"] for r in result}
    varied = {name for r in result if r["code"] == "experiment" for name in r["evidence"]["shaped"]}
    assert varied >= {"order", "units", "words alike", "sentence vectors", "dropout of words"}
    for decision in result:
        assert follows(decision), decision["topic"]


def test_predict_and_check_take_text(run: luthier.Result, tmp_path: Path) -> None:
    reviews(200, 5).write_csv(tmp_path / "new.csv")
    message = CliRunner().invoke(
        app, ["predict", str(run.path), str(tmp_path / "new.csv"), "-o", str(tmp_path / "p.csv")]
    )
    assert message.exit_code == 0, message.output
    table = pl.read_csv(tmp_path / "p.csv")
    assert (table["prediction"] == table["y"]).mean() > 0.9  # type: ignore[operator]
    message = CliRunner().invoke(app, ["check", str(run.path), str(tmp_path / "new.csv")])
    assert message.exit_code == 0, message.output
    message = CliRunner().invoke(app, ["doctor", str(tmp_path / "new.csv"), "--target", "y"])
    assert message.exit_code == 0, message.output


def test_vectors_stand_beside_the_words_unless_they_are_not_wanted(run: luthier.Result, tmp_path: Path) -> None:
    assert run.model.encoder.vector_width == 256
    assert any("override with --text-model" in r.get("sentence", "") for r in run.ledger)
    reviews(120, 3).write_csv(tmp_path / "few.csv")
    without = luthier.fit(
        tmp_path / "few.csv", target="y", text_model="none", budget="60steps", run=tmp_path / "w", screen=SilentScreen()
    )
    assert without is not None
    assert without.model.encoder.vector_width == 0
    assert without.model.predict(reviews(20, 4)) is not None
    with pytest.raises(InputError, match="does not give vectors of texts"):
        luthier.fit(tmp_path / "few.csv", target="y", text_model="nowhere", budget="60steps", run=tmp_path / "n")


def test_the_same_numbers_again(run: luthier.Result, tmp_path: Path) -> None:
    again = luthier.rerun(run.path / "recipe.toml", run=tmp_path / "again", screen=SilentScreen())
    assert again is not None
    assert again.scores["headline"] == run.scores["headline"]


def test_the_search_is_for_tables(run: luthier.Result, tmp_path: Path) -> None:
    reviews(100, 5).write_csv(tmp_path / "new.csv")
    with pytest.raises(InputError, match="holds text"):
        luthier.tune_table(tmp_path / "new.csv", target="y", trials=2, run=tmp_path / "search")


def test_the_words_that_spoke_for_a_prediction(run: luthier.Result, tmp_path: Path) -> None:
    frame = reviews(60, 7)
    shares = run.model.explain_words(frame, of="good")
    firsts = [row[0] for row in shares]
    telling = {*GOOD, *BAD, "not", "good", "bad"}
    assert sum(one.word in telling for one in firsts) > 50
    signs = [one.share > 0 for one in firsts if one.word in ("superb", "dull")]
    assert signs == [one.word == "superb" for one in firsts if one.word in ("superb", "dull")]
    assert [one.column for one in firsts] == ["text"] * 60
    with pytest.raises(InputError, match="no class 'best'"):
        run.model.explain_words(frame, of="best")
    frame.drop("land").write_csv(tmp_path / "new.csv")
    options = ["--explain", "--impute-missing-columns", "-o", str(tmp_path / "p.csv")]
    message = CliRunner().invoke(app, ["predict", str(run.path), str(tmp_path / "new.csv"), *options])
    assert message.exit_code == 0, message.output
    found = pl.read_csv(tmp_path / "p.csv")
    assert {"typical", "+ text", "+ land"} <= set(found.columns)
    words = found["words"]
    assert words.str.contains(r"^\w+ [+-]\d").all()

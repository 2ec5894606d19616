"""What later commands make of a run whose sentence transformer learnt: each works, or is refused in words."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from starlette.testclient import TestClient
from tests.sentence_folders import sentence_folder
from typer.testing import CliRunner

import luthier
from luthier.cli import app
from luthier.errors import InputError
from luthier.nets import TextBackboneSpec
from luthier.recipe.steps import transferring
from luthier.runs.screen import SilentScreen
from luthier.saved import predict_file
from luthier.serving.application import make_app

TEXT = {"said": "text"}


def table(rows: int = 150, seed: int = 0) -> pl.DataFrame:
    """Notes that are good where "good" stands before "bad", and how early it stands; by whom, and when."""
    draw = np.random.default_rng(seed)
    texts = [" ".join(draw.permutation(["good", "bad", "film", "a", "the", "very"])) for _ in range(rows)]
    early = [text.split().index("good") + float(draw.normal()) / 3 for text in texts]
    return pl.DataFrame(
        {
            "said": texts,
            "fine": ["yes" if text.index("good") < text.index("bad") else "no" for text in texts],
            "stars": early,
            "who": [f"p{k % 40}" for k in range(rows)],
            "day": [f"2024-{1 + k // 28:02d}-{1 + k % 28:02d}" for k in range(rows)],
        }
    )


class Killed(BaseException):
    """The process is gone."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LUTHIER_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield sentence_folder(tmp_path_factory.mktemp("models") / "mine")


@pytest.fixture(scope="module")
def run(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> luthier.Result:
    """A run that was killed once its blocks had learnt, and continued."""
    path, trained = tmp_path_factory.mktemp("runs") / "run", list[int]()
    source = path.parent / "t.csv"
    table().select("said", "fine", "who").write_csv(source)
    plain = transferring.transfer

    def counted(*given: Any, **named: Any) -> Any:
        trained.append(1)
        return plain(*given, **named)

    def killed(*given: Any) -> Any:
        raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(transferring, "transfer", counted)
        with pytest.MonkeyPatch.context() as first:
            first.setattr(transferring, "_say_what_was_measured", killed)
            with pytest.raises(Killed):
                luthier.fit(source, target="fine", columns=TEXT, backbone=folder, group="who", budget="100steps",
                            run=path, screen=SilentScreen())  # fmt: skip
        result = luthier.resume(path, screen=SilentScreen())
    assert trained == [1]  # what was learnt before the kill was read again
    return result


def test_a_killed_run_ends_with_a_score(run: luthier.Result) -> None:
    assert isinstance(run.model.nets[0].spec, TextBackboneSpec)
    assert run.scores["headline"]["n"] > 20


def test_files_frames_and_servers_have_the_same_predictions(run: luthier.Result, tmp_path: Path) -> None:
    rows = table(30, seed=1).select("said")
    rows = rows.with_columns(said=pl.Series(["", "👍👍", "x" * 200_000, *rows["said"][3:]]))
    rows.write_csv(tmp_path / "rows.csv")
    expected = run.model.predict_proba(rows).to_numpy()
    predict_file(run.path, tmp_path / "rows.csv", tmp_path / "predicted.csv")
    written = pl.read_csv(tmp_path / "predicted.csv").select("probability_no", "probability_yes").to_numpy()
    np.testing.assert_allclose(written, expected, atol=1e-6)  # float32, rows of another length beside
    alone = [run.model.predict_proba(rows[k : k + 1]).to_numpy()[0] for k in range(len(rows))]
    np.testing.assert_allclose(alone, expected, atol=1e-6)
    with TestClient(make_app(luthier.load(run.path)), base_url="http://localhost") as client:
        answer = client.post("/predict", json={"rows": rows.to_dicts()}).json()["predictions"]
    served = [[one["probabilities"][name] for name in ("no", "yes")] for one in answer]
    np.testing.assert_allclose(served, expected, atol=1e-5)  # served with nine decimals


def test_it_is_tested_again_and_checked(run: luthier.Result) -> None:
    again = luthier.test(run.path, again=True, screen=SilentScreen())
    assert again.scores["headline"]["value"] == run.scores["headline"]["value"]
    found = luthier.check(run.path, table(60, seed=2).select("said", "fine", "who"))
    assert any("accuracy" in line for line in found["lines"])


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("fit NEW --warm-start RUN --budget 50steps --run OUT", "a warm start works with tables only"),
        ("fit NEW --warm-start RUN --backbone MODEL --budget 50steps --run OUT", "works with tables only"),
        ("branch RUN --step 4 --new-test NEW --run OUT", "does not work for a run with --backbone"),
        ("branch RUN --step 5 --again --run OUT", "does not work for a run with --backbone"),
        ("tune RUN --trials 2 --run OUT", "does not work for a run with --backbone"),
        ("refit RUN", "networks that were stopped by validation rows"),
        ("export RUN --onnx OUT", "a model of text cannot be exported"),
        ("export RUN --torch OUT", "a model of text cannot be exported"),
    ],
)
def test_what_it_cannot_do_is_said(command: str, words: str, run: luthier.Result, folder: Path, tmp_path: Path) -> None:
    table(60, seed=2).select("said", "fine", "who").write_csv(tmp_path / "new.csv")
    named = {"RUN": run.path, "NEW": tmp_path / "new.csv", "OUT": tmp_path / "out", "MODEL": folder}
    refused = CliRunner().invoke(app, [str(named.get(part, part)) for part in command.split()])
    assert isinstance(refused.exception, InputError)
    assert words in str(refused.exception)
    assert not (tmp_path / "out").exists()  # nothing is left behind


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"target": ["fine", "stars"], "columns": {**TEXT, "who": "identifier"}}, "works with one target only"),
        ({"target": "fine", "columns": TEXT, "beside": ("stars",), "time": "day", "group": ""}, "other columns: day"),
        ({"target": "fine", "columns": TEXT, "beside": ("stars", "day"), "test": "none"}, "pictures or text"),
    ],
)
def test_what_cannot_be_asked_for(given: dict[str, Any], words: str, folder: Path, tmp_path: Path) -> None:
    asked = {"group": "who", "backbone": folder, "budget": "10steps", "run": tmp_path / "run", **given}
    with pytest.raises(InputError, match=words):
        luthier.fit(table().drop("who") if asked["group"] == "" else table(), screen=SilentScreen(), **asked)


def test_quantiles_of_rows_in_time(folder: Path, tmp_path: Path) -> None:
    rows = table().select("said", "stars", "day")
    result = luthier.fit(
        rows, target="stars", columns={**TEXT, "day": "identifier"}, time="day", quantiles="0.1,0.5,0.9",
        backbone=folder, budget="60steps", run=tmp_path / "run", screen=SilentScreen(),
    )  # fmt: skip
    rows.select("said").write_csv(tmp_path / "rows.csv")
    asked = [str(result.path), str(tmp_path / "rows.csv"), "-o", str(tmp_path / "predicted.csv")]
    CliRunner().invoke(app, ["predict", *asked, "--answer", "median", "--explain"], catch_exceptions=False)
    written = pl.read_csv(tmp_path / "predicted.csv")
    assert (written["prediction_q0.1"] <= written["prediction_q0.5"]).all()
    assert (written["prediction_q0.5"] <= written["prediction_q0.9"]).all()
    assert written["prediction"].is_between(written["prediction_q0.1"], written["prediction_q0.9"]).all()
    assert written["words"].str.contains("good").any()

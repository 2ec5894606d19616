"""What later commands make of what `fit` was asked for: a row for every option, and each cell as the table has it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import typer
from typer.testing import CliRunner

import luthier
from luthier.cli import app
from luthier.cli.fit import BESIDE
from luthier.errors import InputError
from luthier.recipe import FitConfig
from luthier.recipe.option_table import COMMANDS, MEANINGLESS, OBEYED, OF_ONE_CALL, REFUSED, TABLE, kept_for
from luthier.runs.export_run import export_run
from luthier.runs.screen import SilentScreen
from luthier.saved import open_run, predict_file

SAMPLES: dict[str, Any] = {  # a value of each option that is not its default
    "source": "/rows.csv",
    "target": "y",
    "beside": ("z",),
    "budget": "9m",
    "seed": 7,
    "task": "binary",
    "columns": {"a": "category"},
    "metric": "auc",
    "costs": "1:7",
    "positive": "no",
    "group": "who",
    "time": "when",
    "weight": "w",
    "size": 32,
    "strict": True,
    "backbone": "resnet18",
    "weights": "/weights.safetensors",
    "memory": 1 << 30,
    "device": "cuda:1",
    "distil": True,
    "warm_start": "/before",
    "base": "/before",
    "previous": "/before",
    "begin_at": 4,
    "new_test": "/new.csv",
}
PARAMETERS: list[Any] = typer.main.get_command(app).commands["fit"].params  # type: ignore[attr-defined]
OPTIONS = {parameter.opts[0] if parameter.opts[0].startswith("-") else "SOURCE": parameter for parameter in PARAMETERS}


def test_every_option_has_a_row() -> None:
    assert set(TABLE) == set(FitConfig.model_fields) == set(SAMPLES), (
        "a field of FitConfig without a row, or the reverse"
    )
    named = {row.option for row in TABLE.values()} | set(OF_ONE_CALL) | {"--help"}
    assert set(OPTIONS) <= named, "an option of `luthier fit` without a row"
    for name, row in TABLE.items():
        assert len(row.cells.replace(" ", "")) == len(COMMANDS), name
        assert row.why or set(row.cells) <= set("o "), f"{name} is not obeyed everywhere, without a reason"


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("name", TABLE)
def test_a_command_keeps_leaves_out_or_refuses_what_the_table_says(name: str, command: str) -> None:
    """What is left out is as if it had not been asked for: the request is the same, so what comes of it is."""
    row, untouched = TABLE[name], FitConfig(source="")
    asked = untouched.model_copy(update={name: SAMPLES[name]})
    if row.cell(command) == REFUSED:
        with pytest.raises(InputError, match=f"`luthier {command}` does not work for a run with {row.option}"):
            kept_for(command, asked)
    else:
        assert kept_for(command, asked) == (asked if row.cell(command) == OBEYED else untouched)


@pytest.mark.parametrize("option", OPTIONS)
def test_an_option_given_anew_beside_a_run_is_refused_or_counts(option: str) -> None:
    """Before anything is read: the runs that are named here are not there."""
    parameter = OPTIONS[option]
    words = [option] if getattr(parameter, "is_flag", False) else [option, "1"]
    for chosen, taken in BESIDE.items():
        if option in ("SOURCE", "--resume", "--config", "--from", "--explain") or parameter.name in taken:
            continue
        if option in ("--json", "--verbose", "--track", "--open"):
            continue  # how it is shown
        run = {"--resume": ["--resume", "run"], "--config": ["--config", "run/recipe.toml"]}
        begun = run.get(chosen, ["--resume", "run", "--from", "4"])
        error = CliRunner().invoke(app, ["fit", *begun, *words]).exception
        assert isinstance(error, InputError)
        assert option in str(error), f"{option} beside {chosen}: {error}"


@pytest.fixture(scope="module")
def table() -> pl.DataFrame:
    rng = np.random.default_rng(0)
    x, rows = rng.normal(size=(240, 2)), 240
    return pl.DataFrame(
        {
            "who": [f"p{k // 4}" for k in range(rows)],
            "w": rng.choice([1.0, 2.0, 5.0], rows),
            "a": x[:, 0].round(4),
            "b": rng.choice([1, 2, 3], rows),
            "state": np.where(x[:, 0] + 0.5 * rng.normal(size=rows) > 0.6, "sick", "well"),
            "later": rng.choice(["yes", "no"], rows),
        }
    )


@pytest.fixture(scope="module")
def run(table: pl.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run that was asked for much."""
    folder = tmp_path_factory.mktemp("asked")
    table.write_csv(folder / "rows.csv")
    options: dict[str, Any] = {"group": "who", "weight": "w", "costs": "1:6", "positive": "well", "seed": 3}
    options |= {"beside": ("later",), "columns": {"b": "category"}, "metric": "balanced accuracy"}
    luthier.fit(
        folder / "rows.csv", target="state", budget="60steps", run=folder / "run", screen=SilentScreen(), **options
    )
    return folder / "run"


def headline(run: Path, reading: int | None = None) -> dict[str, Any]:
    scores = json.loads((run / "scores.json").read_text())
    found: dict[str, Any] = scores["headline"] if reading is None else scores["readings"][reading]["headline"]
    return {name: found[name] for name in ("name", "value", "low", "high", "n")}


def test_the_test_set_is_read_again_under_the_same_request(run: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(run, tmp_path / "run"))
    luthier.test(copy, again=True, screen=SilentScreen())
    assert headline(copy, 0) == pytest.approx(headline(run))


def test_a_check_of_the_sealed_rows_says_what_the_test_said(run: Path, table: pl.DataFrame, tmp_path: Path) -> None:
    """The same metric, weights, groups, threshold and kinds of columns give the same score, and its interval."""
    sealed = (pl.read_parquet(run / "splits.parquet")["part"] == "test").arg_true()
    table[sealed].write_csv(tmp_path / "new.csv")
    score = luthier.check(run, tmp_path / "new.csv")["score"]
    assert {name: score[name] for name in headline(run)} == pytest.approx(headline(run))


def test_the_confusion_matrix_weighs_rows_as_the_score_beside_it_does(run: Path) -> None:
    confusion = json.loads((run / "scores.json").read_text())["confusion"]
    matrix = np.array(confusion["matrix"])
    assert confusion["weighted"]
    assert (matrix.diagonal() / matrix.sum(1)).mean() == pytest.approx(headline(run)["value"], rel=1e-9)


def test_an_export_is_checked_on_the_runs_own_validation_rows(run: Path, tmp_path: Path) -> None:
    validation = (pl.read_parquet(run / "splits.parquet")["part"] == "validation").sum()
    assert export_run(run, tmp_path / "out", kind="torch").rows == validation


def test_a_way_back_keeps_the_request(run: Path, tmp_path: Path) -> None:
    luthier.branch(run, 5, again=True, run=tmp_path / "back", screen=SilentScreen())
    before, after = (open_run(path).facts() for path in (run, tmp_path / "back"))
    changed = {name for name, value in before["asked"].items() if after["asked"][name] != value}
    assert changed == {"previous", "begin_at"}
    assert after["task"] == before["task"]
    splits = [pl.read_parquet(path / "splits.parquet") for path in (run, tmp_path / "back")]
    assert splits[0].equals(splits[1])
    assert luthier.load(tmp_path / "back").positive_threshold < 0.5  # a well row that is missed costs six times as much


@pytest.mark.parametrize("command", ["predict", "serve"])
def test_what_has_no_meaning_for_a_prediction_changes_none(
    command: str, run: Path, table: pl.DataFrame, tmp_path: Path
) -> None:
    """Nor does the column that it names: it may be absent."""
    table.write_csv(tmp_path / "new.csv")
    table.drop("who", "w", "later", "state").write_csv(tmp_path / "few.csv")
    predict_file(run, str(tmp_path / "new.csv"), tmp_path / "before.csv")
    copy = Path(shutil.copytree(run, tmp_path / "run"))
    asked = open_run(copy).facts()["asked"]
    for name, row in TABLE.items():
        if row.cell(command) == MEANINGLESS:
            open_run(copy).update_facts(asked={**asked, name: SAMPLES[name]})
            predict_file(copy, str(tmp_path / "new.csv"), tmp_path / "after.csv")
            assert (tmp_path / "after.csv").read_bytes() == (tmp_path / "before.csv").read_bytes(), name
    predict_file(copy, str(tmp_path / "few.csv"), tmp_path / "after.csv")
    columns = ["prediction", "probability_sick", "probability_well"]
    assert pl.read_csv(tmp_path / "after.csv")[columns].equals(pl.read_csv(tmp_path / "before.csv")[columns])
    model = luthier.load(copy)
    assert model.task.positive_name == "well"
    assert {column.name: column.kind for column in model.encoder.columns if column.used} == {
        "a": "number",
        "b": "category",
    }


def test_what_a_search_has_no_meaning_for_changes_nothing_of_it(run: Path, tmp_path: Path) -> None:
    """`--budget` and `--distil` of the run: the same trials with and without them."""
    copy = Path(shutil.copytree(run, tmp_path / "run"))
    asked = open_run(copy).facts()["asked"]
    open_run(copy).update_facts(asked={**asked, "budget": "9m", "distil": True, "begin_at": 4})
    tiny: dict[str, Any] = {"trials": 2, "epochs": 1, "confirm": 0, "workers": 1, "tiers": False}
    values = [
        luthier.tune_table(path, run=tmp_path / name, **tiny).trials["value"]
        for path, name in ((run, "a"), (copy, "b"))
    ]
    assert values[0].equals(values[1])

"""What later commands make of what `fit` was asked for: a row for every option, and each cell as the table has it."""

from __future__ import annotations

import importlib.util
import itertools
import json
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import typer
from sklearn.metrics import balanced_accuracy_score
from starlette.testclient import TestClient

import luthier
from luthier.cli import app
from luthier.errors import InputError
from luthier.recipe.rows.option_table import COMMANDS, MEANINGLESS, OBEYED, REFUSED, TABLE, kept_for
from luthier.request import PlanConfig, RunRequest
from luthier.runs.export_run import export_run
from luthier.runs.screen import SilentScreen
from luthier.runs.tuning_tables import resume_search
from luthier.saved import open_run, predict_file
from luthier.serving.application import make_app

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
    "order": "low,medium,high",
    "group": "who",
    "time": "when",
    "sample_weight": "w",
    "size": 32,
    "strict": True,
    "backbone": "resnet18",
    "backbone_weights": "/weights.safetensors",
    "memory": 1 << 30,
    "device": "cuda:1",
    "distil": True,
    "quantiles": "0.1,0.9",
    "warm_start": "/before",
    "base": "/before",
    "previous": "/before",
    "begin_at": 4,
    "test": "/new.csv",
    "test_share": 0.1,
    "text_model": "none",
    "separate": True,
    "heads": ("y", "z"),
    "head_metrics": ("auc", ""),
}
COMMAND: Any = typer.main.get_command(app)


def test_every_option_has_a_row() -> None:
    assert set(TABLE) == set(RunRequest.model_fields) == set(SAMPLES)
    for name, row in TABLE.items():
        assert len(row.cells) == len(COMMANDS), f"{name} says not what each command makes of it"
        assert row.why or set(row.cells) <= set("o"), f"{name} is not obeyed everywhere, without a reason"


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("name", TABLE)
def test_a_command_keeps_leaves_out_or_refuses_what_the_table_says(name: str, command: str) -> None:
    """What is left out is as if it had not been asked for: the request is the same, so what comes of it is."""
    row, untouched = TABLE[name], RunRequest(source="")
    asked = untouched.model_copy(update={name: SAMPLES[name]})
    if row.cell(command) == REFUSED:
        with pytest.raises(InputError, match=f"`luthier {command}` does not work for a run with {row.option}"):
            kept_for(command, asked)
    else:
        assert kept_for(command, asked) == (asked if row.cell(command) == OBEYED else untouched)


@pytest.mark.parametrize("command", ["resume", "rerun", "branch"])
def test_a_command_that_works_on_a_run_takes_no_option_that_says_anew_what_it_was_asked_for(command: str) -> None:
    """But the backbone and the device: code that a file may not choose, and a device that may be another machine's; and
    the loss, at step 1."""
    taken = {parameter.name for parameter in COMMAND.commands[command].params}
    again = {
        "resume": {"backbone", "device"},
        "rerun": {"backbone"},
        "branch": {"backbone", "metric", "costs", "positive", "task"},
    }
    assert taken & set(PlanConfig.model_fields) == again[command]


IN_GROUPS: dict[str, Any] = {
    "target": "state",
    "beside": ("later",),
    "budget": "400steps",
    "seed": 3,
    "group": "who",
    "sample_weight": "w",
    "costs": "1:3",
    "positive": "well",
    "columns": {"b": "category"},
    "metric": "balanced accuracy",
}
IN_TIME: dict[str, Any] = {
    "target": "level",
    "budget": "40steps",
    "seed": 3,
    "time": "when",
    "task": "regression",
    "metric": "mae",
    "columns": {"when": "date:%d/%m/%Y"},
}
TINY: dict[str, Any] = {"trials": 2, "epochs": 1, "confirm": 1, "workers": 1, "tiers": False}


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
    luthier.fit(folder / "rows.csv", run=folder / "run", screen=SilentScreen(), **IN_GROUPS)
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
    assert (
        luthier.load(tmp_path / "back").positive_threshold < 0.5
    )  # a well row that is missed costs three times as much


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
    values = [
        luthier.tune_table(path, run=tmp_path / name, **TINY).trials["value"]
        for path, name in ((run, "a"), (copy, "b"))
    ]
    assert values[0].equals(values[1])


@pytest.fixture(scope="module")
def ordered(table: pl.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run in order of time, whose target looks like classes; the rows are not in that order."""
    folder = tmp_path_factory.mktemp("ordered")
    days = pl.date_range(pl.date(2024, 1, 1), pl.date(2024, 8, 27), eager=True).dt.strftime("%d/%m/%Y")
    rows = table.select("a", level=(2 * table["a"]).round().clip(-3, 3).cast(pl.Int64), when=days)
    rows.sample(fraction=1, shuffle=True, seed=0).write_csv(folder / "rows.csv")
    new = rows.with_columns(a=pl.col("a") + 0.0314, when=days.str.replace("2024", "2028"))
    new[:60].write_csv(folder / "new.csv")
    luthier.fit(folder / "rows.csv", run=folder / "run", screen=SilentScreen(), **IN_TIME)
    return folder / "run"


@pytest.fixture(scope="module")
def came(run: Path, ordered: Path, table: pl.DataFrame) -> Callable[[str, str], Path]:
    """The run that a command makes of one of the two; each is made once."""
    new = table[:60].with_columns(a=pl.col("a") + 0.0314, who="new " + pl.col("who"))
    new.write_csv(run.parent / "new.csv")

    @cache
    def made(which: str, command: str) -> Path:
        before, asked = (run, IN_GROUPS) if which == "groups" else (ordered, IN_TIME)
        folder, screen = before.parent / command.replace(" ", "-"), SilentScreen()
        if command == "resume RUN":
            luthier.fit(before.parent / "rows.csv", run=folder, until=1, screen=screen, **asked)
            luthier.resume(folder, screen=screen)
        elif command == "branch RUN":
            luthier.branch(before, 5, again=True, run=folder, screen=screen)
        elif command == "branch RUN --new-test":
            luthier.branch(before, 5, new_test=before.parent / "new.csv", run=folder, screen=screen)
        elif command == "tune RUN":
            luthier.tune_table(before, run=folder, **TINY)
        else:
            shutil.copytree(made(which, "tune RUN"), folder)
            for name in ("model.luthier", "splits.parquet"):
                (folder / name).unlink()
            resume_search(folder)
        return folder

    return made


def rows_of(run: Path) -> pl.DataFrame:
    """A run's rows with their parts; of what is left out there is none."""
    return pl.read_csv(run.parent / "rows.csv").with_columns(pl.read_parquet(run / "splits.parquet")["part"])


def kinds_of(run: Path) -> dict[str, str]:
    return {column.name: column.kind for column in luthier.load(run).encoder.columns if column.used}


def in_order(run: Path) -> bool:
    days = rows_of(run).with_columns(pl.col("when").str.to_date("%d/%m/%Y"))
    of = {str(name): part["when"] for (name,), part in days.group_by("part")}
    order = [of[name] for name in ("training", "validation", "test") if name in of]
    return all(a.max() < b.min() for a, b in itertools.pairwise(order))  # type: ignore[operator]


def counts_weights(run: Path) -> bool:
    """A score counts weights; a search comes to other losses where they are left out."""
    if (run / "scores.json").exists():
        return bool(json.loads((run / "scores.json").read_text())["confusion"]["weighted"])
    copy = Path(shutil.copytree(run.parent / "run", run.parent / f"unweighted {run.name}"))
    asked = open_run(copy).facts()["asked"]
    open_run(copy).update_facts(
        asked={**asked, "sample_weight": "", "columns": {**asked["columns"], "w": "identifier"}}
    )
    others = luthier.tune_table(copy, run=run.parent / f"unweighted {run.name} tuned", **TINY).trials["value"]
    return not set(others) & set(pl.read_parquet(run / "trials.parquet")["value"]) and "w" not in kinds_of(run)


def costs_least(run: Path) -> bool:
    """Of all lines a search's costs least on the validation rows; a fit's is drawn for other folds too."""
    model = luthier.load(run)
    if (run / "scores.json").exists():
        return model.positive_threshold < 0.5  # a missed one costs three times as much
    rows = rows_of(run).filter(pl.col("part") == "validation")
    p, w, well = (
        model.predict_proba(rows)["well"].to_numpy(),
        rows["w"].to_numpy(),
        (rows["state"] == "well").to_numpy(),
    )
    costs = [float(w @ np.where(well, 3 * (p < line), p >= line)) for line in (model.positive_threshold, *p, 1.1)]
    return costs[0] == min(costs)


SEEN: dict[str, Callable[[Path], bool]] = {
    "group": lambda run: rows_of(run).group_by("who").agg(pl.col("part").n_unique())["part"].max() == 1,
    "sample_weight": counts_weights,
    "target": lambda run: luthier.load(run).task.target == "state",
    "beside": lambda run: "later" not in kinds_of(run),
    "costs": costs_least,
    "positive": lambda run: luthier.load(run).task.positive_name == "well",
    "columns": lambda run: kinds_of(run) == {"a": "number", "b": "category"},
}
SEEN_IN_TIME: dict[str, Callable[[Path], bool]] = {
    "time": in_order,
    "task": lambda run: luthier.load(run).task.kind == "regression",
}


@pytest.mark.parametrize("command", ["resume RUN", "branch RUN", "branch RUN --new-test", "tune RUN", "resume SEARCH"])
@pytest.mark.parametrize("option", [*SEEN, *SEEN_IN_TIME, "metric", "seed"])
def test_what_comes_of_a_command_shows_that_it_obeyed(
    option: str, command: str, came: Callable[[str, str], Path], run: Path, ordered: Path
) -> None:
    assert TABLE[option].cell(command) == OBEYED
    if option in ("metric", "seed"):
        for which, before, metric in (("groups", run, "balanced accuracy"), ("time", ordered, "mae")):
            after = came(which, command)
            if option == "seed":
                kept = [rows_of(path)["part"] == "training" for path in (before, after)]
                assert kept[0].equals(kept[1])
            elif command.startswith("fit"):
                assert json.loads((after / "scores.json").read_text())["headline"]["name"] == metric
            else:
                assert open_run(after).facts()["asked"]["metric"] == metric
        return
    after = came("time" if option in SEEN_IN_TIME else "groups", command)
    assert {**SEEN, **SEEN_IN_TIME}[option](after)


@pytest.mark.parametrize("command", ["test", "check"])
def test_a_score_is_that_of_the_request(command: str, run: Path, table: pl.DataFrame, tmp_path: Path) -> None:
    """Scikit-learn's, with the weights, at the line that costs and positive class draw; its interval is the groups'."""

    def score(**changed: Any) -> dict[str, Any]:
        copy = Path(shutil.copytree(run, tmp_path / f"run {len(list(tmp_path.iterdir()))}"))
        asked = open_run(copy).facts()["asked"]
        open_run(copy).update_facts(asked={**asked, **changed})
        if command == "check":
            return dict(luthier.check(copy, sealed)["score"])
        luthier.test(copy, again=True, screen=SilentScreen())
        return headline(copy, 0)

    sealed = table[(pl.read_parquet(run / "splits.parquet")["part"] == "test").arg_true()]
    model = luthier.load(run)
    well = model.predict_proba(sealed)["well"]
    said = np.where(well.to_numpy() >= model.positive_threshold, "well", "sick")
    expected = balanced_accuracy_score(sealed["state"], said, sample_weight=sealed["w"])
    as_asked = score()
    assert as_asked["name"] == "balanced accuracy"
    assert as_asked["value"] == pytest.approx(expected, rel=1e-9)
    assert expected != pytest.approx(balanced_accuracy_score(sealed["state"], said), rel=1e-6)
    alone = score(group="", columns={"b": "category", "who": "identifier"})
    assert (alone["low"], alone["high"]) != (as_asked["low"], as_asked["high"])


def test_predict_serve_and_export_answer_as_the_request_has_it(run: Path, table: pl.DataFrame, tmp_path: Path) -> None:
    """By the line of costs and positive class; a number that is a category is unknown where training had it not."""
    rows = table[:40].select("a", b=pl.when(pl.int_range(40) % 4 == 0).then(77).otherwise("b"))
    twin = rows.with_columns(b=pl.col("b").replace(77, 99))
    rows.write_csv(tmp_path / "rows.csv")
    predict_file(run, str(tmp_path / "rows.csv"), tmp_path / "said.csv")
    said = pl.read_csv(tmp_path / "said.csv")
    model = luthier.load(run)
    line = np.where(said["probability_well"] >= model.positive_threshold, "well", "sick").tolist()
    assert said["prediction"].to_list() == line
    assert line != np.where(said["probability_well"] >= 0.5, "well", "sick").tolist()
    assert model.predict(twin).to_list() == line
    with TestClient(make_app(model, host="127.0.0.1"), base_url="http://localhost:8000") as client:
        answers = client.post("/predict", json={"rows": twin.rows(named=True)}).json()["predictions"]
    assert [answer["prediction"] for answer in answers] == line
    export_run(run, tmp_path / "out", kind="torch")
    spec = importlib.util.spec_from_file_location("exported", tmp_path / "out" / "model.py")
    assert spec is not None
    assert spec.loader is not None
    exported = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(exported)
    assert exported.load(str(tmp_path / "out" / "model.safetensors")).predict(twin.rows(named=True)) == line

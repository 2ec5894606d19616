"""The real command line, as a user runs it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import polars as pl
import pytest
from tests import warm
from tests.cli.program import luthier


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli") / "wine"
    done = luthier("fit", "wine", "--budget", "200steps", "--run", folder)
    assert done.returncode == 0, done.stderr
    for message in ("task: multiclass; ", "override with --task", "the sealed test set is opened", "report  "):
        assert message in done.stdout
    return folder


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from luthier.data import read_source

    path = tmp_path_factory.mktemp("tables") / "wine.csv"
    read_source("wine").frame.write_csv(path)
    return path


BAD_TABLES = {
    "empty.csv": ("", "is empty"),
    "header.csv": ("a,b\n", "has no rows"),
    "rubbish.csv": ("\x00\x01\x02" * 50, "not a text file"),
    "ragged.csv": ("a,b\n1,2\n3\n", "line 3"),
    "twice.csv": ("a,a\n1,2\n", "same name"),
    "missing.csv": ("a,b\n1,\n2,\n", "every value of the target `b` is missing"),
    "oneclass.csv": ("a,b\n1,x\n2,x\n", "only one value"),
    "two.csv": ("a,b\n1,x\n2,y\n", "2 rows"),
    "infinite.csv": ("a,b\n" + "inf,3\n1,2\n" * 6, "infinite"),
}


@pytest.mark.parametrize("name", BAD_TABLES)
def test_bad_tables_end_with_a_message_and_exit_code_2(name: str, tmp_path: Path) -> None:
    content, message = BAD_TABLES[name]
    (tmp_path / name).write_text(content)
    done = luthier("fit", name, "--target", "b" if "twice" not in name else "a", cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["fit", "no-such-file.csv", "--target", "x"], "there is no file"),
        (["fit", "iris", "--target", "specis"], "did you mean 'species'?"),
        (["fit", "iris", "--budget", "0s"], "leaves no time or steps to train"),
        (["fit", "iris", "--budget", "soon"], "cannot be read"),
        (["fit", "iris", "--task", "multiclas"], "did you mean 'multiclass'?"),
        (["fit", "iris", "--column", "petal=number"], "there is no column 'petal'"),
        (["fit", "iris", "--column", "petal"], "expected NAME=TYPE"),
        (["fit"], "nothing to fit"),
        (["fit", "iris", "--sed", "1"], "No such option"),
        (["predict", "nowhere", "x.csv"], "there is no model"),
        (["show", "nowhere"], "is not a run of Luthier"),
        (["resume", "nowhere"], "is not a run of Luthier"),
        (["rerun", "nowhere.toml"], "there is no file"),
        (["fit", "iris", "--config", "nowhere.toml"], "there is no file"),
        (["branch", "nowhere"], "Missing option '--step'"),
    ],
)
def test_bad_usage_ends_with_a_message_and_exit_code_2(arguments: list[str], said: str, tmp_path: Path) -> None:
    done = luthier(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_folders_that_are_not_ours_are_left_alone(tmp_path: Path, run: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.tex").write_text("years of work")
    done = luthier("fit", "iris", "--run", other, "--replace")
    assert done.returncode == 2
    assert "not a run of Luthier" in done.stderr
    (other / "run.json").write_text('{"job": 7}')
    done = luthier("fit", "iris", "--run", other, "--replace")
    assert done.returncode == 2
    assert "was not written by Luthier" in done.stderr
    assert (other / "thesis.tex").read_text() == "years of work"
    assert "already holds a run" in luthier("fit", "iris", "--run", run).stderr


@pytest.mark.skipif(os.geteuid() == 0 and not Path("/proc").exists(), reason="root may write everywhere")
def test_a_folder_that_cannot_be_written() -> None:
    done = luthier("fit", "iris", "--run", "/proc/luthier")
    assert done.returncode == 2
    assert "cannot be written" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_mistaken_recipe_lists_all_mistakes(tmp_path: Path, run: Path) -> None:
    text = (run / "recipe.toml").read_text().replace("seed = 0", 'seed = "x"\ntargt = "y"')
    (tmp_path / "recipe.toml").write_text(text)
    done = luthier("rerun", tmp_path / "recipe.toml")
    assert done.returncode == 2
    assert "asked.seed" in done.stderr
    assert "did you mean 'target'?" in done.stderr


def test_predict_keeps_all_columns_and_appends(run: Path, table: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    done = luthier("predict", run, table, "-o", out)
    assert done.returncode == 0, done.stderr
    before, after = pl.read_csv(table), pl.read_csv(out)
    assert after.columns[: before.width] == before.columns
    assert after.columns[before.width] == "prediction"
    assert after.select(before.columns).equals(before)
    assert (after["prediction"] == after["cultivar"]).mean() > 0.8
    probabilities = after.select(pl.sum_horizontal(pl.col("^probability_.*$"))).to_series()
    assert (probabilities - 1).abs().max() < 1e-6


def test_predict_names_a_missing_column_and_can_impute_it(run: Path, table: Path, tmp_path: Path) -> None:
    frame = pl.read_csv(table).rename({"alcohol": "alkohol"})
    frame.write_csv(tmp_path / "new.csv")
    done = luthier("predict", run, tmp_path / "new.csv")
    assert done.returncode == 2
    assert "'alcohol' (did you mean 'alkohol'?)" in done.stderr
    done = luthier("predict", run, tmp_path / "new.csv", "--impute-missing-columns")
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) == frame.height + 1


def test_predict_from_standard_input(run: Path, table: Path) -> None:
    done = luthier("predict", run, "-", stdin=table.read_text())
    assert done.returncode == 0, done.stderr
    assert "prediction" in done.stdout.splitlines()[0]


def test_check_sees_drift_and_scores(run: Path, table: Path, tmp_path: Path) -> None:
    done = luthier("check", run, table, "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert not any(row["drifted"] for row in result["columns"])
    assert result["score"]["value"] > 0.8
    pl.read_csv(table).with_columns(pl.col("alcohol") + 5).drop("cultivar").write_csv(tmp_path / "moved.csv")
    done = luthier("check", run, tmp_path / "moved.csv")
    assert "columns have drifted: alcohol" in done.stdout
    assert "no score" in done.stdout
    assert done.returncode == 0  # for a person; a scheduler asks for an exit code
    assert luthier("check", run, tmp_path / "moved.csv", "--fail-on", "watch").returncode == 1
    assert luthier("check", run, table, "--fail-on", "watch").returncode == 0
    assert "expected: watch or act" in luthier("check", run, table, "--fail-on", "fine").stderr
    luthier("report", run)
    assert "the real world" in (run / "report.html").read_text()


@pytest.mark.parametrize("entry", ["weights.safetensors", "model.json", "encoder.json"])
def test_a_tampered_model_is_refused(run: Path, table: Path, tmp_path: Path, entry: str) -> None:
    with zipfile.ZipFile(run / "model.luthier") as whole, zipfile.ZipFile(tmp_path / "bad.luthier", "w") as bad:
        for info in whole.infolist():
            content = whole.read(info)
            if info.filename == entry:
                content = content[:-9] + bytes([content[-9] ^ 1]) + content[-8:]
            bad.writestr(info.filename, content)
    done = luthier("predict", tmp_path / "bad.luthier", table)
    assert done.returncode == 2
    assert f"was changed after it was saved: {entry}" in done.stderr


def test_show_and_report(run: Path) -> None:
    done = luthier("show", run)
    assert done.returncode == 0
    assert "Step 4: fit the validation set" in done.stdout
    assert "opened 1 time." in done.stdout
    (run / "report.html").unlink()
    assert luthier("report", run).stdout.strip() == str(run / "report.html")
    assert (run / "report.html").stat().st_size > 1e6


def test_json_lines_for_machines(tmp_path: Path) -> None:
    done = luthier("fit", "iris", "--budget", "60steps", "--json", "--run", tmp_path / "r")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert lines[-1]["kind"] == "result"
    assert lines[-1]["scores"]["metric"] == "accuracy"
    assert {line["kind"] for line in lines} >= {"decision", "plan", "opening"}


def test_the_plan_alone_is_a_recipe_that_can_be_run(tmp_path: Path) -> None:
    done = luthier("plan", "iris", "--budget", "60steps", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "runs").exists()
    (tmp_path / "recipe.toml").write_text(done.stdout)
    done = luthier("rerun", "recipe.toml", "--run", "r", cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_verbose_shows_epochs(tmp_path: Path) -> None:
    done = luthier("fit", "iris", "--budget", "60steps", "-v", "--run", tmp_path / "r")
    assert "validation      rate networks" in done.stdout


def test_ctrl_c_finishes_with_what_there_is(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "luthier", "fit", "digits", "--budget", "10m", "--run", str(tmp_path / "r")]
    child = warm.Popen(command, stdout=warm.PIPE, stderr=warm.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not list((tmp_path / "r" / "history").glob("*.parquet")) and time.monotonic() < deadline:
        time.sleep(0.1)
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=200)
    assert child.returncode == 0, err
    assert "interrupted by the user" in out
    assert "on the sealed test set" in out
    assert (tmp_path / "r" / "report.html").exists()


def test_importing_costs_nothing() -> None:
    code = "import luthier, sys; print('torch' in sys.modules, 'polars' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_the_install_is_checked() -> None:
    done = luthier("check-install")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("luthier ")
    assert "this machine is ready" in done.stdout


@pytest.mark.parametrize("command", ["plan", "tune", "doctor"])
def test_a_second_target_is_refused_where_one_is_taken(command: str, tmp_path: Path) -> None:
    done = luthier(command, "wine", "--target", "color", "--target=alcohol", cwd=tmp_path)
    assert done.returncode == 2
    assert f"`{command}` takes one target" in done.stderr
    assert "color, alcohol" in done.stderr

"""An option is one field of a request: the command line, TOML, Python's types and the reference come from it."""

from __future__ import annotations

import logging
import re
import tomllib
from contextlib import chdir
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer
from tests.cli.program import luthier as command_line

import luthier
from luthier.cli import app
from luthier.cli.given import takes
from luthier.cli.reference import FILES, REQUESTS
from luthier.errors import ConfigError
from luthier.recipe import Recipe, read_recipe, write_recipe
from luthier.request import FitConfig, OptionSpec, RunRequest, flag_of, option_of, section_of

ROOT = Path(__file__).parents[1]
SAID: dict[str, Any] = {"group": "who", "costs": "1:3", "memory": 1 << 30, "columns": {"b": "category"}, "seed": 7}


class Wider(FitConfig):
    """A request with one more option."""

    momentum: Annotated[int, OptionSpec()] = 3
    """How much of the last step is kept, beside `costs`."""


def test_one_field_more_is_an_option_of_the_command_line() -> None:
    program, seen = typer.Typer(), {}

    @program.command()
    @takes(Wider)
    def fit(source: str, *, given: dict[str, Any]) -> None:
        seen.update(given, source=source)

    command: Any = typer.main.get_command(program)
    (option,) = (one for one in command.params if one.name == "momentum")
    assert option.opts == ["--momentum"]
    assert option.help == "How much of the last step is kept, beside --cost. Default: 3."
    words = ["x.csv", "--momentum", "5", "--cost", "1:2", "--column", "a=text", "--no-register", "--strict"]
    command(words, standalone_mode=False)
    expected = {"momentum": 5, "costs": "1:2", "columns": {"a": "text"}, "registered": False, "strict": True}
    assert seen == {**expected, "source": "x.csv"}
    assert Wider.of(None, **expected).given() == expected


@pytest.mark.parametrize("name", FILES)
def test_files_that_are_made_from_requests_are_those_of_today(name: str) -> None:
    assert (ROOT / name).read_text() == FILES[name](), "python -m luthier.cli.reference"


def test_every_option_has_a_meaning_a_type_and_a_place() -> None:
    options = typer.main.get_command(app).commands["fit"].params  # type: ignore[attr-defined]
    flags = {flag for option in options for flag in option.opts}
    for request in REQUESTS.values():
        for name, field in request.model_fields.items():
            assert (field.description or "").endswith("."), name
            assert option_of(field).later or section_of(request, name) in ("output", "search"), name
    assert {flag_of(name, field) for name, field in FitConfig.model_fields.items()} <= flags


@pytest.mark.parametrize("form", ["flat", "sections", "toml", "config"])
def test_a_config_may_have_every_form_and_what_is_said_beside_it_counts(form: str, tmp_path: Path) -> None:
    config: Any = {"flat": SAID, "config": FitConfig(**SAID)}.get(form)
    if config is None:
        tables = FitConfig(**SAID).in_sections()
        config = {**tables, "budget": {"memory": "1GiB", "seed": 7}}
        if form == "toml":
            text = '[data]\ngroup = "who"\n[data.columns]\nb = "category"\n[task]\ncosts = "1:3"\n'
            config = tmp_path / "request.toml"
            config.write_text(text + '[budget]\nmemory = "1GiB"\nseed = 7\n')
    assert FitConfig.of(config) == FitConfig(**SAID)
    assert FitConfig.of(config, seed=8, task=None) == FitConfig(**{**SAID, "seed": 8})


def test_mistakes_are_listed_together_with_what_is_meant() -> None:
    with pytest.raises(ConfigError) as caught:
        FitConfig.of({"data": {"grup": "who"}, "seed": "x", "budget": {"memory": 2.5}}, metric=3)
    said = str(caught.value)
    assert "did you mean 'group'" in said
    assert all(name in said for name in ("seed", "memory", "metric: input should be a valid string, not 3"))


def test_a_recipe_has_the_request_in_sections_and_reads_it_back(tmp_path: Path) -> None:
    asked = RunRequest(source="rows.csv", target="y", **SAID)
    write_recipe(tmp_path / "recipe.toml", Recipe(asked=asked))
    written = tomllib.loads((tmp_path / "recipe.toml").read_text())["asked"]
    assert written["data"]["group"] == "who"
    assert written["origin"]["source"] == "rows.csv"
    assert read_recipe(tmp_path / "recipe.toml").asked == asked


def test_requests_of_earlier_versions_are_read() -> None:
    before = {"source": "rows.csv", "weight": "w", "weights": "/w.pt", "group": "who"}
    asked = RunRequest.model_validate(before)
    assert (asked.sample_weight, asked.backbone_weights, asked.group) == ("w", "/w.pt", "who")


def test_old_names_of_options_are_taken_with_a_warning() -> None:
    with pytest.warns(FutureWarning, match="weight is now sample_weight"):
        assert FitConfig.of(None, weight="w").sample_weight == "w"


OLD = {
    "fit --resume nowhere": ("fit --resume is now resume", "is not a run"),
    "fit --resume nowhere --from 4 --again": ("fit --resume RUN --from is now branch", "is not a run"),
    "fit --from=4 --resume=nowhere": ("fit --resume RUN --from is now branch", "is not a run"),
    "fit --config nowhere.toml --until 3": ("fit --config is now rerun", "there is no file"),
    "fit nowhere.csv --plan": ("fit --plan is now plan", "there is no file"),
    "fit --explain --resume nowhere": ("fit --explain is now show --explain", "is not a run"),
    "tune --resume nowhere": ("tune --resume is now resume", "is not a run"),
}


@pytest.mark.parametrize("before", OLD)
def test_flags_that_are_commands_now_still_work_with_one_line(before: str, tmp_path: Path) -> None:
    done = command_line(*before.split(), cwd=tmp_path)
    line, problem = OLD[before]
    assert done.returncode == 2
    assert done.stderr.splitlines()[0] == f"luthier: {line}"
    assert done.stderr.count("is now") == 1
    assert problem in done.stderr


def test_a_call_from_python_prints_nothing_and_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with chdir(tmp_path), caplog.at_level(logging.INFO, logger="luthier"):
        result = luthier.fit("iris", budget="20steps", until=2)
    assert capsys.readouterr() == ("", "")
    assert list(tmp_path.iterdir()) == []
    said = " ".join(record.getMessage() for record in caplog.records)
    assert "task: multiclass" in said
    assert str(result.path) in said
    assert "run=FOLDER keeps it" in said
    assert result.path.exists()
    assert "temporary folder" in repr(result)


def test_verbose_prints_as_the_command_line_does(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    luthier.fit("iris", budget="20steps", until=2, run=tmp_path / "run", verbose=1)
    printed = capsys.readouterr().out
    assert "Step 1: the loss" in printed
    done = command_line("fit", "iris", "--budget", "20steps", "--until", "2", "--run", tmp_path / "other")
    assert re.sub("run|other", "", printed) == re.sub("run|other", "", done.stdout)

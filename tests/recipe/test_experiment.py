"""Steps 3 and 4 by designed experiments: repeated, resumed, branched; no row stops the network that it judges."""

from __future__ import annotations

import json
import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from tests import warm
from tests.recipe.asking import Asked, questions_kept

import luthier
from luthier.engine import Member, Settings, train
from luthier.nets import DenseSpec
from luthier.recipe.checklist import ITEMS
from luthier.recipe.decisions import evidence_of, follows, wording_of
from luthier.recipe.decisions.question_answers import compared_with
from luthier.recipe.experiment.fold_bags import BagPlan, train_bags
from luthier.recipe.modality.tables import TableModality
from luthier.recipe.planning.setting import Setting
from luthier.recipe.running.runner import Runner
from luthier.recipe.steps import confirm as confirming
from luthier.records import result_and_entries
from luthier.report.experiment_figures import IntervalRow, draw_intervals, effect_rows
from luthier.rows import Inputs, Rows
from luthier.runs.screen import SilentScreen

BUDGET = "3000steps"


def table(folder: Path) -> Path:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(160, 2))
    y = x[:, 0] + x[:, 1] ** 2 + 0.5 * rng.normal(size=160) > 0.8
    path = folder / "rows.csv"
    frame = pl.DataFrame({"a": x[:, 0], "b": x[:, 1], "kind": rng.choice(["u", "v"], 160)})
    frame.with_columns(y=pl.Series(np.where(y, "yes", "no"))).write_csv(path)
    return path


def fit(source: Any, run: Path, **options: Any) -> luthier.Result:
    result = luthier.fit(source, run=run, screen=SilentScreen(), **{"budget": BUDGET, **options})
    assert result is not None
    return result


def numbers(run: Path) -> dict[str, Any]:
    scores = json.loads((run / "scores.json").read_text().replace(str(run), "RUN"))
    return {"scores": scores, "ledger": (run / "ledger.jsonl").read_text().replace(str(run), "RUN")}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return table(tmp_path_factory.mktemp("rows"))


@pytest.fixture(scope="module")
def walked(source: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[luthier.Result, Asked]:
    """A run, and what it asked of its runner about which setting."""
    with questions_kept() as known:
        return fit(source, tmp_path_factory.mktemp("runs") / "run", target="y"), known[0]


@pytest.fixture(scope="module")
def result(walked: tuple[luthier.Result, Asked]) -> luthier.Result:
    return walked[0]


@pytest.fixture(scope="module")
def asked(walked: tuple[luthier.Result, Asked]) -> Asked:
    return walked[1]


def decisions(ledger: list[dict[str, Any]], code: str) -> list[dict[str, Any]]:
    return [record for record in ledger if record["kind"] == "decision" and record["code"] == code]


def test_each_step_is_one_experiment_and_questions_are_asked_about_what_it_adopts(result: luthier.Result) -> None:
    experiments = decisions(result.ledger, "experiment")
    assert [record["step"] for record in experiments] == [3, 4]
    assert all(record["evidence"]["networks"] == 5 * record["evidence"]["settings"] for record in experiments)
    answers = decisions(result.ledger, "answer")
    assert len(answers) == len({record["of"] for record in answers}) >= 7  # those of the adopted shape at least
    assert all(2 <= record["evidence"]["partitions"] <= 12 for record in answers)
    assert not decisions(result.ledger, "remedy")
    assert result.scores["headline"]["value"] > 0.6


def test_every_choice_follows_from_its_evidence_and_has_words(result: luthier.Result) -> None:
    for record in (r for code in ("experiment", "answer", "bags") for r in decisions(result.ledger, code)):
        assert follows(record)
        for language in ("en", "zh"):
            assert wording_of(record, language).sentence()


def test_the_deliverable_is_whole_bags_that_together_learnt_from_every_open_row(result: luthier.Result) -> None:
    (bags,) = decisions(result.ledger, "bags")
    model = luthier.load(result.path)
    bags_used, rest = divmod(len(model.nets), 5)
    assert rest == 0
    assert bags_used == bags["evidence"]["delivered"] <= bags["choice"]  # a round may take again what was taken
    assert sum(model.weights) == pytest.approx(1)


def test_a_repeated_run_has_the_same_numbers(result: luthier.Result, tmp_path: Path) -> None:
    again = luthier.rerun(result.path / "recipe.toml", run=tmp_path / "again")
    assert numbers(again.path) == numbers(result.path)


def test_what_the_questions_left_trains_for_the_ensemble(result: luthier.Result, tmp_path: Path) -> None:
    """Of a budget of time; here by a record in which such a round stands in the place of one before the questions."""
    written = tmp_path / "late.toml"
    written.write_text((result.path / "recipe.toml").read_text().replace("validate-further-1", "validate-further-100"))
    late = luthier.rerun(written, run=tmp_path / "late")
    assert (late.path / "history" / "validate-further-100-0.parquet").exists()
    places = {record.get("name") or record.get("code"): place for place, record in enumerate(late.ledger)}
    assert places["experiment"] < places["answer"] < places["validate-further-100"] < places["bags"]
    (bags,), (known,) = (decisions(one.ledger, "bags") for one in (late, result))
    assert bags["evidence"]["candidates"] == known["evidence"]["candidates"]  # as many as of the round before


def test_a_killed_run_resumes_to_the_same_numbers(source: Path, result: luthier.Result, tmp_path: Path) -> None:
    run = tmp_path / "killed"
    command = ["fit", str(source), "--target", "y", "--budget", BUDGET, "--run", str(run), "--json"]
    child = warm.Popen([sys.executable, "-m", "luthier", *command], stdout=warm.PIPE, stderr=warm.PIPE)
    assert child.stdout is not None
    for line in child.stdout:
        if b"validate-second" in (line if isinstance(line, bytes) else line.encode()):
            break
    child.kill()
    child.communicate()
    luthier.resume(run, screen=SilentScreen())
    assert numbers(run) == numbers(result.path)


def test_a_run_goes_on_from_step_four_of_another(result: luthier.Result, tmp_path: Path) -> None:
    branch = luthier.branch(result.path, 4, run=tmp_path / "branch", again=True, screen=SilentScreen())
    assert branch is not None
    (first, _), (again, _) = (decisions(one.ledger, "experiment") for one in (result, branch))
    assert first["evidence"] == again["evidence"]
    assert len(decisions(branch.ledger, "answer")) >= 7


def coin_loss(seed: int, *, keep_last: bool) -> float:
    """Out-of-fold loss of networks on labels of a coin, each free to stop by its own fold, less that of one half."""
    g = torch.Generator().manual_seed(seed)
    X, y = torch.randn(50, 4, generator=g, dtype=torch.float64), torch.randint(0, 2, (50,), generator=g)
    settings = Settings("softmax", "adam", 10, 30, 1, dtype=torch.float64, keep_last=keep_last, batch_seed=seed)
    members = [Member(DenseSpec(4, (8,), 2), 5 * seed + fold, 0.01, fold=fold) for fold in range(5)]
    part = Rows(Inputs(numbers=X), y)
    outcome = train(members, part, None, settings, folds=torch.arange(50) % 5)
    return float(np.mean(outcome.best_validation_loss)) - float(np.log(2))


def test_coin_labels_cannot_be_predicted_where_no_row_stops_its_own_network() -> None:
    """Stopping by the rows that judge finds a gain where there is none: the mutation."""
    for keep_last in (True, False):
        losses = np.array([coin_loss(seed, keep_last=keep_last) for seed in range(50)])
        error = losses.std(ddof=1) / len(losses) ** 0.5
        assert bool(losses.mean() > -2 * error) is keep_last


def test_there_are_sixteen_and_each_changes_something(asked: Asked) -> None:
    _, now, known = asked
    assert len({one.name for one in known}) == len(known) == 16
    named = {rung for item in ITEMS for rung in item.rungs}
    assert {one.name for one in known} - {"initialisation"} <= named
    for one in known:
        changed = {f.name for f in fields(Setting) if getattr(one.other, f.name) != getattr(now, f.name)} - {"label"}
        assert changed, one.name
        assert compared_with(one.name, one.value, used=one.used)


ORDER = (
    *("rate", "Adam", "decay", "restarts", "units", "batch size", "layers", "dropout, last layer"),
    *("dropout, all layers", "L2", "input normalisation", "batch norm", "augmentation", "clipping"),
    *("initialisation", "architecture"),
)


def test_questions_are_asked_in_the_order_of_the_recipe(asked: Asked, result: luthier.Result) -> None:
    assert tuple(one.name for one in asked[2]) == ORDER
    places = [ORDER.index(record["of"]) for record in decisions(result.ledger, "answer")]
    assert places == sorted(places)


def test_dropout_is_tried_in_the_last_layer_first_from_a_quarter_on(asked: Asked) -> None:
    runner, now, _ = asked
    without = replace(now, member=replace(now.member, dropout=()))
    tried = {one.name: one.other.member.drop_rates for one in TableModality().questions(runner, without, {"sgd": 0.1})}
    assert tried["dropout, last layer"] == (*(0.0,) * (len(now.member.spec.hidden) - 1), 0.25)
    assert set(tried["dropout, all layers"]) == {0.25}


def test_used_is_what_the_adopted_setting_has(asked: Asked) -> None:
    _, now, known = asked
    by_name = {one.name: one for one in known}
    assert by_name["Adam"].used is (now.rule == "adam")
    assert by_name["Adam"].other.rule == "sgd"
    assert by_name["decay"].used is (now.member.schedule.kind != "constant")
    assert by_name["L2"].used is bool(now.member.l2 or now.member.weight_decay)
    for name in ("dropout, last layer", "clipping", "batch norm", "augmentation", "architecture"):
        one = by_name[name]
        again = next(
            back
            for back in TableModality().questions(asked[0], one.other, {"adam": 0.01, "sgd": 0.1})
            if back.name == name
        )
        assert again.used is not one.used, name


def test_every_variant_trains_in_all_folds(asked: Asked) -> None:
    runner, now, known = asked
    for number, setting in enumerate([now, *(one.other for one in known)]):
        trial = BagPlan("questions", share=0.1, kept=0, outputs=True)
        (bag,), _ = result_and_entries(train_bags(runner, f"try-{number}", [setting], trial))
        assert np.isfinite(bag.loss)
        assert bag.row_losses(runner.problem).mean() == pytest.approx(bag.loss, rel=1e-4)


def test_a_cut_leaves_the_answers_of_the_shapes_before_it(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each shape is asked on its first partitions, then the next one; the fourth population is cut."""
    runner, now, _ = asked
    names: list[str] = []

    def cut(runner: Runner, name: str, settings: Any, trial: BagPlan) -> Any:
        names.append(name)
        if len(names) == 4:
            return []
        return (yield from train_bags(runner, f"cut-{name}", settings, replace(trial, share=0.1)))

    def two(runner: Runner, shapes: Any) -> Any:
        yield from ()
        return shapes[:2]

    monkeypatch.setattr(confirming, "train_bags", cut)
    monkeypatch.setattr(confirming, "_affordable", two)
    _, entries = result_and_entries(confirming.confirm(runner, now, {"sgd": 0.1}))
    assert names == [f"questions-{n}-{place}" for place in (0, 1) for n in (0, 1)]
    found = [one.content["evidence"] for one in entries if one.kind == "decision"]
    partitions = [one["partitions"] for one in found]
    assert set(partitions) == {1, 2}
    assert all((one["low"] is None) is (one["partitions"] == 1) for one in found)


def test_an_interval_beyond_the_edge_has_an_arrow_there() -> None:
    rows = [IntervalRow("wide", 20.0, -250.0, 340.0, "grey"), IntervalRow("narrow", 1.0, -2.0, 4.0, "grey")]
    narrow, wide, arrows = draw_intervals(rows, "gain").data
    assert (narrow.error_x.arrayminus, narrow.error_x.array) == ((3.0,), (3.0,))
    assert (wide.error_x.arrayminus, wide.error_x.array) == ((120.0,), (80.0,))
    assert (arrows.x, arrows.y) == ((-100.0, 100.0), ("wide", "wide"))
    assert arrows.marker.symbol == ("triangle-left", "triangle-right")


def test_the_report_draws_effects_and_answers(result: luthier.Result) -> None:
    page = (result.path / "report.html").read_text()
    assert "What each factor does to the loss" in page
    assert "Questions about the adopted setting" in page
    evidence: Any = evidence_of(decisions(result.ledger, "experiment")[0])
    rows = effect_rows(evidence)
    assert [abs(row.middle) for row in rows] == sorted((abs(row.middle) for row in rows), reverse=True)
    assert all(row.low <= row.middle <= row.high for row in rows)

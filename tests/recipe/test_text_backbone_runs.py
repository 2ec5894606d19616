"""A sentence transformer in the recipe: its last blocks learn where that gains, and the model holds all of it."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import polars as pl
import pytest
import torch
from tests.sentence_folders import sentence_folder

import luthier
from luthier.bert import BertSizes
from luthier.errors import InputError
from luthier.exporting.to_onnx import export_onnx
from luthier.messages import speaking
from luthier.nets import TextBackboneSpec
from luthier.recipe import checklist, follows, in_lines
from luthier.recipe.decisions.backbone_use import Depth, UnfrozenEvidence
from luthier.recipe.planning.budget import Budget
from luthier.recipe.running.backbones import KnownTexts
from luthier.recipe.steps import transferring
from luthier.saved.bundle import read_bundle, write_bundle
from luthier.statistics.paired import Gain

STRANGE = ["", "👍👍 🎉", "x" * 1_000_000, "very good " * 100_000, None]


def table(rows: int = 220) -> pl.DataFrame:
    """Notes that are good where "good" stands before "bad"."""
    draw = np.random.default_rng(0)
    texts = [" ".join(draw.permutation(["good", "bad", "film", "a", "the", "very"])) for _ in range(rows)]
    first = [text.index("good") < text.index("bad") for text in texts]
    texts[5:10] = STRANGE  # type: ignore[list-item]
    return pl.DataFrame({"said": texts, "fine": ["yes" if one else "no" for one in first]})


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> luthier.Result:
    """A run whose folder of the sentence transformer is gone."""
    folder = sentence_folder(tmp_path_factory.mktemp("models") / "mine")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LUTHIER_CACHE", str(tmp_path_factory.mktemp("cache")))
        place = tmp_path_factory.mktemp("runs") / "run"
        result = luthier.fit(
            table(), target="fine", columns={"said": "text"}, backbone=folder, budget="600steps", run=place
        )
    assert result is not None
    shutil.rmtree(folder)
    return result


def test_what_was_measured_is_decided_and_follows_from_its_evidence(fitted: luthier.Result) -> None:
    decisions = {str(one["code"]): one for one in fitted.ledger if one["kind"] == "decision"}
    for code in ("text", "backbone", "backbone-end", "unfrozen-blocks"):
        assert follows(decisions[code]), code
    assert decisions["backbone"]["chosen"] == "mine, 6 tokens"
    counts = [one["unfrozen"] for one in decisions["unfrozen-blocks"]["evidence"]["depths"]]
    assert counts[:3] == [0, 1, 2]
    report = (fitted.path / "report.html").read_text(encoding="utf-8")
    assert "2 unfrozen" in report
    assert "those of the backbone" in report


def test_the_checklist_has_what_unfreezing_measured(fitted: luthier.Result) -> None:
    decision = next(one for one in fitted.ledger if one.get("code") == "unfrozen-blocks")
    chosen, losses = decision["choice"], {one["unfrozen"]: one["loss"] for one in decision["evidence"]["depths"]}
    ticked = next(one for one in checklist(fitted.ledger) if one.item.source == "S4-18")
    assert ticked.status == "done"
    assert ticked.said == f"{chosen} unfrozen: loss {losses[chosen]:.4f}, {losses[0]:.4f} by heads alone"
    assert ticked.said in (fitted.path / "report.html").read_text(encoding="utf-8")
    with speaking("zh"):
        assert f"解冻 {chosen} 块：损失" in "".join(in_lines(checklist(fitted.ledger)))


def record(depths: list[tuple[int, float, bool]], choice: int, *, heads_alone: bool = False) -> dict[str, Any]:
    """A decision on unfrozen blocks: their number, loss, and whether it clearly gains."""
    measured = [Depth(k, loss, 0.5, Gain(0.1, 0.01 if clear else 1.0, 9, clear)) for k, loss, clear in depths]
    return {"kind": "decision", "step": 4, "code": "unfrozen-blocks", "of": "", "choice": choice,
            "evidence": UnfrozenEvidence(tuple(measured), "", heads_alone).to_json()}  # fmt: skip


@pytest.mark.parametrize("medium", ["text", "pictures"])
@pytest.mark.parametrize(
    ("given", "status", "said"),
    [
        (record([(0, 0.5, False)], 0, heads_alone=True), "open", "the time allows heads alone"),
        (record([(0, 0.5, False), (1, 0.45, False), (2, 0.44, False)], 0), "tried, not kept",
         "2 unfrozen: loss 0.4400, 0.5000 by heads alone"),
        (record([(0, 0.5, False), (1, 0.4, True), (2, 0.39, False)], 1), "done",
         "1 unfrozen: loss 0.4000, 0.5000 by heads alone"),
    ],
)  # fmt: skip
def test_the_checklist_asks_about_unfreezing(medium: str, given: dict[str, Any], status: str, said: str) -> None:
    records = [{"kind": "plan", "plan": {"medium": medium}}, given]
    ticked = next(one for one in checklist(records) if one.item.source == "S4-18")
    assert (ticked.status, ticked.said) == (status, said)
    (table,) = (one for one in checklist() if one.item.source == "S4-18")
    assert table.status == "not for this data"


def test_the_model_is_whole(fitted: luthier.Result) -> None:
    model, frame = luthier.load(fitted.path), table()[:12]
    assert isinstance(model.nets[0].spec, TextBackboneSpec)
    expected = fitted.model.predict_proba(frame)
    np.testing.assert_array_equal(model.predict_proba(frame).to_numpy(), expected.to_numpy())
    assert len(model.explain_words(frame[:1])[0]) == 6


def test_a_repeated_run_unfreezes_as_far(fitted: luthier.Result, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LUTHIER_CACHE", str(tmp_path / "cache"))
        folder = sentence_folder(Path(str(fitted.folder.trained_facts()["asked"]["backbone"])))
        again = luthier.rerun(fitted.path / "recipe.toml", run=tmp_path / "again")
        shutil.rmtree(folder)
    first, second = (
        next(one["evidence"] for one in run.ledger if one.get("code") == "unfrozen-blocks") for run in (fitted, again)
    )
    assert first == second
    frame = table()[:12]
    assert again.model.predict_proba(frame).equals(fitted.model.predict_proba(frame))


def test_an_export_is_refused_in_words(fitted: luthier.Result, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a model of text cannot be exported"):
        export_onnx(fitted.model, tmp_path / "model.onnx", table())


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"columns": {"said": "text"}, "backbone": "resnet18"}, "'resnet18' is not a backbone for text"),
        ({"columns": {"said": "text", "more": "number"}, "backbone": "minilm"}, "learns from text alone"),
        ({"columns": {"said": "category"}, "backbone": "minilm"}, "works with pictures and text only"),
        ({"columns": {"said": "text"}, "backbone": "minilm", "text_model": "minilm"}, "exclude each other"),
    ],
)
def test_what_cannot_be_meant(given: dict[str, Any], words: str, tmp_path: Path) -> None:
    frame = table()
    if "more" in given["columns"]:
        frame = frame.with_columns(more=pl.int_range(frame.height))
    with pytest.raises(InputError, match=words):
        luthier.fit(frame, target="fine", budget="1steps", run=tmp_path / "run", **given)


@pytest.mark.parametrize(
    "forged",
    [
        {"length": 13},
        {"marks": [2, 13]},
        {"cut": "head", "width": 12},
        {"cut": "layers.0", "width": 11},
        {"pooling": "last"},
        {"sizes": {"positions": 4}},
        {"sizes": {"heads": 5}},
        {"sizes": {"layers": 3}},
    ],
)
def test_forged_networks_are_refused(fitted: luthier.Result, forged: dict[str, Any], tmp_path: Path) -> None:
    bundle = read_bundle(fitted.path / "model.luthier")
    (spec,) = bundle.model["specs"]
    changed = {**spec, **forged, "sizes": {**spec["sizes"], **forged.get("sizes", {})}}
    write_bundle(tmp_path / "model.luthier", replace(bundle, model={**bundle.model, "specs": [changed]}))
    with pytest.raises(InputError, match=r"does not (describe a model|hold what it should)"):
        luthier.load(tmp_path / "model.luthier")


class Told:
    """A runner of a budget, as `_epochs` asks it."""

    def __init__(self, seconds: float | None, steps: int | None = None) -> None:
        self.budget_clock = SimpleNamespace(budget=Budget(seconds, steps), spent=lambda: 0.0)
        self.plan, self.repeating = SimpleNamespace(finish_seconds=0.0), False


@pytest.mark.parametrize(
    ("seconds", "steps", "found"),
    [
        (1e6, None, (20, 4)),
        (50.0, None, (3, 4)),  # 20 s beside: 8 passes and range tests; of the rest 0.7, by 6 s an epoch
        (40.0, None, (7, 2)),
        (20.0, None, (9, 1)),
        (9.0, None, (0, 1)),
        (None, 6 * 5 * 10, (3, 4)),  # 10 batches an epoch, six trainings, 0.7 of the steps
        (None, 2 * 5 * 10, (3, 1)),
        (None, 10, (0, 1)),
    ],
)
def test_fewer_blocks_learn_where_time_is_short(
    seconds: float | None, steps: int | None, found: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Six layers, 320 rows, a second a pass of all."""
    monkeypatch.setattr(transferring, "seconds_of_pass", lambda net, rows, count: 1.0)
    sizes = BertSizes(tokens=9, width=4, layers=6, heads=1, inner=4, positions=9)
    known = KnownTexts(cast(Any, SimpleNamespace(data=SimpleNamespace(training=range(320)))))
    vars(known)["spec"] = TextBackboneSpec("mine", sizes, "mean", (2, 3), 7, 1)
    runner = cast(Any, Told(seconds, steps))
    assert transferring._epochs(runner, known, torch.nn.Identity(), torch.zeros(320, 7)) == found


def test_a_depth_that_would_not_end_in_time_is_not_begun() -> None:
    """Of a hundred seconds ten are kept for the end. The second depth ends at 80 s: a third would take 25 s again."""
    now = [0.0]
    clock = SimpleNamespace(spent=lambda: now[0], left=lambda: 100.0 - now[0])
    runner = cast(Any, SimpleNamespace(budget_clock=clock, plan=SimpleNamespace(finish_seconds=10.0)))
    enough, asked = transferring._enough(runner), []
    for now[0] in (30.0, 55.0, 80.0):
        asked.append(enough())
    assert asked == [False, False, True]

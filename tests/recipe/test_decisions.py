"""Decisions are data: a choice follows from stored evidence alone, and words are made from both when somebody reads."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import luthier
from luthier import storage
from luthier.data import Facts, read_source
from luthier.data.typed_columns.task import PositiveFacts
from luthier.errors import InputError
from luthier.kinds import TargetFacts
from luthier.messages import Message, language, speaking
from luthier.recipe import checklist, follows, read_ledger, wording_of
from luthier.recipe.decisions import EVIDENCE, evidence_of
from luthier.recipe.decisions.backbone_use import (
    AveragesEvidence,
    BackboneEvidence,
    CutHead,
    Depth,
    EndEvidence,
    UnfrozenEvidence,
)
from luthier.recipe.decisions.baselines_ready import BaselineScore, BaselinesEvidence
from luthier.recipe.decisions.calibrating import CalibrationEvidence, PredictionEvidence, Threshold, ThresholdEvidence
from luthier.recipe.decisions.column_type import ColumnEvidence
from luthier.recipe.decisions.data_need import LossLaw, MoreRowsEvidence
from luthier.recipe.decisions.decision import Evidence, decided
from luthier.recipe.decisions.delivered import DeliverableEvidence, DistilledEvidence, Offered, SeedsEvidence
from luthier.recipe.decisions.experiment import (
    BagsEvidence,
    Effect,
    EnsembleSize,
    ExperimentEvidence,
    FirstSettingEvidence,
    Tried,
)
from luthier.recipe.decisions.gates import FittedEvidence, GapEvidence
from luthier.recipe.decisions.input_encoding import EncodingLosses, InputsEvidence
from luthier.recipe.decisions.interval_choice import IntervalEvidence
from luthier.recipe.decisions.learning_rate import RateEvidence, ShortRun
from luthier.recipe.decisions.loss_choice import LossEvidence
from luthier.recipe.decisions.machinery_checks import GradientsEvidence, OverfitEvidence, StartEvidence
from luthier.recipe.decisions.quantile_choice import QuantileEvidence
from luthier.recipe.decisions.question_answers import AnswerEvidence
from luthier.recipe.decisions.remedy import NoRemedyEvidence, RemedyEvidence, StandingLosses, Variant
from luthier.recipe.decisions.row_parts import SplitEvidence, TextEvidence
from luthier.recipe.decisions.starting_network import (
    ConvnetEvidence,
    MixedNetworkEvidence,
    TextNetworkEvidence,
    WidthEvidence,
)
from luthier.recipe.decisions.target_task import PositiveEvidence, TaskEvidence
from luthier.recipe.planning.ledger import Ledger
from luthier.records import Entry, Wording, noted
from luthier.report import ledger_lines, model_card, write_report
from luthier.runs.screen import SilentScreen
from luthier.statistics.paired import Gain

CLEAR, NOISE, LOSS = Gain(0.2, 0.1, 40, clear=True), Gain(0.1, 0.2, 40, clear=False), Gain(-0.3, 0.1, 40, clear=True)
FACTS = Facts("cut", "text", 100, 0, 5, first="fair")
SPLIT = SplitEvidence(60, 20, 20, 0, "time", ("2020-01-01", "2021-01-01"), (0, 3), notes=("a note of the data",))
REMEDY = RemedyEvidence(
    "L2", (Variant("a", 0.5, 0.4, 0.1, NOISE), Variant("b", 0.4, 0.3, 0.1, CLEAR)), StandingLosses(0.6, 0.5)
)
OPTIONS = (Offered("one", 0.3, NOISE, (("a", 1.0),)), Offered("folds", 0.31, NOISE, (("a", 0.5), ("b", 0.5))))
LAW = MoreRowsEvidence((50, 100), ((0.5, None), (0.4, 0.4)), LossLaw(0.1, 2.0, 0.5), 0.4, 2.0, 0.1, 0.05, 0.2)
RUNS = (ShortRun(0.5, 0.05, 0.4), ShortRun(1.0, 0.1, 0.3), ShortRun(2.0, 0.2, None))
DEPTHS = (Depth(0, 0.5, 0.8), Depth(1, 0.3, 0.9, CLEAR), Depth(2, 0.31, 0.9, NOISE, whole=True))

# Evidence, what follows from it, other evidence that another choice follows from (None: nothing was weighed there).
EXPERIMENT = ExperimentEvidence(
    step=4,
    shapes=8,
    settings=64,
    networks=320,
    folds=5,
    diverged=2,
    first=0.5,
    effects=(Effect("rate", -0.1, 0.02), Effect("averaging", 0.01, 0.02)),
    tried=(Tried("wide", 0.41, 0.45), Tried("deep", 0.42, 0.42)),
    reference="the first architecture, SGD",
    reference_loss=0.6,
)
OF_TWO_TARGETS = replace(
    EXPERIMENT,
    tried=(
        Tried("wide", 0.41, 0.41, 0.65, -0.01, of_targets=(0.7, 0.6)),
        Tried("deep", 0.42, 0.42, 0.6, 0.0, of_targets=(0.9, 0.3)),
    ),
    targets=("price", "sold"),
    target_metrics=("mae", "auc"),
)
BAGS = BagsEvidence(
    (EnsembleSize(1, 0.5, 0.02, 0.7), EnsembleSize(2, 0.481, 0.004, 0.8), EnsembleSize(3, 0.48, 0.0, 0.9)), 40, 5
)
CASES: list[tuple[Evidence[Any], Any, Evidence[Any] | None]] = [
    (ColumnEvidence("cut", FACTS), "category", ColumnEvidence("cut", replace(FACTS, distinct=1))),
    (ColumnEvidence("cut", asked="identifier", said="you said so"), "identifier", None),
    (
        TaskEvidence(TargetFacts(False, False, 3), read="'NA' is a class"),
        "multiclass",
        TaskEvidence(TargetFacts(True, True, 99)),
    ),
    (
        PositiveEvidence(PositiveFacts(("a", "b"), (0.1, 0.9))),
        "a",
        PositiveEvidence(PositiveFacts(("a", "b"), (0.9, 0.1))),
    ),
    (SPLIT, [60, 20, 20], replace(SPLIT, training=1)),
    (TextEvidence("t", 500, 40, 30, 0.02, 0.001), [500, 40, 30], TextEvidence("t", 500, 7, 30, 0.02, 0.001)),
    (TextEvidence("t", 90, 0, 8, 0.0, 0.1, known=True), [90, 0, 8], TextEvidence("t", 90, 0, 9, 0.0, 0.1, known=True)),
    (LossEvidence("regression", log_scale=True), "mse", LossEvidence("binary", 2)),
    (
        BaselinesEvidence("auc", (BaselineScore("trees", 0.9, 0.8, 0.95),), ("SVM",), ("SVM",), few=True),
        ["trees"],
        BaselinesEvidence("auc", ()),
    ),
    (WidthEvidence(64, 10, 1078), 37, WidthEvidence(64, 10, 10**6)),
    (ConvnetEvidence(28, 28), [16, 32, 64], ConvnetEvidence(64, 64)),
    (TextNetworkEvidence(32), "bag", None),
    (MixedNetworkEvidence(28, 28, 2, 0, 0, 64), [16, 32, 64], MixedNetworkEvidence(64, 64, 2, 0, 0, 64)),
    (
        InputsEvidence((EncodingLosses("standardise", (0.5, 0.6)), EncodingLosses("quantile", (0.4, 0.5))), (0.001,)),
        "quantile",
        InputsEvidence((EncodingLosses("standardise", (0.5, 0.6)), EncodingLosses("quantile", (0.7, 0.5)))),
    ),
    (InputsEvidence(why="no numbers"), "standardise", None),
    (InputsEvidence(why="no time"), "standardise", None),
    (InputsEvidence(given="pixels", why="pictures"), "pixels", None),
    (StartEvidence(2.3, 0.1, 5, 2.303, 0.1), True, StartEvidence(9.0, 0.1, 5, 2.303, 0.1)),
    (OverfitEvidence(0.001, 2.3, 32, 400, 0.1), True, OverfitEvidence(None, 2.3, 32, 400, 0.1)),
    (GradientsEvidence(1e-9, 40, 8, 1e-5), True, GradientsEvidence(0.1, 40, 8, 1e-5)),
    (RateEvidence("sgd", 0.1, 5, RUNS, {"steepest": 0.2}), 0.1, RateEvidence("sgd", 0.1, 5, RUNS[:1])),
    (RateEvidence("adam", 0.1, 5, RUNS[2:]), 0.2, None),
    (REMEDY, 1, replace(REMEDY, variants=(replace(REMEDY.variants[1], gain=NOISE),))),
    (replace(REMEDY, variants=REMEDY.variants[:1]), None, REMEDY),
    (replace(REMEDY, before=None, variants=(Variant("a", 0.5, None),)), 0, None),
    (NoRemedyEvidence(), None, None),
    (FittedEvidence(0.2, 0.3), True, FittedEvidence(0.4, 0.3)),
    (GapEvidence(0.2, 0.3, 0.01, 2.0), False, GapEvidence(0.29, 0.3, 0.01, 2.0)),
    (LAW, True, replace(LAW, low=0.001)),
    (BackboneEvidence("resnet18", 64, "weights.pth"), "resnet18", BackboneEvidence("resnet34", 64)),
    (BackboneEvidence("minilm", tokens=51), "minilm", BackboneEvidence("mine", tokens=51)),
    (
        EndEvidence((CutHead("layer2", 0.4, 0.9, CLEAR), CutHead("layer3", 0.5, 0.8, CLEAR))),
        "layer2",
        EndEvidence((CutHead("layer2", 0.4, 0.9, NOISE),)),
    ),
    (AveragesEvidence(CLEAR), True, AveragesEvidence(LOSS)),
    (UnfrozenEvidence(DEPTHS, "few rows", heads_alone=True), 1, UnfrozenEvidence(DEPTHS[:1], "few rows")),
    (SeedsEvidence((0.2, None, 0.4)), pytest.approx(0.3), SeedsEvidence((None,))),
    (
        DeliverableEvidence(OPTIONS, allowed=0.02, undefined="auc"),
        "folds",
        DeliverableEvidence(OPTIONS, allowed=0.005),
    ),
    (
        DeliverableEvidence(tuple(replace(one, value=1 - one.loss) for one in OPTIONS), "f1", True),
        "one",
        DeliverableEvidence(tuple(replace(one, value=one.loss) for one in OPTIONS), "f1", True, allowed=0.0),
    ),
    (FirstSettingEvidence("64x64, robust", 400, 5, 2), "64x64, robust", FirstSettingEvidence("linear", 400, 5, 2)),
    (EXPERIMENT, 1, replace(EXPERIMENT, tried=EXPERIMENT.tried[::-1])),
    (
        OF_TWO_TARGETS,
        1,
        replace(OF_TWO_TARGETS, tried=(replace(OF_TWO_TARGETS.tried[0], at_most=0.01), OF_TWO_TARGETS.tried[1])),
    ),
    (
        AnswerEvidence("L2", True, "", 0.03, 0.01, 0.05, 2, 0.03),
        "helps",
        AnswerEvidence("L2", True, "", 0.03, -0.01, 0.07, 2, 0.03),
    ),
    (
        AnswerEvidence("sharing: price", True, "", -0.04, -0.06, -0.02, 2, 0.03),
        "hurts",
        AnswerEvidence("sharing: price", True, "", 0.04, 0.02, 0.06, 2, 0.03),
    ),
    (AnswerEvidence("augmentation", False, "noise", 0.0, -0.02, 0.02, 2, 0.03), "no-difference", None),
    (BAGS, 2, replace(BAGS, allowed=2.0)),
    (replace(BAGS, metric="auc", larger_is_better=True), 3, replace(BAGS, metric="auc")),
    (DistilledEvidence(0.4, 0.3, "seeds", 5, 0.32), "distilled", None),
    (CalibrationEvidence("temperature", 1.2, out_of_fold=True), 1.2, CalibrationEvidence("temperature", 3.25, True)),
    (CalibrationEvidence("interval", 0.4, out_of_fold=False), 0.4, None),
    (IntervalEvidence(2.5, 2.2, 900, out_of_fold=True), True, IntervalEvidence(2.2, 2.5, 900, out_of_fold=False)),
    (
        QuantileEvidence((0.1, 0.9), 0.3, 0.2, out_of_fold=True),
        True,
        QuantileEvidence((0.1, 0.9), 0.3, None, out_of_fold=False),
    ),
    (
        ThresholdEvidence("yes", (Threshold(0.5, 0.4), Threshold(0.2, 0.3)), "1:5", 0.17),
        0.2,
        ThresholdEvidence("yes", (Threshold(0.5, 0.4), Threshold(0.2, 0.5)), "1:5", 0.17),
    ),
    (ThresholdEvidence("yes", (Threshold(0.5, -0.4),), metric="f1"), 0.5, None),
    (PredictionEvidence("mae", "median", 3.0, 2.5), "median", PredictionEvidence("mape", "q0.9", None, 2.5)),
]


def stored(evidence: Evidence[Any], step: int = 3) -> dict[str, Any]:
    """A decision as it comes back from the file."""
    record = {"kind": "decision", "step": step, "code": evidence.code, "of": evidence.of}
    return json.loads(storage.json_text({**record, "choice": evidence.decide(), "evidence": evidence.to_json()}))  # type: ignore[no-any-return]


def names(cases: list[Any]) -> list[str]:
    return [f"{case[0].code}-{place}" for place, case in enumerate(cases)]


def test_every_kind_of_decision_has_a_case() -> None:
    assert {case[0].code for case in CASES} == set(EVIDENCE)


@pytest.mark.parametrize(("evidence", "choice", "other"), CASES, ids=names(CASES))
def test_a_choice_follows_from_stored_evidence_and_from_nothing_else(
    evidence: Evidence[Any], choice: Any, other: Evidence[Any] | None
) -> None:
    record = stored(evidence)
    assert evidence_of(record) == evidence
    assert record["choice"] == choice
    assert follows(record)
    if other is not None:
        assert stored(other)["choice"] != record["choice"]
        assert not follows({**record, "evidence": stored(other)["evidence"]})


@pytest.mark.parametrize(("evidence", "choice", "other"), CASES, ids=names(CASES))
def test_words_are_made_in_each_language(evidence: Evidence[Any], choice: Any, other: Any) -> None:
    record = stored(evidence)
    english, chinese = wording_of(record), wording_of(record, "zh")
    assert not re.search(r"[\u4e00-\u9fff]|because|[{}]", english.sentence())
    assert re.search(r"[\u4e00-\u9fff]", chinese.topic + chinese.reason)
    assert not re.search(r"[{}]", chinese.sentence())
    assert len(english.options) == len(chinese.options)
    assert english == wording_of(record, "en")


def test_the_name_of_a_setting_that_was_tried_is_said_in_the_language_of_who_reads() -> None:
    """Messages within a part of the evidence are kept, and come back as such."""
    label = Message("{width}, {batch}", width="64x64", batch=Message("batches of {size}", size=32))
    evidence = ExperimentEvidence(3, 1, 1, 5, 5, 0, None, (), (Tried(label, 0.5, 0.5),), reference=label)
    record = json.loads(json.dumps(stored(evidence)))
    assert evidence_of(record) == evidence
    words = wording_of(record, "zh")
    assert words.chosen == words.options[0].name == "64x64, 批大小 32"
    assert "批大小 32 为" in words.reason
    assert wording_of(record).chosen == "64x64, batches of 32"


def test_the_option_that_was_taken_is_marked() -> None:
    for evidence, _, _ in CASES:
        options = wording_of(stored(evidence)).options
        if evidence.code in ("remedy", "deliverable", "threshold", "inputs", "backbone-end") and options:
            assert sum(option.taken for option in options) == 1, evidence


def write(path: Path, records: list[dict[str, Any]]) -> None:
    path.write_text("".join(storage.json_text(record) + "\n" for record in records))


def test_a_better_wording_does_not_stop_a_run(tmp_path: Path) -> None:
    """What was decided is compared, not how it is said; evidence that leads to the same choice is the same decision."""
    note = {"kind": "note", "step": 0, "sentence": "as it was said before"}
    finding = {"kind": "finding", "step": 3, "code": "x", "severity": "note", "sentence": "old", "remedy": "old"}
    write(tmp_path / "ledger", [note, stored(LossEvidence("binary", 2), 1), finding, stored(REMEDY)])
    ledger = Ledger.resume(tmp_path / "ledger")
    ledger.add(noted(0, "said better"))
    assert ledger.write(decided(1, LossEvidence("binary", 2))) == "binary"
    ledger.add(Entry("finding", {**finding, "sentence": "better", "remedy": "better"}))
    better = replace(REMEDY, variants=tuple(replace(one, label=f"better {one.label}") for one in REMEDY.variants))
    assert ledger.write(decided(3, better)) == 1
    assert len((tmp_path / "ledger").read_text().splitlines()) == 4


def test_another_choice_does(tmp_path: Path) -> None:
    write(tmp_path / "ledger", [stored(REMEDY)])
    with pytest.raises(InputError, match="would not repeat its earlier decisions"):
        Ledger.resume(tmp_path / "ledger").write(decided(3, replace(REMEDY, variants=REMEDY.variants[:1])))
    with pytest.raises(InputError, match="would not repeat its earlier decisions"):
        Ledger.resume(tmp_path / "ledger").write(decided(4, REMEDY))


@pytest.mark.parametrize(
    "change",
    [
        {"evidence": {"task": "poetry"}},
        {"evidence": {}},
        {"code": "no-such-decision"},
        {"evidence": {"task": "binary", "classes": "many"}},
        {"choice": {"a": [1]}, "of": 7},
    ],
)
def test_evidence_that_is_not_what_its_code_asks_for_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    write(tmp_path / "ledger", [{**stored(LossEvidence("binary", 2)), **change}])
    with pytest.raises(InputError, match="line 1"):
        read_ledger(tmp_path / "ledger")


@pytest.mark.parametrize(("evidence", "choice", "other"), CASES, ids=names(CASES))
def test_a_choice_that_cannot_be_is_an_error_of_ours(evidence: Evidence[Any], choice: Any, other: Any) -> None:
    for forged in ("\n", 10**9, None, [[], {}]):
        with suppress(InputError):
            wording_of({**stored(evidence), "choice": forged}).sentence()


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run as an earlier version left it: decisions as sentences, format 1."""
    folder = tmp_path_factory.mktemp("runs") / "earlier"
    run = luthier.fit("wine", budget="400steps", run=folder, screen=SilentScreen())
    assert run is not None
    records = [as_before(record) if record["kind"] == "decision" else record for record in run.ledger]
    records = [record for record in records if record.get("topic") not in DESIGNED]
    place = next(k for k, record in enumerate(records) if str(record.get("topic")).startswith("gate"))
    records.insert(place, CLIMBED)
    write(folder / "ledger.jsonl", records)
    facts = json.loads((folder / "run.json").read_text())
    facts["versions"]["luthier"] = "0.0.7"
    (folder / "run.json").write_text(json.dumps({**facts, "format": 1}))
    return folder


DESIGNED = ("first setting", "setting adopted in step 3", "setting adopted in step 4")  # tables climbed ladders
CLIMBED = {
    "kind": "decision",
    "step": 3,
    "topic": "Adam",
    "chosen": "Adam, rate 0.01",
    "reason": "gain +0.1000 ± 0.0200, clear of the noise",
    "override": "",
    "options": [
        {"name": "not adopted", "evidence": {"loss": 0.5, "training": 0.4}},
        {
            "name": "Adam, rate 0.01",
            "evidence": {
                "loss": 0.4,
                "training": 0.3,
                "gain": {"gain": 0.1, "half_width": 0.02, "pairs": 60, "clear": True},
            },
        },
    ],
    "evidence": {"rung": "Adam", "measured": "validation loss"},
}


def as_before(record: dict[str, Any]) -> dict[str, Any]:
    words = {name: record[name] for name in ("topic", "chosen", "reason", "override")}
    options = [{"name": one["name"], "evidence": {}} for one in record["options"]]
    return {
        "kind": "decision",
        "step": record["step"],
        **words,
        "options": options,
        "evidence": record["evidence"],
    }


def test_a_run_of_an_earlier_version_is_shown_and_compared(earlier: Path) -> None:
    frame = read_source("wine").frame[:3]
    assert luthier.load(earlier).predict(frame).len() == 3
    assert luthier.check(earlier, "wine")["lines"]
    records = read_ledger(earlier / "ledger.jsonl")
    assert {record["code"] for record in records if record["kind"] == "decision"} <= set(EVIDENCE)
    lines = ledger_lines(earlier)
    assert any("softmax cross-entropy; the target has 3 classes" in line for line in lines)
    assert not any("does not follow" in line for line in lines)
    page = write_report(earlier).read_text()
    assert "The remedies, one per row" in page
    assert "softmax cross-entropy" in model_card(earlier) or "first architecture" in model_card(earlier)
    assert luthier.compare([earlier, earlier]).rows > 0
    done = {one.item.source for one in checklist(records) if one.status != "open"}
    assert {"S4-03", "S4-05, S4-06", "S4-11", "S2-07", "S4-09, S4-10"} <= done


def test_a_run_of_an_earlier_version_is_not_continued(earlier: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"made by Luthier 0\.0\.7"):
        luthier.branch(earlier, 4, again=True, run=tmp_path / "back", screen=SilentScreen())
    assert luthier.resume(earlier, screen=SilentScreen()).scores  # it is finished
    facts = json.loads((earlier / "run.json").read_text())
    (earlier / "run.json").write_text(json.dumps({**facts, "status": "cut"}))
    try:
        with pytest.raises(InputError, match=r"made by Luthier 0\.0\.7"):
            luthier.resume(earlier, screen=SilentScreen())
    finally:
        (earlier / "run.json").write_text(json.dumps(facts))


@pytest.mark.parametrize(("lang", "renderings"), [("en", 1), ("zh", 2)])
def test_a_decision_is_put_into_words_once_a_language(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lang: str, renderings: int
) -> None:
    """Its words in the file are English; who listens has those of the language that is spoken, and makes none."""
    rendered, heard = list[str](), list[dict[str, Any]]()
    really = type(REMEDY).render

    def render(evidence: RemedyEvidence, choice: int | None) -> Wording:
        rendered.append(language())
        return really(evidence, choice)

    monkeypatch.setattr(type(REMEDY), "render", render)
    with speaking(lang):
        Ledger(tmp_path / "ledger", listen=heard.append).write(decided(3, REMEDY))
        assert len(rendered) == renderings
        (stored,) = read_ledger(tmp_path / "ledger")
        assert heard[0]["reason"] == wording_of(stored).reason
    with speaking("en"):
        assert stored["reason"] == wording_of(stored).reason

"""Checks of learning curves: against their own noise, which parts of the validation rows tell."""

from __future__ import annotations

import numpy as np

from luthier.diagnosis.checks.base import Check
from luthier.diagnosis.checks.trace import Evaluated, Trace, difference
from luthier.messages import Message, joined
from luthier.records import JsonObject

FEWEST = 6  # evaluations below which a curve says nothing
SURE = 3.0  # standard errors
RISEN = 0.15  # of the lowest validation loss
SHARP_GAP = 0.10  # of the rows: the documents' overfitting run has 0.18, their sound one 0.025 (S1-79, S1-84)
BY_HEART, COSTLY = 0.01, 0.1  # of the validation loss, and of the loss of a constant prediction
FLAT = 0.01  # of the loss of a constant prediction, over the last third
HIGH = 0.7  # of the loss of a constant prediction: what a stalled network is stuck at
USELESS = 0.97
FALLING = 0.05  # of the loss, over the last fifth
Found = tuple[str, JsonObject] | None


def _known(trace: Trace) -> list[Evaluated]:
    return [e for e in trace.evaluations if e.validation is not None and np.isfinite(e.validation)]


def onsets(trace: Trace) -> dict[str, int | None]:
    """Where overfitting begins, by both signals: the step of the lowest validation loss, and of the
    best validation score (None for regressions)."""
    known = _known(trace)
    scored = [e for e in known if e.validation_score is not None]
    lowest = min(known, key=lambda e: e.validation or 0.0, default=None)
    best = max(scored, key=lambda e: e.validation_score or 0.0, default=None)
    return {"by loss": lowest.step if lowest else None, "by score": best.step if best else None}


def _overfitting(trace: Trace) -> Found:
    known = _known(trace)
    lowest = trace.best
    if len(known) < FEWEST or lowest is None:
        return None
    last = known[-1]
    rise, error = difference(last, lowest)
    fell = last.training < lowest.training
    if not fell or rise <= SURE * error or rise <= RISEN * abs(lowest.validation or 0.0) or rise <= 0:
        return None
    result = onsets(trace)
    sentence = Message(
        "since step {step} the validation loss rose from {lowest:.3g} to {last:.3g} while the training loss fell to "
        "{training:.3g}",
        step=result["by loss"],
        lowest=lowest.validation,
        last=last.validation,
        training=last.training,
    )
    if result["by score"] is not None:
        sentence = joined([sentence, Message("by the score it starts at step {step}", step=result["by score"])])
    evidence = {"rise": rise, "noise": error, "onset by loss": result["by loss"], "onset by score": result["by score"]}
    return sentence, evidence


def _memorising(trace: Trace) -> Found:
    known = _known(trace)
    if not known:
        return None
    last = known[-1]
    if last.validation_score is None:
        return _memorised_values(trace, last)
    if last.training_score is None:
        return None
    gap = last.training_score - last.validation_score
    noise = (last.validation_score * (1 - last.validation_score) / max(1, last.validation_rows)) ** 0.5
    if last.training_score < 0.999 or gap - 2 * noise <= SHARP_GAP:
        return None
    sentence = Message(
        "{training_score:.1%} of the training rows are predicted right, but {validation_score:.1%} "
        "of the validation rows",
        training_score=last.training_score,
        validation_score=last.validation_score,
    )
    return sentence, {"training": last.training_score, "validation": last.validation_score, "threshold": SHARP_GAP}


def _memorised_values(trace: Trace, last: Evaluated) -> Found:
    """A regression's rows are memorised when their loss is a hundredth of that of new ones, and new ones cost."""
    validation, trivial = last.validation or 0.0, trace.trivial or np.inf
    if last.training > BY_HEART * validation or validation <= COSTLY * trivial:
        return None
    sentence = Message(
        "the training loss is almost zero ({training:.2g}), the validation loss is not ({validation:.2g})",
        training=last.training,
        validation=validation,
    )
    return sentence, {"training": last.training, "validation": validation, "threshold": BY_HEART}


def _late(trace: Trace, share: float) -> list[Evaluated]:
    known = [e for e in trace.evaluations if np.isfinite(e.training)]
    since = known[-1].step * (1 - share) if known else 0
    return [e for e in known if e.step >= since]


def _is_flat(trace: Trace) -> bool:
    """Whether neither curve moved over the last third by more than a hundredth of the loss of a constant prediction."""
    late, scale = _late(trace, 1 / 3), trace.trivial or 0.0
    if len(trace.evaluations) < FEWEST or len(late) < 3 or not scale:
        return False
    training = [e.training for e in late]
    moved = max(training) - min(training)
    validation = [e.validation for e in late if e.validation is not None]
    if validation:
        moved = max(moved, max(validation) - min(validation))
    return moved <= FLAT * scale


def _plateau(trace: Trace) -> Found:
    late = _late(trace, 1 / 3)
    if len(trace.evaluations) < FEWEST or len(late) < 3 or trace.trivial is None:
        return None
    middle = [e.training for e in _late(trace, 2 / 3) if e not in late]
    now, before = float(np.mean([e.training for e in late])), float(np.mean(middle)) if middle else np.inf
    if now <= HIGH * trace.trivial or before - now > FLAT * trace.trivial:
        return None
    sentence = Message(
        "the training loss has stayed at {now:.3g} since step {step}; a constant prediction has {trivial:.3g}",
        now=now,
        step=late[0].step,
        trivial=trace.trivial,
    )
    return sentence, {"loss": now, "before": before, "trivial": trace.trivial, "since": late[0].step}


def _both_saturate(trace: Trace) -> Found:
    late, known = _late(trace, 1 / 3), _known(trace)
    if not _is_flat(trace) or trace.trivial is None or not known or late[-1].training > HIGH * trace.trivial:
        return None
    gap = (known[-1].validation or 0.0) - known[-1].training
    if gap > 0.5 * abs(known[-1].validation or 0.0):
        return None
    sentence = Message(
        "both curves have been flat since step {step}, and their gap of {gap:.3g} does not grow: "
        "this is not overfitting",
        step=late[0].step,
        gap=gap,
    )
    return sentence, {"gap": gap, "since": late[0].step}


def _still_improving(trace: Trace) -> Found:
    known, best = _known(trace), trace.best
    if len(known) < FEWEST or best is None or best is not known[-1]:
        return None
    before = next((e for e in reversed(known) if e.step <= 0.8 * best.step), known[0])
    fell, error = difference(before, best)
    if fell <= SURE * error or fell <= FALLING * abs(before.validation or 0.0):
        return None
    sentence = Message(
        "the validation loss was still falling in the last fifth of training, from {validation:.3g} to {lowest:.3g}",
        validation=before.validation,
        lowest=best.validation,
    )
    return sentence, {"fell": fell, "noise": error, "from step": before.step}


def _underfitting(trace: Trace) -> Found:
    late = _late(trace, 1 / 3)
    if len(trace.evaluations) < FEWEST or trace.trivial is None or not late:
        return None
    lowest = min(e.training for e in trace.evaluations)
    if lowest <= USELESS * trace.trivial:
        return None
    sentence = Message(
        "the training loss never fell below {lowest:.3g}; a constant prediction has {trivial:.3g}",
        lowest=lowest,
        trivial=trace.trivial,
    )
    return sentence, {"lowest": lowest, "trivial": trace.trivial, "threshold": USELESS}


def gap_gate(trace: Trace) -> JsonObject | None:
    """The gate of step 4: whether validation and training loss differ by more than the noise of both."""
    best = trace.best
    if best is None or best.validation is None:
        return None
    noise = float(np.hypot(best.noise, _spread(best.training_parts)))
    gap = best.validation - best.training
    return {
        "training": best.training,
        "validation": best.validation,
        "gap": gap,
        "noise": noise,
        "closed": bool(gap <= 2 * noise),
    }


def _spread(parts: tuple[float, ...]) -> float:
    return float(np.std(parts, ddof=1) / np.sqrt(len(parts))) if len(parts) > 1 else 0.0


CURVES = (
    Check(
        "underfitting",
        "warning",
        "the training set is not fitted: the loss is that of a constant prediction",
        Message("training loss above {share:.0%} of the loss of a constant prediction", share=USELESS),
        "S4-21, S2-10",
        "work through step 3: learning rate, Adam, decay, restarts, then more units and layers",
        _underfitting,
    ),
    Check(
        "plateau",
        "warning",
        "the loss has stopped falling at a high value",
        Message(
            "the last third less than {flat:.0%} below the one before, loss above {high:.0%} of that of a constant "
            "prediction",
            flat=FLAT,
            high=HIGH,
        ),
        "S1-40, S1-82",
        "another learning rate or Adam; check for saturated or dead units",
        _plateau,
    ),
    Check(
        "overfitting",
        "warning",
        "the validation loss rises while the training loss falls",
        Message(
            "a rise of {risen:.0%} and of {sure:g} standard errors over subsets of the rows", risen=RISEN, sure=SURE
        ),
        "S1-78, S1-80, S2-10",
        "keep the weights with the lowest validation loss; then dropout, L2, more rows",
        _overfitting,
    ),
    Check(
        "memorising",
        "warning",
        "training rows are memorised",
        Message(
            "classes: 99.9 % right, {gap:.0%} more than in validation, beyond two standard errors; "
            "numbers: a training loss of {share:g} of the validation loss",
            gap=SHARP_GAP,
            share=BY_HEART,
        ),
        "S1-79, S1-84",
        "more rows, augmentation, dropout, L2, or a smaller network",
        _memorising,
    ),
    Check(
        "still-improving",
        "note",
        "training stopped too early",
        Message(
            "the last loss is the lowest, {falling:.0%} and {sure:g} standard errors below the start of the last fifth",
            falling=FALLING,
            sure=SURE,
        ),
        "S1-82",
        "train longer",
        _still_improving,
    ),
    Check(
        "both-saturate",
        "note",
        "both curves are flat: stop training; this is not overfitting",
        Message("less than {flat:.0%} of change in the last third, a gap of at most half the loss", flat=FLAT),
        "S1-83",
        "stop here; longer training will not help",
        _both_saturate,
    ),
)

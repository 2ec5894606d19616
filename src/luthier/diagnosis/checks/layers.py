"""Checks of activations, gradients and updates."""

from __future__ import annotations

from typing import Any

import numpy as np

from luthier.diagnosis.checks.base import Check
from luthier.diagnosis.checks.trace import Trace, WeightsSeen
from luthier.messages import Message
from luthier.records import JsonObject

SATURATED = 0.5  # of a layer's values: a tanh layer drawn from N(0, 1) has 0.9 (S2-02), a Xavier one none (S2-04)
DEAD = (
    0.5  # of a layer's units; CS231n's notes report 0.4 for rates that are too high, small sound layers reach that too
)
DEAD_ROWS = 80  # over so few rows a unit may be silent by chance
VANISHED = 1e-3  # five sigmoid layers, each passing on at most a quarter
EXPLODED = 1e3
JUMP = 100.0  # times the largest gradient of the steps before it
JUMP_AFTER = 10
GROWN = 1e3  # of the activations' spread over the layers; N(0, 1) weights give 5e10 in ten layers (S2-02)
FADED = 1e-3  # N(0, 0.01) weights give 1e-6 in ten layers (S2-01)
FAST, SLOW = 0.3, 1e-5  # of the weights' length in one step; a thousandth is the rule of thumb (CS231n)
WRONG_SATURATED = 0.2
WAITING, LONG_WAIT = 0.2, 1e-3  # of the time, and seconds a step: shorter ones are the loop itself
Found = tuple[str, JsonObject] | None


def _saturated(trace: Trace) -> Found:
    rows = [row for row in trace.last(trace.layers) if row.saturated is not None]
    hidden = rows[:-1] if rows and trace.layers[-1] == rows[-1] else rows
    worst = max(hidden, key=lambda row: row.saturated or 0.0, default=None)
    if worst is None or (worst.saturated or 0.0) <= SATURATED:
        return None
    sentence = Message(
        "{saturated:.0%} of the values of `{layer}` are saturated ({kind})",
        saturated=worst.saturated,
        layer=worst.layer,
        kind=worst.kind,
    )
    return sentence, {"layer": worst.layer, "share": worst.saturated, "threshold": SATURATED, "step": worst.step}


def _saturated_outputs(trace: Trace) -> Found:
    if trace.wrong_saturated is None or trace.wrong_saturated <= WRONG_SATURATED:
        return None
    sentence = Message(
        "{wrong_saturated:.0%} of the outputs are saturated at the wrong value, where the gradient "
        "of the quadratic cost is nearly zero",
        wrong_saturated=trace.wrong_saturated,
    )
    return sentence, {"share": trace.wrong_saturated, "threshold": WRONG_SATURATED}


def _dead(trace: Trace) -> Found:
    rows = [row for row in trace.last(trace.layers) if row.dead is not None and row.rows >= DEAD_ROWS / 5]
    probed = {row.step for row in trace.layers}
    worst = max(rows, key=lambda row: row.dead or 0.0, default=None)
    if worst is None or (worst.dead or 0.0) <= DEAD or worst.rows * min(5, len(probed)) < DEAD_ROWS:
        return None
    sentence = Message(
        "{dead:.0%} of the units of `{layer}` were zero on all rows of the last batches",
        dead=worst.dead,
        layer=worst.layer,
    )
    return sentence, {"layer": worst.layer, "share": worst.dead, "threshold": DEAD, "step": worst.step}


def _ratio(trace: Trace) -> tuple[float, list[WeightsSeen]] | None:
    """Median over the probes of the first to the last layer's gradient (root mean squares)."""
    steps: dict[int, list[WeightsSeen]] = {}
    for row in trace.weights:
        steps.setdefault(row.step, []).append(row)
    ratios = [
        rows[0].gradient / rows[-1].gradient for rows in steps.values() if len(rows) >= 3 and rows[-1].gradient > 0
    ]
    finite = [ratio for ratio in ratios if np.isfinite(ratio)]
    return (float(np.median(finite)), trace.last(trace.weights)) if finite else None


def _vanishing(trace: Trace) -> Found:
    result = _ratio(trace)
    if result is None or result[0] >= VANISHED:
        return None
    ratio, rows = result
    sentence = Message(
        "the gradient of `{layer}` is {ratio:.1e} of that of `{other}`: the first layer hardly learns",
        layer=rows[0].layer,
        ratio=ratio,
        other=rows[-1].layer,
    )
    return sentence, {"ratio": ratio, "threshold": VANISHED, "layers": len(rows)}


def _exploding(trace: Trace) -> Found:
    result = _ratio(trace)
    if result is not None and result[0] > EXPLODED:
        ratio, rows = result
        sentence = Message(
            "the gradient grows by {ratio:.1e} from `{layer}` back to `{other}`",
            ratio=ratio,
            layer=rows[-1].layer,
            other=rows[0].layer,
        )
        return sentence, {"ratio": ratio, "threshold": EXPLODED, "layers": len(rows)}
    norms = np.array([norm for norm in trace.gradient_norms if np.isfinite(norm)])
    for step in range(JUMP_AFTER, len(norms)):
        before = norms[step - JUMP_AFTER : step].max()
        if before > 0 and norms[step] > JUMP * before:
            sentence = Message(
                "at step {step} the gradient is {times:.0f} times the largest of the steps before",
                step=step,
                times=norms[step] / before,
            )
            return sentence, {"step": step, "norm": float(norms[step]), "before": float(before), "threshold": JUMP}
    return None


def _spreads(trace: Trace) -> list[Any]:
    """The first probe's hidden activations; where there are none, what the layers give."""
    first = trace.first(trace.layers)
    hidden = [row for row in first if row.kind.islower() and row.kind != "softmax"]
    return hidden if len(hidden) >= 3 else []


def _growing(trace: Trace) -> Found:
    rows = _spreads(trace)
    if not rows or not rows[0].spread > 0 or rows[-1].spread / rows[0].spread <= GROWN:
        return None
    sentence = Message(
        "activations grow from {spread:.2g} in `{layer}` to {last:.2g} in the last",
        spread=rows[0].spread,
        layer=rows[0].layer,
        last=rows[-1].spread,
    )
    return sentence, {"first": rows[0].spread, "last": rows[-1].spread, "threshold": GROWN, "layers": len(rows)}


def _fading(trace: Trace) -> Found:
    rows = _spreads(trace)
    if not rows or not rows[0].spread > 0 or rows[-1].spread / rows[0].spread >= FADED:
        return None
    sentence = Message(
        "activations shrink from {spread:.2g} in `{layer}` to {last:.2g} in the last",
        spread=rows[0].spread,
        layer=rows[0].layer,
        last=rows[-1].spread,
    )
    return sentence, {"first": rows[0].spread, "last": rows[-1].spread, "threshold": FADED, "layers": len(rows)}


def _not_finite(trace: Trace) -> Found:
    if trace.birth is None:
        return None
    birth = trace.birth
    evidence: JsonObject = {
        "step": birth.step,
        "part": birth.part,
        "layer": birth.layer,
        "op": birth.op,
        "rows": birth.rows,
    }
    return birth.sentence(), evidence


def usual_update(trace: Trace) -> float | None:
    """Median update of the second half of the probes, as a share of the weights' length."""
    late = [row.update for row in trace.weights if row.update is not None and row.step >= trace.step // 2]
    return float(np.median(late)) if late else None


def _too_high(trace: Trace) -> Found:
    update = usual_update(trace)
    losses = np.array(trace.losses)
    if len(losses) >= 20 and np.isfinite(losses).all():
        start, end = losses[:3].mean(), losses[-max(3, len(losses) // 10) :].mean()
        if end > 1.5 * start and (trace.trivial is None or end > trace.trivial):
            return Message("the loss rose from {start:.3g} to {end:.3g}", start=start, end=end), {
                "start": float(start),
                "end": float(end),
            }
    if len(losses) and not np.isfinite(losses[-1]) and trace.birth is not None and trace.birth.part != "input":
        known = losses[np.isfinite(losses)]
        if len(known) >= 2 and known[-1] > 2 * known.min() and known[-1] > known[0]:
            sentence = Message(
                "the loss rose from {lowest:.3g} to {last:.3g} before it became NaN", lowest=known.min(), last=known[-1]
            )
            return sentence, {"lowest": float(known.min()), "last": float(known[-1])}
    if update is not None and update > FAST:
        return Message("one step changes the weights by {update:.0%} of their norm", update=update), {
            "update": update,
            "threshold": FAST,
        }
    return None


def _too_low(trace: Trace) -> Found:
    update = usual_update(trace)
    losses = np.array(trace.losses)
    if update is None or update >= SLOW or len(losses) < 20 or not np.isfinite(losses).all():
        return None
    fell = 1 - losses[-max(3, len(losses) // 10) :].mean() / max(losses[: max(3, len(losses) // 10)].mean(), 1e-30)
    if fell > 0.05:
        return None
    sentence = Message(
        "one step changes the weights by {update:.1e} of their norm; the loss fell by {fell:.1%}",
        update=update,
        fell=max(fell, 0),
    )
    return sentence, {"update": update, "threshold": SLOW, "fell": float(fell)}


def _uncleared(trace: Trace) -> Found:
    if trace.uncleared < 3 or trace.uncleared < 0.5 * len(trace.losses):
        return None
    sentence = Message(
        "gradients of earlier steps were still present in {uncleared} of {count} steps",
        uncleared=trace.uncleared,
        count=len(trace.losses),
    )
    return sentence, {"steps": trace.uncleared}


def _waiting(trace: Trace) -> Found:
    total = trace.waiting + trace.working
    long = trace.waiting > LONG_WAIT * len(trace.losses)
    if len(trace.losses) < 20 or not total or not long or trace.waiting / total <= WAITING:
        return None
    share = trace.waiting / total
    return Message("{share:.0%} of the time is spent waiting for the next batch", share=share), {
        "share": share,
        "threshold": WAITING,
    }


LAYERS = (
    Check(
        "not-finite",
        "error",
        "a value is not finite; the finding names where it first occurred",
        "one value",
        "S4-40",
        "check that layer and those rows; clip the gradient (clip_norm=1), or lower the learning rate",
        _not_finite,
    ),
    Check(
        "gradients-not-cleared",
        "error",
        "gradients of earlier steps are not cleared",
        "in half of the steps",
        "PyTorch accumulates gradients until they are cleared",
        "call optimiser.zero_grad() before every backward()",
        _uncleared,
    ),
    Check(
        "rate-too-high",
        "warning",
        "the learning rate is too high: the loss rises, or steps are as large as the weights",
        Message("the last loss 1.5 times the first, or updates above {fast:g} of the norm of the weights", fast=FAST),
        "S4-10; CS231n",
        "find a learning rate with luthier.find_lr; first try a tenth of this one",
        _too_high,
    ),
    Check(
        "rate-too-low",
        "warning",
        "the learning rate is too low: the weights hardly change, and the loss hardly falls",
        Message("updates below {slow:g} of the norm of the weights, and a loss that falls by less than 5 %", slow=SLOW),
        "S4-08; CS231n",
        "find a learning rate with luthier.find_lr; first try a hundred times this one",
        _too_low,
    ),
    Check(
        "saturated-outputs",
        "warning",
        "outputs are saturated at the wrong value under a quadratic cost",
        Message("{share:.0%} of the outputs", share=WRONG_SATURATED),
        "S1-20, S1-41, S1-49",
        "use cross-entropy: its gradient does not have the factor that vanishes there",
        _saturated_outputs,
    ),
    Check(
        "saturated-units",
        "warning",
        "hidden units are saturated (sigmoid or tanh)",
        Message("{share:.0%} of a layer's values", share=SATURATED),
        "S1-20, S2-02",
        "use smaller initial weights (Xavier), standardise the inputs, or add batch norm",
        _saturated,
    ),
    Check(
        "dead-relu",
        "warning",
        "ReLU units are dead: zero on every row",
        Message("{share:.0%} of a layer's units", share=DEAD),
        "S2-08",
        "lower the learning rate, use He initialisation, or leaky ReLU",
        _dead,
    ),
    Check(
        "vanishing-gradients",
        "warning",
        "the gradient vanishes towards the first layer",
        Message("ratio of first to last layer below {ratio:g}", ratio=VANISHED),
        "S4-35, S4-38",
        "ReLU with He initialisation, batch norm, or skip connections",
        _vanishing,
    ),
    Check(
        "exploding-gradients",
        "warning",
        "the gradient explodes",
        Message(
            "ratio of first to last layer above {ratio:g}, or {jump:g} times the steps before",
            ratio=EXPLODED,
            jump=JUMP,
        ),
        "S4-36, S4-41",
        "clip the gradient's norm, lower the learning rate, use He initialisation",
        _exploding,
    ),
    Check(
        "activations-grow",
        "warning",
        "initial activations grow with depth",
        Message("by a factor of {grown:g}", grown=GROWN),
        "S2-02",
        "use initial weights with standard deviation sqrt(2 / inputs) (He)",
        _growing,
    ),
    Check(
        "activations-fade",
        "warning",
        "initial activations shrink with depth",
        Message("to {faded:g} of the first layer's", faded=FADED),
        "S2-01",
        "use initial weights with standard deviation sqrt(2 / inputs) (He) or 1 / sqrt(inputs) (Xavier)",
        _fading,
    ),
    Check(
        "data-wait",
        "warning",
        "training waits for its data",
        Message("{share:.0%} of the time, and one millisecond per step", share=WAITING),
        "a step that waits a fifth of its time justifies a worker process",
        "load in worker processes, or keep the data in memory as tensors",
        _waiting,
    ),
)

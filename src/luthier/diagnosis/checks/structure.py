"""Checks of how a network is put together."""

from __future__ import annotations

import numpy as np

from luthier.diagnosis.checks.base import Check
from luthier.diagnosis.checks.trace import Trace
from luthier.messages import Message
from luthier.records import JsonObject

TINY_BATCH = 8  # below it batch norm's error rises steeply (Wu and He 2018, figure 1)
DRIFTED = 1.0  # moving standard deviations between a batch's mean and the moving mean, late in training
Found = tuple[str, JsonObject] | None


def _norms(trace: Trace) -> list[str]:
    return [name for name, kind, _ in trace.order if kind.startswith("BatchNorm")]


def _tiny_batches(trace: Trace) -> Found:
    names = _norms(trace)
    if not names or not 0 < trace.batch_size < TINY_BATCH:
        return None
    sentence = Message(
        "batch norm estimates {count} layers' means from batches of {batch_size}",
        count=len(names),
        batch_size=trace.batch_size,
    )
    return sentence, {"batch": trace.batch_size, "threshold": TINY_BATCH, "layers": names}


def _dropout_before_norm(trace: Trace) -> Found:
    dropped: str | None = None
    for name, kind, facts in trace.order:
        if "Dropout" in kind and facts.get("p", 0.0) > 0:
            dropped = dropped or name
        elif kind.startswith("BatchNorm") and dropped is not None:
            return Message("dropout `{dropped}` comes before batch norm `{name}`", dropped=dropped, name=name), {
                "dropout": dropped,
                "norm": name,
            }
    return None


def _softmax_twice(trace: Trace) -> Found:
    if not trace.normalised_outputs or trace.loss != "softmax":
        return None
    return "the outputs already sum to one, and the loss applies softmax again", {"loss": trace.loss}


def _norm_drift(trace: Trace) -> Found:
    late = [row for row in trace.norms if row.step >= trace.step // 2 and row.rows >= TINY_BATCH]
    by_layer: dict[str, list[float]] = {}
    for row in late:
        by_layer.setdefault(row.layer, []).append(row.drift)
    medians = {name: float(np.median(values)) for name, values in by_layer.items() if len(values) >= 3}
    worst = max(medians, key=lambda name: medians[name], default=None)
    if worst is None or medians[worst] <= DRIFTED or trace.step < 50:
        return None
    sentence = Message(
        "the batch means of `{worst}` are {medians:.1f} standard deviations from its moving mean",
        worst=worst,
        medians=medians[worst],
    )
    return sentence, {"layer": worst, "drift": medians[worst], "threshold": DRIFTED}


STRUCTURE = (
    Check(
        "batch-norm-tiny-batches",
        "warning",
        "batch norm with tiny batches",
        Message("below {count} rows", count=TINY_BATCH),
        "S0-21; Wu and He 2018",
        "use larger batches, or layer or group norm instead",
        _tiny_batches,
    ),
    Check(
        "dropout-before-batch-norm",
        "warning",
        "dropout before batch norm: the variance changes when dropout is off",
        "any dropout above 0",
        "Li and others 2018",
        "put dropout after the last batch norm",
        _dropout_before_norm,
    ),
    Check(
        "softmax-twice",
        "error",
        "outputs are probabilities already, and the loss expects logits",
        "outputs that sum to one",
        "S1-71",
        "remove the softmax from the network",
        _softmax_twice,
    ),
    Check(
        "batch-norm-drift",
        "warning",
        "the moving mean of a batch norm is far from the batch means",
        Message("more than {far:g} standard deviation", far=DRIFTED),
        "S0-22",
        "shuffle the rows, lower the learning rate, or raise the momentum of batch norm",
        _norm_drift,
    ),
)

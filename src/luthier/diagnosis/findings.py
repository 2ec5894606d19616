"""What came of a diagnosis: findings, the checklist of optimisation, the gate of step 4, and their numbers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from luthier.diagnosis.checks import CHECKS, look
from luthier.diagnosis.checks.base import ORDER
from luthier.diagnosis.checks.curves import gap_gate
from luthier.diagnosis.trace import Trace
from luthier.records import Finding


@dataclass(frozen=True)
class Diagnosis:
    """Why a network does or does not learn. `str()` prints it; `findings` are sorted, the gravest first."""

    findings: tuple[Finding, ...]
    trace: Trace
    checklist: tuple[tuple[str, str], ...]
    gate: dict[str, Any] | None
    measured: dict[str, Any] = field(default_factory=dict)

    @property
    def healthy(self) -> bool:
        """Whether nothing graver than a note was found."""
        return all(finding.severity == "note" for finding in self.findings)

    def __str__(self) -> str:
        lines = [f"{f.severity}: {f.sentence}\n    try: {f.remedy}" for f in self.findings] or ["No problems found."]
        lines += ["", "Optimisation, six questions:"]
        lines += [f"  {number}. {topic}: {answer}" for number, (topic, answer) in enumerate(self.checklist, 1)]
        if self.gate is not None:
            lines += ["", f"Gate to the test set: {gate_in_words(self.gate)}"]
        return "\n".join(lines)

    __repr__ = __str__

    def to_json(self) -> dict[str, Any]:
        """The diagnosis as plain JSON values."""
        return {
            "findings": [finding.to_json() for finding in self.findings],
            "checklist": [list(item) for item in self.checklist],
            "gate": self.gate,
            "measured": self.measured,
        }


def gate_in_words(gate: dict[str, Any]) -> str:
    """The gap between validation and training loss, and whether it is more than noise."""
    verdict = "closed" if gate["closed"] else "open: work through step 4"
    return (
        f"validation loss {gate['validation']:.4g}, training loss {gate['training']:.4g}, "
        f"gap {gate['gap']:.3g} (noise {gate['noise']:.2g}): {verdict}"
    )


def diagnosis_of(
    trace: Trace,
    *,
    others: list[Finding] | None = None,
    measured: dict[str, Any] | None = None,
    inputs: tuple[float, float] | None = None,
) -> Diagnosis:
    """Every check on a trace, together with `others` found elsewhere (rows, controls).

    `inputs` are the mean and the deviation of the features that the network sees.
    """
    result = merged([*look(trace, CHECKS), *(others or [])])
    return Diagnosis(tuple(result), trace, checklist(trace, inputs, measured or {}), gap_gate(trace), measured or {})


def merged(findings: list[Finding]) -> list[Finding]:
    """One finding of a kind, and none that another explains; the gravest first."""
    by_code: dict[str, Finding] = {}
    for finding in findings:
        by_code.setdefault(finding.code, finding)
    explained = {
        "not-finite": ("exploding-gradients", "underfitting", "plateau"),
        "rate-too-high": ("underfitting", "plateau", "dead-relu", "batch-norm-drift"),
        "rate-too-low": ("underfitting", "plateau", "still-improving"),
        "no-signal": ("underfitting", "plateau", "overfitting", "memorising", "label-noise"),
        "inputs-not-finite": ("not-finite",),
        "overfitting": ("both-saturate",),
        "memorising": ("both-saturate",),
    }
    hidden = {other for code in by_code for other in explained.get(code, ())}
    kept = [finding for code, finding in by_code.items() if code not in hidden]
    return sorted(kept, key=lambda finding: ORDER[finding.severity])


def checklist(
    trace: Trace, inputs: tuple[float, float] | None, measured: dict[str, Any]
) -> tuple[tuple[str, str], ...]:
    """The six parts of optimisation with the numbers of this training."""
    return (
        ("activation function", _activation(trace)),
        ("weight initialisation", _initialisation(trace)),
        ("preprocessing", _preprocessing(inputs)),
        ("batch norm", _batch_norm(trace)),
        ("monitoring training", _watching(trace)),
        ("hyper-parameter search", _search(trace, measured)),
    )


def _activation(trace: Trace) -> str:
    rows = trace.last(trace.layers)
    hidden = [row for row in rows if row.kind.islower() and row.kind != "softmax"]
    kinds = sorted({row.kind for row in hidden})
    if not kinds:
        return "none seen"
    message = [", ".join(kinds)]
    saturated = [row.saturated for row in hidden if row.saturated is not None]
    dead = [row.dead for row in hidden if row.dead is not None]
    message += [f"at most {max(saturated):.0%} of a layer saturated"] if saturated else []
    message += [f"at most {max(dead):.0%} of a layer dead"] if dead else []
    return ", ".join(message)


def _initialisation(trace: Trace) -> str:
    rows = trace.first([row for row in trace.layers if row.kind.islower()])
    start = trace.losses[0] if trace.losses else None
    message = []
    if len(rows) > 1:
        message.append(
            f"standard deviation of activations {rows[0].spread:.2g} in the first, {rows[-1].spread:.2g} in the last "
            "layer"
        )
    if start is not None and trace.trivial:
        message.append(f"the initial loss is {start:.3g}; a constant prediction has {trace.trivial:.3g}")
    return "; ".join(message) or "not seen"


def _preprocessing(inputs: tuple[float, float] | None) -> str:
    return (
        "not seen"
        if inputs is None
        else f"the features have mean {inputs[0]:.3g} and standard deviation {inputs[1]:.3g}"
    )


def _batch_norm(trace: Trace) -> str:
    names = [name for name, kind, _ in trace.order if kind.startswith("BatchNorm")]
    if not names:
        return "none"
    late = [row.drift for row in trace.norms if row.step >= trace.step // 2]
    drift = f", batch means {sum(late) / len(late):.2g} standard deviations from the moving means" if late else ""
    return f"{len(names)} layers, batches of {trace.batch_size}{drift}"


def _watching(trace: Trace) -> str:
    if not trace.losses:
        return "no step was recorded"
    message = f"training loss {trace.losses[0]:.3g} to {trace.losses[-1]:.3g} in {len(trace.losses)} steps"
    best = trace.best
    if best is not None and best.validation is not None:
        message += f"; lowest validation loss {best.validation:.3g} at step {best.step}"
        message += "" if best.validation_score is None else f", {best.validation_score:.1%} right"
    return message


def _search(trace: Trace, measured: dict[str, Any]) -> str:
    updates = [row.update for row in trace.weights if row.update is not None and row.step >= trace.step // 2]
    message = []
    if "rate" in measured:
        rate = measured["rate"]
        message.append(f"rate {rate['rate']:.2g}, a range test suggests {rate['suggested']:.2g}")
    if updates:
        message.append(f"one step changes the weights by {sorted(updates)[len(updates) // 2]:.1e} of their norm")
    return "; ".join(message) or "not seen"

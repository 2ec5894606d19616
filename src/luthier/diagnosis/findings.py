"""What came of a diagnosis: findings, the checklist of optimisation, the gate of step 4, and their numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from luthier.diagnosis.checks import CHECKS, look
from luthier.diagnosis.checks.base import ORDER
from luthier.diagnosis.checks.curves import gap_gate
from luthier.diagnosis.checks.trace import Trace
from luthier.messages import Message, as_message, joined, tr, with_messages
from luthier.records import Finding, JsonObject


@dataclass(frozen=True)
class Diagnosis:
    """Why a network does or does not learn. `str()` prints it; `findings` are sorted, the gravest first."""

    findings: tuple[Finding, ...]
    trace: Trace
    checklist: tuple[tuple[str, str], ...]
    gate: JsonObject | None
    measured: JsonObject = field(default_factory=dict)

    @property
    def healthy(self) -> bool:
        """Whether nothing graver than a note was found."""
        return all(finding.severity == "note" for finding in self.findings)

    def __str__(self) -> str:
        lines = [found_in_words(finding) for finding in self.findings] or [tr("No problems found.")]
        lines += ["", tr("Optimisation, six questions:")]
        lines += [
            tr("  {number}. {topic}: {answer}", number=number, topic=as_message(topic), answer=as_message(answer))
            for number, (topic, answer) in enumerate(self.checklist, 1)
        ]
        if self.gate is not None:
            lines += ["", tr("Gate to the test set: {verdict}", verdict=gate_in_words(self.gate))]
        return "\n".join(lines)

    __repr__ = __str__

    def to_json(self) -> JsonObject:
        """The diagnosis as plain JSON values."""
        content: JsonObject = {
            "findings": [finding.to_json() for finding in self.findings],
            "checklist": [list(item) for item in self.checklist],
            "gate": self.gate,
            "measured": self.measured,
        }
        return dict(with_messages(content))


def found_in_words(finding: Finding) -> str:
    """A finding on two lines, in the language that is spoken: how grave, what was seen, and what to try."""
    severity, sentence = Message(finding.severity), as_message(finding.sentence)
    found = tr("{severity}: {sentence}", severity=severity, sentence=sentence)
    return found + "\n" + tr("    try: {remedy}", remedy=as_message(finding.remedy))


def gate_in_words(gate: JsonObject) -> Message:
    """The gap between validation and training loss, and whether it is more than noise."""
    return Message(
        "validation loss {validation:.4g}, training loss {training:.4g}, gap {gap:.3g} (noise {noise:.2g}): {verdict}",
        **{name: gate[name] for name in ("validation", "training", "gap", "noise")},
        verdict=Message("closed") if gate["closed"] else Message("open: work through step 4"),
    )


def diagnosis_of(
    trace: Trace,
    *,
    others: list[Finding] | None = None,
    measured: JsonObject | None = None,
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


def checklist(trace: Trace, inputs: tuple[float, float] | None, measured: JsonObject) -> tuple[tuple[str, str], ...]:
    """The six parts of optimisation with the numbers of this training."""
    return (
        (Message("activation function"), _activation(trace)),
        (Message("weight initialisation"), _initialisation(trace)),
        (Message("preprocessing"), _preprocessing(inputs)),
        (Message("batch norm"), _batch_norm(trace)),
        (Message("monitoring training"), _watching(trace)),
        (Message("hyper-parameter search"), _search(trace, measured)),
    )


def _activation(trace: Trace) -> str:
    rows = trace.last(trace.layers)
    hidden = [row for row in rows if row.kind.islower() and row.kind != "softmax"]
    kinds = sorted({row.kind for row in hidden})
    if not kinds:
        return Message("none seen")
    parts = [", ".join(kinds)]
    saturated = [row.saturated for row in hidden if row.saturated is not None]
    dead = [row.dead for row in hidden if row.dead is not None]
    parts += [Message("at most {share:.0%} of a layer saturated", share=max(saturated))] if saturated else []
    parts += [Message("at most {share:.0%} of a layer dead", share=max(dead))] if dead else []
    return joined(parts)


def _initialisation(trace: Trace) -> str:
    rows = trace.first([row for row in trace.layers if row.kind.islower()])
    start = trace.losses[0] if trace.losses else None
    parts = []
    if len(rows) > 1:
        template = "standard deviation of activations {first:.2g} in the first, {last:.2g} in the last layer"
        parts.append(Message(template, first=rows[0].spread, last=rows[-1].spread))
    if start is not None and trace.trivial:
        template = "the initial loss is {loss:.3g}; a constant prediction has {constant:.3g}"
        parts.append(Message(template, loss=start, constant=trace.trivial))
    return joined(parts) if parts else Message("not seen")


def _preprocessing(inputs: tuple[float, float] | None) -> str:
    if inputs is None:
        return Message("not seen")
    template = "the features have mean {mean:.3g} and standard deviation {deviation:.3g}"
    return Message(template, mean=inputs[0], deviation=inputs[1])


def _batch_norm(trace: Trace) -> str:
    names = [name for name, kind, _ in trace.order if kind.startswith("BatchNorm")]
    if not names:
        return Message("none")
    parts = [Message("{count} layers, batches of {size}", count=len(names), size=trace.batch_size)]
    if late := [row.drift for row in trace.norms if row.step >= trace.step // 2]:
        template = "batch means {drift:.2g} standard deviations from the moving means"
        parts.append(Message(template, drift=sum(late) / len(late)))
    return joined(parts)


def _watching(trace: Trace) -> str:
    if not trace.losses:
        return Message("no step was recorded")
    losses = trace.losses
    template = "training loss {first:.3g} to {last:.3g} in {steps} steps"
    parts = [Message(template, first=losses[0], last=losses[-1], steps=len(losses))]
    best = trace.best
    if best is not None and best.validation is not None:
        template = "lowest validation loss {loss:.3g} at step {step}"
        parts.append(Message(template, loss=best.validation, step=best.step))
        right = best.validation_score
        parts += [] if right is None else [Message("{share:.1%} of its validation rows right", share=right)]
    return joined(parts)


def _search(trace: Trace, measured: JsonObject) -> str:
    updates = [row.update for row in trace.weights if row.update is not None and row.step >= trace.step // 2]
    parts = []
    rate = measured.get("rate")
    if isinstance(rate, Mapping):
        template = "rate {rate:.2g}, a range test suggests {suggested:.2g}"
        parts.append(Message(template, rate=rate["rate"], suggested=rate["suggested"]))
    if updates:
        template = "one step changes the weights by {update:.1e} of their norm"
        parts.append(Message(template, update=sorted(updates)[len(updates) // 2]))
    return joined(parts) if parts else Message("not seen")

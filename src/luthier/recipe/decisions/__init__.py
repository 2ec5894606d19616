"""Decisions are data: evidence, a pure choice, and words in any language. The ledger stores the first two.

Words are made when somebody reads, so a better wording changes no run, and a resumed run compares choices alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any, cast

from luthier.errors import InputError
from luthier.messages import KEPT, Message, in_words, language, restored, speaking
from luthier.recipe.decisions import (
    backbone_use,
    baselines_ready,
    calibrating,
    column_type,
    data_need,
    delivered,
    experiment,
    gates,
    input_encoding,
    interval_choice,
    learning_rate,
    loss_choice,
    machinery_checks,
    quantile_choice,
    question_answers,
    remedy,
    row_parts,
    starting_network,
    target_task,
)
from luthier.recipe.decisions.decision import Evidence
from luthier.records import Option, Wording
from luthier.schema_types import Plain
from luthier.untrusted import validated

_MODULES = (
    *(column_type, target_task, row_parts, loss_choice, baselines_ready, starting_network, input_encoding),
    *(machinery_checks, learning_rate, remedy, gates, data_need, experiment, question_answers, backbone_use),
    *(delivered, calibrating, interval_choice, quantile_choice),
)
EVIDENCE: Mapping[str, type[Evidence[Any]]] = {
    kind.code: kind
    for module in _MODULES
    for kind in vars(module).values()
    if isinstance(kind, type) and issubclass(kind, Evidence) and kind is not Evidence
}


def evidence_of(record: Mapping[str, Any], where: str = "a decision of the ledger") -> Evidence[Any]:
    """The evidence of a decision's record. InputError where it is not what its code asks for."""
    kind = EVIDENCE.get(record["code"])
    if kind is None:
        raise InputError(
            Message("{where} has a code that is not known", where=where), received=str(record["code"])[:60]
        )
    stored = record["evidence"]
    if not _has_messages(stored):  # as of most columns, of which there may be thousands
        return cast("Evidence[Any]", validated(kind, stored, where))
    evidence: Evidence[Any] = validated(kind, _without_messages(stored), where)
    return cast("Evidence[Any]", _with_its_messages(evidence, stored))


def _has_messages(stored: Any) -> bool:
    """Whether sentences lie beside what they are made of."""
    if isinstance(stored, dict):
        return KEPT in stored or any(map(_has_messages, stored.values()))
    return isinstance(stored, list) and any(map(_has_messages, stored))


def _without_messages(stored: Any) -> Any:
    """What is stored, but for what its sentences are made of."""
    if isinstance(stored, Mapping):
        kept = isinstance(stored.get(KEPT), Mapping)
        return {name: _without_messages(one) for name, one in stored.items() if not (kept and name == KEPT)}
    return [_without_messages(one) for one in stored] if isinstance(stored, list) else stored


def _with_its_messages(value: Any, stored: Any) -> Any:
    """Evidence, or a part of it, its sentences messages again."""
    if isinstance(value, tuple) and isinstance(stored, list):
        return tuple(_with_its_messages(*pair) for pair in zip(value, stored, strict=True))
    if not is_dataclass(value) or isinstance(value, type) or not isinstance(stored, Mapping):
        return value
    kept = stored[KEPT] if isinstance(stored.get(KEPT), Mapping) else {}
    sentences = {name: one for name, one in restored(stored).items() if name in kept}
    changed: dict[str, object] = {n: tuple(v) if isinstance(v, list) else v for n, v in sentences.items()}
    for one in fields(value):
        if one.name in stored and one.name not in changed:
            changed[one.name] = _with_its_messages(getattr(value, one.name), stored[one.name])
    return replace(value, **changed)


def follows(record: Mapping[str, Any]) -> bool:
    """Whether a decision's choice follows from the evidence that is stored with it.

    >>> record = {"code": "loss", "choice": "mse", "evidence": {"task": "regression"}}
    >>> follows(record), follows({**record, "choice": "softmax"})
    (True, False)
    """
    return bool(validated(Plain, _plain(evidence_of(record).decide()), "a choice") == record["choice"])


def _plain(choice: Any) -> Any:
    return list(choice) if isinstance(choice, tuple) else choice


def wording_of(record: Mapping[str, Any], lang: str = "") -> Wording:
    """A decision in words, in a language, or in the one that is spoken now. InputError where it contradicts itself.

    >>> wording_of({"code": "loss", "choice": "mse", "evidence": {"task": "regression"}}).sentence()
    'loss: mean squared error; the target is a number; override with --task'
    """
    if "wording" in record:  # of an earlier version, which stored its sentences
        stored = record["wording"]
        return Wording(**{**stored, "options": tuple(Option(**one) for one in stored["options"])})
    with speaking(lang or language()):
        try:
            return evidence_of(record).render(record["choice"])
        except (ArithmeticError, LookupError, StopIteration, TypeError, ValueError) as error:
            raise InputError(
                Message("a decision of the ledger ({code}) contradicts its evidence", code=record["code"]),
                received=f"{type(error).__name__}: {str(error)[:100]}",
                remedy="restore the run's folder from a backup",
            ) from error


def worded(record: Mapping[str, Any], lang: str = "") -> dict[str, object]:
    """A ledger's record, its sentences in a language, or in the one that is spoken now; a decision with its words
    beside it: `topic`, `chosen`, `reason`, `options`, `override`."""
    if record["kind"] != "decision":
        with speaking(lang or language()):
            return dict(in_words(record))
    return {**record, **wording_of(record, lang).to_json()}

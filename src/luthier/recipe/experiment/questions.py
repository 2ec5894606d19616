"""The recipe's questions about an adopted setting: itself beside itself with one thing undone, or done.

Here are those that every modality asks alike, in the order of the recipe.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import Any

from luthier.engine import Schedule
from luthier.recipe.decisions.experiment import SHARING
from luthier.recipe.planning.setting import Setting

DROPPED, PENALTY, CLIP, SLOWER = 0.25, 1e-3, 1.0, 1 / 3  # what is tried of a remedy that the adopted setting lacks
USUAL_RATES = {"sgd": 0.1, "adam": 3e-3}  # where the time for a range test is missing
USUAL = "usual rate"


@dataclass(frozen=True)
class Question:
    """A question by its name: whether the adopted setting has the thing, and the setting with it undone, or done.

    `value` is what the other setting has in its place, where that has a value.
    """

    name: str
    used: bool
    other: Setting
    value: str = ""


def of_rates(now: Setting, rates: Mapping[str, float]) -> Iterator[Question]:
    """Rate, rule, decay and restarts; the other rule at a rate of its own, or a usual one where none was measured."""
    member = now.member
    yield Question("rate", True, changed(now, learning_rate=member.learning_rate * SLOWER))
    other = changed(now, learning_rate=rates["sgd"], width_scaled=False, rate_factors=())
    value = USUAL if rates["sgd"] == USUAL_RATES["sgd"] else ""
    yield Question("Adam", True, replace(other, rule="sgd"), value)
    used = member.schedule.kind != "constant"
    yield Question("decay", used, changed(now, schedule=Schedule("constant" if used else "cosine")))
    used = member.schedule.kind in ("coslog4", "restarts")
    yield Question("restarts", used, changed(now, schedule=Schedule("cosine" if used else "coslog4")))


def of_batches(now: Setting) -> Question:
    """Batches twice as large."""
    size = now.batch_size * 2
    return Question("batch size", True, replace(now, batch_size=size), f"{size}")


def of_penalties(now: Setting, rows: int) -> Question:
    """Decay of weights, of either kind, by networks that learn from so many rows."""
    used = bool(now.member.l2 or now.member.weight_decay)
    other = changed(now, l2=0.0 if used else PENALTY * rows, weight_decay=0.0)
    return Question("L2", used, other, "" if used else f"{PENALTY:g}")


def of_clipping(now: Setting) -> Question:
    """Gradients clipped by their norm."""
    used = now.member.clip_norm < inf
    return Question("clipping", used, changed(now, clip_norm=inf if used else CLIP), "" if used else f"{CLIP:g}")


def of_dropout(now: Setting, name: str, field: str, usual: float) -> Question:
    """Dropout of a network that has one of it, a value of its spec: none, or the usual one."""
    used = getattr(now.member.spec, field) > 0
    other = 0.0 if used else usual
    return Question(name, used, respecified(now, **{field: other}), f"{other:g}")


def of_sharing(now: Setting, targets: Sequence[str]) -> Iterator[Question]:
    """Of each target whether networks that several share serve it: those that learn it alone, in the same batches.

    Of T targets each is a share 1 / T of the loss; penalties and clipping shrink alike, so that beside it they are what
    they are in networks of its own.
    """
    penalty, norm = now.member.l2 / len(targets), now.member.clip_norm / len(targets)
    for place, target in enumerate(targets):
        alone = replace(changed(now, l2=penalty, clip_norm=norm), only=place)
        yield Question(f"{SHARING}{target}", True, alone)


def changed(now: Setting, **changes: Any) -> Setting:
    """The setting with other values of its member."""
    return replace(now, member=replace(now.member, **changes))


def respecified(now: Setting, **changes: Any) -> Setting:
    """The setting with another network: these values of its spec changed."""
    spec: Any = now.member.spec  # of the modality's own kind
    return changed(now, spec=replace(spec, **changes))

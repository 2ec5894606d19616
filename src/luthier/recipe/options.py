"""What the rungs of every kind of rows try alike: rules and their rates, and penalties on weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from luthier.recipe.decisions.learning_rate import RULE_WORDS
from luthier.recipe.setting import Setting

RULE_OF_RUNG = {"rate": "sgd", "Adam": "adam"}


def rule_options(rung: str, now: Setting, rates: Mapping[str, float], factors: Sequence[float]) -> Iterator[Setting]:
    """The rung's rule at multiples of what its range test says; the first of them is what the others must beat."""
    rule = RULE_OF_RUNG[rung]
    for factor in factors:
        changed = replace(now.member, learning_rate=rates[rule] * factor)
        yield replace(now, rule=rule, member=changed, label=f"{RULE_WORDS[rule]}, rate {changed.learning_rate:.3g}")


def penalty_options(now: Setting, rows: int, penalties: Sequence[float], decays: Sequence[float]) -> Iterator[Setting]:
    """L2 by lambda / n, which means the same for every number of rows, and decoupled decay."""
    for penalty in penalties:
        yield replace(now, member=replace(now.member, l2=penalty * rows), label=f"λ/n = {penalty:.0e}")
    for decay in decays:
        yield replace(now, member=replace(now.member, weight_decay=decay), label=f"decoupled decay {decay:g}")

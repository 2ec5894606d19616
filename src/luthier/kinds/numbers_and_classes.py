"""The kinds that any target can be: a number, one of two classes, one of several."""

from __future__ import annotations

from luthier.kinds.kind import Kind
from luthier.kinds.target_facts import TargetFacts
from luthier.messages import Message

NUMBER_BASELINES = ("mean", "ridge regression", "gradient-boosted trees", "nearest neighbours", "SVM (RBF)")
CLASS_BASELINES = (
    *("majority class", "logistic regression", "gradient-boosted trees", "nearest neighbours", "SVM (RBF)"),
)
MOST_INTEGER_CLASSES = 20


def _close_together(facts: TargetFacts) -> bool:
    return facts.distinct <= MOST_INTEGER_CLASSES and facts.spread < 2 * facts.distinct


def _numbers(facts: TargetFacts) -> str:
    if facts.fractions:
        template = "the target is a number with {distinct} distinct values, some of them fractions"
        return Message(template, distinct=facts.distinct)
    if not facts.numeric or facts.distinct == 2 or _close_together(facts):
        return ""
    return Message("the target is a number with {distinct} distinct values", distinct=facts.distinct)


def _two(facts: TargetFacts) -> str:
    return Message("the target has two distinct values") if facts.distinct == 2 and not facts.fractions else ""


def _several(facts: TargetFacts) -> str:
    if not facts.numeric:
        return Message("the target is text with {distinct} classes", distinct=facts.distinct)
    template = "the target has {distinct} distinct whole numbers close together, read as classes"
    return Message(template, distinct=facts.distinct)


REGRESSION = Kind("regression", "regression", "mse", "rmse", NUMBER_BASELINES, _numbers)
BINARY = Kind("binary", "binary", "binary", "accuracy", CLASS_BASELINES, _two, values="two classes")
MULTICLASS = Kind("multiclass", "multiclass", "softmax", "accuracy", CLASS_BASELINES, _several, values="classes")

"""Which quantiles of a row's value are asked for."""

from __future__ import annotations

from luthier.data import Task
from luthier.errors import ConfigError
from luthier.messages import Message

MOST = 99


def quantile_levels(text: str) -> tuple[float, ...]:
    """The levels of `--quantiles`, rising, each once. ConfigError for one that is not between 0 and 1.

    >>> quantile_levels("0.9, 0.1,0.5"), quantile_levels("")
    ((0.1, 0.5, 0.9), ())
    """
    words = [word.strip() for word in text.split(",") if word.strip()]
    try:
        levels = sorted({float(word) for word in words})
    except ValueError:
        levels = [float("nan")]
    if any(not 0 < level < 1 for level in levels) or len(levels) > MOST:
        raise ConfigError(
            [Message("--quantiles {text}: expected shares between 0 and 1, such as 0.1,0.5,0.9", text=text[:100])]
        )
    return tuple(levels)


def require_numbers(text: str, task: Task) -> None:
    """ConfigError where quantiles are asked of classes."""
    if quantile_levels(text) and task.is_classes:
        template = "--quantiles {text}: the target has classes; leave it out, or --task regression for numbers"
        raise ConfigError([Message(template, text=text[:100])])

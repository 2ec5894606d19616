"""An exercise: a file with a blank to fill in, and a judgement of what was filled in, in a sentence.

An answer is compared with the right formula on a few inputs. Where it differs, what comes of well-known mistakes is
compared too: what agrees with one of those is named for what it is.
"""

from __future__ import annotations

import runpy
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from luthier.citations import cited
from luthier.messages import Message, as_message

EXACT = 1e-9  # two ways to write one formula in float64, on numbers near 1
Formula = Callable[..., Any]


class WrongAnswerError(Exception):
    """What is wrong with an answer, as a sentence."""


class Judgement(NamedTuple):
    """Whether an answer is right, and what there is to say of it."""

    right: bool
    sentence: Message


@dataclass(frozen=True)
class Exercise:
    """What is asked, and `check`, which is given the functions that the file `asks` for and raises WrongAnswerError.

    `text` is the file as it is handed out, each blank a line of `...`.
    """

    name: str
    title: str
    rows: tuple[str, ...]  # ids of the source documents' rows; `source` has their titles
    text: str
    asks: tuple[str, ...]
    check: Callable[..., None]

    @property
    def source(self) -> str:
        """Where it comes from, as titles."""
        return cited(", ".join(self.rows))


def judge(exercise: Exercise, path: Path) -> Judgement:
    """Run a file that was filled in, and judge its functions. The file is a program: it runs here, with our rights."""
    try:
        names = runpy.run_path(str(path))
        missing = [name for name in exercise.asks if not callable(names.get(name))]
        if missing:
            template = "the file has no function `{name}`: leave its name as it was handed out"
            raise WrongAnswerError(Message(template, name=missing[0]))
        exercise.check(*(names[name] for name in exercise.asks))
    except WrongAnswerError as wrong:
        return Judgement(False, as_message(wrong.args[0]))
    except SyntaxError as error:
        return Judgement(False, Message("line {line} is not Python: {why}", line=error.lineno, why=error.msg))
    except (Exception, SystemExit) as error:
        return Judgement(False, _failed(error, path))
    return Judgement(True, Message("right: {title}", title=Message(exercise.title)))


def _failed(error: BaseException, path: Path) -> Message:
    """How a file failed, and where."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    why = f"{type(error).__name__}: {error}".rstrip(": ")
    if lines:
        return Message("line {line} fails with {why}", line=lines[-1], why=why)
    return Message("the file fails with {why}", why=why)


def agrees(
    answer: Formula, right: Formula, cases: Sequence[Sequence[Any]], mistakes: Mapping[str, Formula], inputs: str
) -> None:
    """Compare an answer with the right formula on cases of inputs, arrays and numbers named by `inputs` ("a, y, z").

    WrongAnswerError with the sentence of the first mistake that comes to the same, else with the largest difference.
    """
    for case in cases:
        expected = np.asarray(right(*_copied(case)))
        given = _copied(case)
        result, error = _came(answer, given)
        if error is None and (result is None or result is ...):
            raise WrongAnswerError(Message("a blank is left: put the formula where `...` stands"))
        if error is None and _same(result, expected):
            changed = [
                name for name, old, new in zip(inputs.split(", "), case, given, strict=True) if not _same(new, old)
            ]
            if changed:
                template = "the numbers are right, but `{name}` is changed on the way: work on a copy"
                raise WrongAnswerError(Message(template, name=changed[0]))
            continue
        for sentence, mistake in mistakes.items():
            wrong, failed = _came(mistake, _copied(case))
            if repr(failed) == repr(error) and (error is not None or _same(result, wrong)):
                raise WrongAnswerError(sentence)
        if error is not None:
            raise error
        raise WrongAnswerError(_difference(result, expected))


def _copied(case: Sequence[Any]) -> list[Any]:
    return [value.copy() if isinstance(value, np.ndarray) else value for value in case]


def _came(formula: Formula, case: Sequence[Any]) -> tuple[Any, Exception | None]:
    """What a formula comes to, or how it fails."""
    try:
        with np.errstate(all="ignore"):
            return formula(*case), None
    except Exception as error:
        return None, error


def _same(result: Any, expected: Any) -> bool:
    try:
        result, expected = np.asarray(result, dtype=float), np.asarray(expected, dtype=float)
    except (TypeError, ValueError):
        return False
    return result.shape == expected.shape and bool(np.allclose(result, expected, rtol=EXACT, atol=EXACT))


def _difference(result: Any, expected: np.ndarray) -> Message:
    try:
        result = np.asarray(result, dtype=float)
    except (TypeError, ValueError):
        template = "it gives a {kind}; expected: an array of shape {shape}"
        return Message(template, kind=type(result).__name__, shape=str(expected.shape))
    if result.shape != expected.shape:
        template = "it gives an array of shape {given}; expected: {shape}"
        return Message(template, given=str(result.shape), shape=str(expected.shape))
    gaps = np.where(np.isfinite(result), np.abs(result - expected), np.inf)
    place = tuple(int(k) for k in np.unravel_index(gaps.argmax(), gaps.shape))
    template = "at {place} it gives {given:.6g}; expected: {expected:.6g}"
    return Message(template, place=str(list(place)), given=result[place], expected=expected[place])

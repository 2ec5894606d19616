"""Errors that say what was expected, what came, and what to try.

A user's mistake ends as one of these, never as a traceback: the command line prints the
message and leaves with the error's exit code (2 for bad input or usage, 1 for work that failed).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from luthier.messages import LANGUAGES, Message, spoken, tr


class LuthierError(Exception):
    """Work that could not be done.

    `problem` says what went wrong in a sentence; `expected`, `received` and `remedy` complete it.

    >>> print(LuthierError("the table has no rows", expected="at least 3 rows", remedy="check the file"))
    the table has no rows
      expected: at least 3 rows
      try: check the file
    """

    exit_code = 1

    def __init__(self, problem: str, *, expected: str = "", received: str = "", remedy: str = "") -> None:
        self.problem, self.expected, self.received, self.remedy = problem, expected, received, remedy
        super().__init__(problem)

    def __str__(self) -> str:
        """The error in the language of now."""
        parts = {
            "  expected: {text}": self.expected,
            "  received: {text}": self.received,
            "  try: {text}": self.remedy,
        }
        return "\n".join([self._head(), *(tr(line, text=spoken(text)) for line, text in parts.items() if text)])

    def _head(self) -> str:
        return spoken(self.problem)


class InputError(LuthierError):
    """What the user gave cannot be used: a file, a column, an option, a frame."""

    exit_code = 2

    def about(self, what: str) -> InputError:
        """The same error, said of something.

        >>> print(InputError("a label is not a class").about("validation rows"))
        validation rows: a label is not a class
        """
        problem = Message("{what}: {problem}", what=what, problem=self.problem)
        return InputError(problem, expected=self.expected, received=self.received, remedy=self.remedy)


class ConfigError(InputError):
    """One or more settings are wrong; all of them are listed at once."""

    def __init__(self, mistakes: Iterable[str], *, remedy: str = "") -> None:
        self.mistakes = tuple(mistakes)
        count = len(self.mistakes)
        self._title = (
            Message("a setting is wrong:") if count == 1 else Message("{count} settings are wrong:", count=count)
        )
        super().__init__("\n".join([self._title, *(f"  - {mistake}" for mistake in self.mistakes)]), remedy=remedy)

    def _head(self) -> str:
        return "\n".join([self._title.spoken(), *(f"  - {spoken(mistake)}" for mistake in self.mistakes)])


class SealError(LuthierError):
    """Something other than the final judgement tried to read the sealed test set."""


class TerminatedError(LuthierError):
    """The system asked the program to end (SIGTERM): what was done is saved."""

    exit_code = 143


class NetworkTooLargeError(LuthierError):
    """A network that the memory which is allowed cannot hold."""


class MissingExtraError(LuthierError):
    """An optional library is needed for what was asked."""

    exit_code = 2


@contextmanager
def users_code(problem: str, *, expected: str = "", remedy: str = "") -> Iterator[None]:
    """Code of the user's own runs inside: whatever it raises ends as an InputError with this problem.

    >>> with users_code("the loss cannot be computed"):
    ...     1 / 0
    Traceback (most recent call last):
    luthier.errors.InputError: the loss cannot be computed
      received: ZeroDivisionError: division by zero
    """
    try:
        yield
    except LuthierError:
        raise
    except Exception as error:  # a module, a loss or a data set may raise anything
        received = f"{type(error).__name__}: {in_a_line(error)}"
        raise InputError(problem, expected=expected, received=received, remedy=remedy) from error


def in_a_line(error: BaseException) -> str:
    """The first line of what an error says, of settings all mistakes, or its type's name where it says nothing.

    >>> in_a_line(ValueError("no\\nidea")), in_a_line(EOFError())
    ('no', 'EOFError')
    """
    if isinstance(error, ConfigError):
        return "; ".join(map(spoken, error.mistakes))
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


ELSEWHERE = {  # what other tools call a setting or a loss, in small letters and digits: its name here
    "optimizer": "rule",
    "optimiser": "rule",
    "optim": "rule",
    "lr": "learning_rate",
    "eta": "learning_rate",
    "numepochs": "epochs",
    "nepochs": "epochs",
    "maxepochs": "epochs",
    "bs": "batch_size",
    "validationdata": "validation",
    "evalset": "validation",
    "scheduler": "schedule",
    "lrscheduler": "schedule",
    "earlystopping": "patience",
    "randomstate": "seed",
    "timelimit": "budget",
    "crossentropy": "softmax",
    "crossentropyloss": "softmax",
    "ce": "softmax",
    "categoricalcrossentropy": "softmax",
    "bce": "binary",
    "binarycrossentropy": "binary",
    "bcewithlogits": "binary",
    "meansquarederror": "mse",
    "squarederror": "mse",
    "l2": "mse",
    "meanabsoluteerror": "mae",
    "absoluteerror": "mae",
    "l1": "mae",
    "nll": "negative log-likelihood",
}


def nearest(name: str, known: Iterable[str]) -> str:
    """A "did you mean" clause for a name that is not among the known ones, by what other tools call it or how it is
    spelt; empty when nothing is near.

    >>> nearest("prize", ["price", "size", "colour"])
    "did you mean 'price'?"
    >>> nearest("cross_entropy", ["softmax", "binary"])
    "did you mean 'softmax'?"
    >>> nearest("zzz", ["price"])
    ''
    """
    lowered = {candidate.lower(): candidate for candidate in known}
    elsewhere = ELSEWHERE.get(re.sub(r"[^a-z0-9]", "", name.lower()), "")
    if elsewhere in lowered:
        return Message("did you mean '{name}'?", name=elsewhere)
    result = difflib.get_close_matches(name.lower(), list(lowered), n=1, cutoff=0.6)
    return Message("did you mean '{name}'?", name=lowered[result[0]]) if result else ""


def listed(names: list[str], most: int = 8) -> str:
    """The first of some names."""
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else Message("{names} and {count} more", names=shown, count=len(names) - most)


def language_named(name: str) -> str:
    """A language that a user named. ConfigError where it is not one of those that are spoken.

    >>> language_named("zh")
    'zh'
    """
    if name not in LANGUAGES:
        raise ConfigError([Message("--lang {name}: not one of {names}", name=name, names=", ".join(LANGUAGES))])
    return name

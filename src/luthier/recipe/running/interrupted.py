"""Whether the user or the system wants a run to end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from luthier.errors import TerminatedError


class Interrupted:
    """A flag that signals raise; training asks it before every step.

    `raised` (Ctrl-C) cuts what is trained and delivers the best so far. Where the process was `told_to_end` (SIGTERM),
    asking raises TerminatedError: training saves its state on the way out. Where nobody asks soon, the signal itself
    raises it: what was done is saved by then.
    """

    def __init__(self) -> None:
        self.raised = self.told_to_end = False
        self.is_asked = True

    @contextmanager
    def asked(self, soon: bool) -> Iterator[None]:
        """Whether somebody asks soon while this is entered."""
        before, self.is_asked = self.is_asked, soon
        try:
            yield
        finally:
            self.is_asked = before

    def __bool__(self) -> bool:
        if self.told_to_end:
            raise TerminatedError(
                "the process was terminated; the state is saved",
                remedy="continue with luthier resume: the results will be the same",
            )
        return self.raised

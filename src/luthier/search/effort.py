"""What a search may spend, and how it goes about it."""

from __future__ import annotations

from dataclasses import dataclass, fields

from luthier.errors import ConfigError
from luthier.identity import identity
from luthier.messages import Message
from luthier.records import JsonObject
from luthier.search.spaces.samplers import SAMPLERS, Sampler, sampler_named
from luthier.search.spaces.stages import brackets


@dataclass(frozen=True)
class Effort:
    """What a search may spend, and how it goes about it.

    `trials` and `seconds` bound it, whichever is reached first. `together` trials are proposed at a time
    (0: 32, more in a very long search, or 8 to 16 for samplers that learn from what they are told).
    Populations hold at most `chunk` of them; those of one architecture are dealt to at least `spread`
    populations, so that as many workers have something to do. `confirm` is the number of seeds behind the
    reported figures; 0 leaves refitting out. All populations that train at a time keep to `memory` bytes together
    (0: half of the machine's).
    """

    trials: int | None = None
    seconds: float | None = None
    sampler: str | Sampler = "random"
    tiers: bool = True
    halving: str = ""
    epochs: int = 10
    seed: int = 0
    confirm: int = 5
    together: int = 0
    chunk: int = 16
    spread: int = 2
    memory: int = 0

    def __post_init__(self) -> None:
        mistakes: list[str] = [
            Message(
                "{name} must be a whole number of at least {least}, not {value!r}", name=name, least=least, value=value
            )
            for name, value, least in (
                ("trials", self.trials, 1),
                ("epochs", self.epochs, 1),
                ("confirm", self.confirm, 0),
                ("together", self.together, 0),
                ("chunk", self.chunk, 1),
                ("spread", self.spread, 1),
                ("memory", self.memory, 0),
            )
            if value is not None and not (isinstance(value, int) and value >= least)
        ]
        if self.seconds is not None and not self.seconds > 0:
            mistakes.append(Message("the budget must be above 0 seconds, not {seconds:g}", seconds=self.seconds))
        if self.trials is None and self.seconds is None:
            mistakes.append("give a number of trials or a time budget")
        if self.halving and self.sampler == "grid":
            mistakes.append("grid search cannot be combined with halving: choose another sampler")
        if not isinstance(self.sampler, str) or self.sampler not in SAMPLERS:
            sampler_named(self.sampler)
        brackets(self.halving, 1)
        if mistakes:
            raise ConfigError(mistakes)

    def to_json(self) -> JsonObject:
        """Plain values; a sampler of one's own by its name and a text that another one's differs in."""
        return {field.name: getattr(self, field.name) for field in fields(self)} | {"sampler": identity(self.sampler)}

    @property
    def at_once(self) -> int:
        """How many trials are proposed at a time."""
        if self.together:
            return self.together
        learns = self.sampler in ("tpe", "gp", "coarse-to-fine") and not self.halving
        if learns:
            return 16 if (self.trials or 0) > 100 else 8
        return max(32, min(512, (self.trials or 0) // 64))  # between two rounds a worker may wait

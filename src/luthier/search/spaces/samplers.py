"""Who says what to try next: one protocol, asked with everything told so far.

A sampler keeps nothing between two asks: what it proposes follows from the request alone, so that a
search that was killed goes on as if it had not been. d dimensions.
"""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

from luthier.errors import ConfigError, nearest, users_code
from luthier.identity import name_of
from luthier.messages import Message, joined
from luthier.search.spaces.space import Choice, Space, Values
from luthier.search.spaces.trials import Trial, best_first
from luthier.seeds import derive, numpy_generator

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

Box = dict[str, tuple[float, float]]


@dataclass(frozen=True)
class Request:
    """`count` settings more of `space`, of which `asked` were proposed before and `total` are planned.

    `told` are the trials of this space that are done; `seed` is the stage's.
    """

    space: Space
    count: int
    asked: int
    total: int
    told: Sequence[Trial]
    seed: int


@dataclass(frozen=True)
class Proposal:
    """Settings to try, fewer than asked for where a space or a generation ends; what the sampler has to say."""

    settings: list[Values]
    notes: tuple[str, ...] = ()
    box: Box = field(default_factory=dict)


class Sampler(Protocol):
    """Proposes settings."""

    name: str

    def ask(self, request: Request) -> Proposal:
        """The next settings."""


class Random:
    """Every dimension drawn independently on its own scale."""

    name = "random"

    def ask(self, request: Request) -> Proposal:
        """The next settings."""
        indices = range(request.asked, request.asked + request.count)
        return Proposal([self._at(request, place) for place in indices])

    @staticmethod
    def _at(request: Request, place: int) -> Values:
        draws = numpy_generator(request.seed, "random", place).random(len(request.space.dimensions))
        return request.space.values(dict(zip(request.space.dimensions, draws, strict=True)))


class Grid:
    """Every combination of evenly spread levels, as many for each dimension as the planned trials allow."""

    name = "grid"

    def ask(self, request: Request) -> Proposal:
        """The next settings; none once the grid is exhausted."""
        space, wanted = request.space, (request.asked, request.asked + request.count)
        levels = [space.dimensions[name].levels(count) for name, count in grid_levels(space, request.total).items()]
        return Proposal([space.setting(row) for row in itertools.islice(itertools.product(*levels), *wanted)])


def grid_levels(space: Space, total: int) -> dict[str, int]:
    """How many levels of each dimension give a grid of at most `total` settings.

    >>> from luthier.search.spaces.space import Number
    >>> grid_levels(Space({"a": Number(0, 1), "b": Number(0, 1)}), 25)
    {'a': 5, 'b': 5}
    """
    counts = {name: 1 if not isinstance(d, Choice) else len(d.options) for name, d in space.dimensions.items()}
    while True:
        room = [name for name, d in space.dimensions.items() if counts[name] < d.size]
        room.sort(key=lambda name: counts[name])
        grown = next((name for name in room if math.prod({**counts, name: counts[name] + 1}.values()) <= total), None)
        if grown is None:
            return counts
        counts[grown] += 1


class Sobol:
    """A scrambled Sobol sequence: fills the space more evenly than random draws."""

    name = "sobol"

    def ask(self, request: Request) -> Proposal:
        """The next settings."""
        from scipy.stats import qmc

        names, last = list(request.space.dimensions), request.asked + request.count
        sequence = qmc.Sobol(len(names), scramble=True, seed=derive(request.seed, "sobol") % 2**32)
        points = sequence.random_base2(max(1, math.ceil(math.log2(max(2, last)))))[request.asked : last]
        return Proposal([request.space.values(dict(zip(names, point, strict=True))) for point in points.tolist()])


class CoarseToFine:
    """Random search in a box that moves and shrinks around the best few.

    The planned trials are shared out to `generations`. Each one's box is that of the best `few` of all
    before it, kept inside the box before; where the best setting lies at an edge of that box, the next
    one is widened over it.
    """

    name = "coarse-to-fine"

    def __init__(self, generations: int = 4, few: float = 0.2) -> None:
        self.generations, self.few = generations, few

    def ask(self, request: Request) -> Proposal:
        """The next settings, at most to the end of their generation."""
        length = max(1, math.ceil(request.total / self.generations))
        generation = request.asked // length
        count = min(request.count, (generation + 1) * length - request.asked)
        box, notes = self.box(request, generation, length)
        first = request.asked == generation * length
        settings = [self._inside(request, box, request.asked + k) for k in range(count)]
        return Proposal(settings, tuple(notes) if first else (), box)

    @staticmethod
    def _inside(request: Request, box: Box, place: int) -> Values:
        draws = numpy_generator(request.seed, "coarse-to-fine", place).random(len(box))
        shares = {name: low + u * (high - low) for (name, (low, high)), u in zip(box.items(), draws, strict=True)}
        return request.space.values(shares)

    def box(self, request: Request, generation: int, length: int) -> tuple[Box, list[str]]:
        """The box of a generation in shares of each range, and what moved its edges outward."""
        box: Box = dict.fromkeys(request.space.dimensions, (0.0, 1.0))
        notes: list[str] = []
        for g in range(1, generation + 1):
            told = best_first(request.told[: g * length])
            if not told:
                continue
            few = [request.space.shares(t.values) for t in told[: max(3, round(self.few * g * length))]]
            best, notes = request.space.shares(told[0].values), []
            box = {name: self._narrowed(name, edges, few, best, request, notes) for name, edges in box.items()}
        return box, notes

    @staticmethod
    def _narrowed(
        name: str,
        edges: tuple[float, float],
        few: list[dict[str, float]],
        best: Mapping[str, float],
        request: Request,
        notes: list[str],
    ) -> tuple[float, float]:
        if isinstance(request.space.dimensions[name], Choice):
            return edges  # options have no neighbourhood
        (low, high), result = edges, [shares[name] for shares in few]
        width = high - low
        margin = width / (2 * len(few))
        inside = max(low, min(result) - margin), min(high, max(result) + margin)
        if inside[1] - inside[0] > 0.7 * width:  # the few disagree: shrink around the best all the same
            inside = max(low, best[name] - 0.35 * width), min(high, best[name] + 0.35 * width)
        edge = 0.05 * width
        if best[name] - low < edge and low > 0:
            notes.append(Message("the best {name} lies at the lower edge of its range, which is extended", name=name))
            inside = max(0.0, low - 0.25 * width), inside[1]
        if high - best[name] < edge and high < 1:
            notes.append(Message("the best {name} lies at the upper edge of its range, which is extended", name=name))
            inside = inside[0], min(1.0, high + 0.25 * width)
        return inside


class OptunaSampler:
    """Optuna's samplers, asked for several settings at once: `tpe` or `gp`.

    Every dimension goes to Optuna as its share of the range, so its scale is ours.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._study: Any = None
        self._told = 0
        self._key: object = None

    def ask(self, request: Request) -> Proposal:
        """The next settings."""
        import optuna

        study = self._with(request)
        seed = derive(request.seed, self.name, request.asked) % 2**32
        startup = max(10, 2 * len(request.space.dimensions))
        asked, settings = [], []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Optuna says of both, in some versions, that they are new
            if self.name == "tpe":
                study.sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=startup, constant_liar=True)
            else:
                study.sampler = optuna.samplers.GPSampler(seed=seed, n_startup_trials=startup)
            for _ in range(request.count):
                trial = study.ask(self._distributions(request.space))
                asked.append(trial)
                shares = {
                    name: d.share(d.options[trial.params[name]]) if isinstance(d, Choice) else trial.params[name]
                    for name, d in request.space.dimensions.items()
                }
                settings.append(request.space.values(shares))
            for trial in asked:  # they come back as told trials; until then the study forgets them
                study.tell(trial, state=optuna.trial.TrialState.FAIL)
        return Proposal(settings)

    def _with(self, request: Request) -> Any:
        """A study in memory with everything told; only what is new is added."""
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        key = (id(request.space), request.seed)
        if self._key != key or self._told > len(request.told):
            self._study, self._told, self._key = optuna.create_study(), 0, key
        distributions = self._distributions(request.space)
        for trial in request.told[self._told :]:
            if trial.known:
                self._study.add_trial(
                    optuna.trial.create_trial(
                        value=trial.value, params=self._shares(request.space, trial), distributions=distributions
                    )
                )
        self._told = len(request.told)
        return self._study

    @staticmethod
    def _distributions(space: Space) -> dict[str, BaseDistribution]:
        from optuna.distributions import CategoricalDistribution, FloatDistribution

        return {
            name: CategoricalDistribution(tuple(range(len(d.options))))
            if isinstance(d, Choice)
            else FloatDistribution(0.0, 1.0)
            for name, d in space.dimensions.items()
        }

    @staticmethod
    def _shares(space: Space, trial: Trial) -> dict[str, object]:
        shares = space.shares(trial.values)
        return {
            name: d.options.index(trial.values.get(name, d.middle())) if isinstance(d, Choice) else shares[name]
            for name, d in space.dimensions.items()
        }


SAMPLERS: dict[str, Callable[[], Sampler]] = {
    "random": Random,
    "grid": Grid,
    "sobol": Sobol,
    "coarse-to-fine": CoarseToFine,
    "tpe": lambda: OptunaSampler("tpe"),
    "gp": lambda: OptunaSampler("gp"),
}
_OF_OPTUNA = ("tpe", "gp")


def sampler_named(sampler: str | Sampler) -> Sampler:
    """A sampler of SAMPLERS by its name, or one of your own as it is."""
    if not isinstance(sampler, str):
        if not callable(getattr(sampler, "ask", None)):
            raise ConfigError([f"a sampler is one of {', '.join(SAMPLERS)}, or an object with `ask`, not {sampler!r}"])
        if isinstance(sampler, type):
            raise ConfigError([f"a sampler is an object, not its class: {sampler.__name__}()"])
        return sampler
    if sampler not in SAMPLERS:
        raise ConfigError(
            [
                joined(
                    [
                        Message("'{sampler}' is not a sampler", sampler=sampler),
                        nearest(sampler, SAMPLERS) or Message("one of {names}", names=", ".join(SAMPLERS)),
                    ]
                )
            ]
        )
    if sampler in _OF_OPTUNA:
        from luthier.optional import require

        require("optuna", extra="search", purpose=f"the sampler '{sampler}'")
    return SAMPLERS[sampler]()


@dataclass
class Unseen:
    """Asks a sampler until it has settings that nobody tried before; says when there are none left."""

    sampler: Sampler
    seen: set[str] = field(default_factory=set)

    def ask(self, request: Request, whole: Space) -> tuple[Proposal, int]:
        """New settings of the `whole` space, and how many proposals that took. None left: an empty proposal."""
        result: list[Values] = []
        notes: list[str] = []
        box: Box = {}
        used = 0
        for _ in range(20):
            rest = replace(request, count=request.count - len(result), asked=request.asked + used)
            with users_code("the sampler cannot propose settings", expected="ask(request) -> Proposal"):
                proposal = self.sampler.ask(rest)
            used += len(proposal.settings)
            notes += [note for note in proposal.notes if note not in notes]
            box = box or proposal.box
            fresh = self._new(proposal.settings, whole)
            result += fresh
            if len(result) >= request.count or not proposal.settings:
                break
            if name_of(self.sampler) == "coarse-to-fine" and result:
                break  # a generation ended
        if not result and request.space.size < _FEW:
            result = self._new(_every(request.space), whole)[: request.count]
        return Proposal(result, tuple(notes), box), used

    def _new(self, settings: Sequence[Values], whole: Space) -> list[Values]:
        fresh = []
        for setting in settings:
            pruned = whole.pruned({**{n: d.middle() for n, d in whole.dimensions.items()}, **setting})
            key = whole.key(pruned)
            if key not in self.seen:
                self.seen.add(key)
                fresh.append(pruned)
        return fresh


_FEW = 100_000  # settings that are worth going through one by one for the last new ones


def _every(space: Space) -> list[Values]:
    levels = [dimension.levels(_FEW) for dimension in space.dimensions.values()]
    return [space.setting(row) for row in itertools.product(*levels)]

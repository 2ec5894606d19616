"""Steps 3 and 4: one designed experiment a step, cross-fitted over folds of the open rows or judged by one part.

A screen of shapes with settings within each, trained for half of a whole training; a second round of whole
trainings, where posterior draws of the effects are lowest; the setting with the lowest expected loss is adopted. No
network is stopped by the rows that judge it. F factors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np

from luthier.recipe.decisions.decision import decided, finite
from luthier.recipe.decisions.experiment import Effect, ExperimentEvidence, Tried, adopted_place
from luthier.recipe.delivery.deliver_bags import by_metric
from luthier.recipe.delivery.target_metrics import TargetMetrics
from luthier.recipe.experiment.factor_space import LENGTH, FactorSpace, Shape
from luthier.recipe.experiment.fold_bags import Bag, BagPlan, choosing_folds, train_bags
from luthier.recipe.experiment.rounds import SCREEN, there_is_time
from luthier.recipe.planning.setting import Setting
from luthier.recipe.running.runner import Runner
from luthier.records import Said
from luthier.seeds import derive
from luthier.statistics.designs import Box, sobol_settings, spread_shapes
from luthier.statistics.effects import Effects, ShapeEffects

STAGES = {3: "fit training", 4: "fit validation"}
PREFIXES = {3: "train", 4: "validate"}
CANDIDATE_POINTS = 256  # among which draws of the posterior choose
MEASURED = 0.5  # weight of a setting's own loss beside the one that all others make likely
LOWEST = 1e-12
DIGITS = 4  # of log losses: sums in another order, by groups or processes, choose no other settings
LATE = 100  # from which number on rounds are called that take what the questions left
SHOWN = 12  # settings in the ledger's evidence


@dataclass(frozen=True)
class TriedShape:
    """One shape of a round: its coded points [P, F], the first of them its first setting, and their bags."""

    shape: Shape
    points: np.ndarray
    bags: Sequence[Bag]

    @property
    def logs(self) -> np.ndarray:
        """Log out-of-fold losses [P]; NaN where a network diverged."""
        return np.log(np.maximum([bag.loss for bag in self.bags], LOWEST)).round(DIGITS)


@dataclass(frozen=True)
class Explored:
    """What a step's experiment came to: the adopted setting and its bag, all whole bags, and where it lies."""

    setting: Setting
    bags: Sequence[Bag]  # whole trainings, the adopted setting's first
    shape: Shape
    point: np.ndarray
    populations: Sequence[TriedShape]


@dataclass
class Experiment:
    """The designed experiment of one step."""

    runner: Runner
    step: int
    space: FactorSpace
    reference: tuple[str, float] | None = None  # what it is compared with, and its out-of-fold loss
    screened: Sequence[TriedShape] = ()

    @property
    def _prefix(self) -> str:
        return PREFIXES[self.step]

    def explore(self, reference: Setting | None = None) -> Said[Explored | None]:
        """Screen, second round, adoption; None when the clock cut the first shape already.

        A `reference` is trained whole beside them: what the step is compared with.
        """
        design = self.runner.plan.design
        assert design is not None
        self.screened = screened = yield from self._screen(design.shapes, design.settings)
        if not screened:
            return None
        if reference is not None:
            trial = BagPlan(STAGES[self.step], kept=0)
            known = yield from train_bags(self.runner, f"{self._prefix}-reference", [reference], trial)
            self.reference = (reference.label, known[0].loss) if known else None
        whole = yield from self._second(screened, design.settings, design.second)
        return self._best(whole or screened)

    def further(self, so_far: Explored, number: int, *, late: bool = False) -> Said[Explored | None]:
        """One more round of whole trainings near the adopted setting, from other seeds; None when time is up.

        A `late` one takes what the questions left.
        """
        design, place = self.runner.plan.design, LATE * late + number
        assert design is not None
        name, stage = f"{self._prefix}-further-{place}", "questions" if late else STAGES[self.step]
        box, _ = Box.whole(len(self.space.factors)).widened(so_far.point, self.space.factors)
        for _ in range(1 + number // 2):
            box = box.narrowed(so_far.point)
        points = np.vstack([so_far.point, self._points(so_far.populations, design.settings, box, name)[1:]])
        length = so_far.shape.get(LENGTH, 1.0) * (0.5, 2.0)[number % 2]
        others = [shape for shape in self._best_shapes(so_far.populations) if shape != so_far.shape]
        shapes = [so_far.shape, others[0] if others and number % 3 == 2 else {**so_far.shape, LENGTH: length}]
        tried = [[self.space.setting(shape, point) for point in points] for shape in shapes]
        if not (yield from there_is_time(self.runner, stage, self.step, name, tried)):
            return None
        new = yield from self._trained(name, [(shape, points) for shape in shapes], BagPlan(stage, seed=2 + place))
        return self._best([*so_far.populations, *new]) if new else None

    @property
    def has_late_rounds(self) -> bool:
        """Whether what the questions left is used: of a budget of time, or where the record has it."""
        recorded = self.runner.recipe.rounds
        if recorded is not None:
            return f"{self._prefix}-further-{LATE}" in recorded
        return self.runner.budget_clock.budget.seconds is not None

    def adopt(self, explored: Explored) -> Said[Setting]:
        """The setting with the lowest expected loss, said with the evidence."""
        tried = self._tried(self._expected_of(explored.populations))
        if tried:
            yield from decided(self.step, self._evidence(explored.populations, tried))
        return explored.setting

    def _screen(self, shapes: int, settings: int) -> Said[list[TriedShape]]:
        space, seed = self.space, derive(self.runner.problem.seed, "screen", self.step)
        placed = [
            (shape, sobol_settings(space.factors, settings, derive(seed, number), space.first_values))
            for number, shape in enumerate(spread_shapes(space.choices, shapes, space.first_shape, seed))
        ]
        trial = BagPlan(STAGES[self.step], SCREEN, kept=1)
        return (yield from self._trained(f"{self._prefix}-screen", placed, trial))

    def _trained(self, name: str, placed: Sequence[tuple[Shape, np.ndarray]], trial: BagPlan) -> Said[list[TriedShape]]:
        """Shapes with their points [P, F], trained one after another; those that the clock cut are left out."""
        result = []
        for number, (shape, points) in enumerate(placed):
            tried = [self.space.setting(shape, point) for point in points]
            if bags := (yield from train_bags(self.runner, f"{name}-{number}", tried, trial)):
                result.append(TriedShape(shape, points, bags))
        return result

    def _second(self, screened: Sequence[TriedShape], settings: int, second: int) -> Said[list[TriedShape]]:
        """Whole trainings of the best shapes, at points where draws of the posterior are lowest.

        Where time is short there are fewer of them; the likeliest setting is always trained whole.
        """
        name, stage = f"{self._prefix}-second", STAGES[self.step]
        shapes = self._whole_shapes(screened)[:second]
        points = self._points(screened, settings, Box.whole(len(self.space.factors)), name)
        for size, (many, each) in {name: (len(shapes), settings), f"{name}-smaller": (2, settings // 2)}.items():
            tried = [[self.space.setting(shape, point) for point in points[:each]] for shape in shapes[:many]]
            if (yield from there_is_time(self.runner, stage, self.step, size, tried)):
                break
        else:
            shapes = [self.space.first_shape]
            tried = [[self.space.setting(shapes[0], point) for point in points[:2]]]
        placed = [(shape, points[: len(own)]) for shape, own in zip(shapes, tried, strict=False)]
        return (yield from self._trained(name, placed, BagPlan(stage, seed=1)))

    def _whole_shapes(self, screened: Sequence[TriedShape]) -> list[Shape]:
        """What is trained whole: the best shape, the first one, the best for half as long, the next, for twice as long.

        The first shape is always among them: an ensemble is never without the setting that the step started from.
        """
        best, *others = self._best_shapes(screened)
        first = self.space.first_shape
        rest = [shape for shape in others if shape != first]
        result = [best, *([first] if best != first else []), {**best, LENGTH: 0.5}, *rest[:1], {**best, LENGTH: 2.0}]
        return result + rest[1:]

    def _best_shapes(self, populations: Sequence[TriedShape]) -> list[Shape]:
        """The shapes, best first; third, the one not tried yet that is likely to be good."""
        firsts = np.array([one.logs[0] for one in populations])
        lowest = np.array([np.nanmin(one.logs) if np.isfinite(one.logs).any() else np.nan for one in populations])
        order = np.argsort(np.where(np.isfinite(lowest), (firsts + lowest) / 2, np.inf), kind="stable")
        tried = [one.shape for one in populations]
        fitted = ShapeEffects.fit(self.space.choices, tried, firsts)
        choices = {choice.name: choice.levels for choice in self.space.choices}
        grid = [dict(zip(choices, levels, strict=True)) for levels in product(*choices.values())]
        others = [shape for shape in grid if shape not in tried]
        if not others or len(populations) < 3:
            return [tried[k] for k in order]
        likely = others[int(np.argmin(fitted.mean(others)))]
        return [tried[k] for k in order[:2]] + [likely] + [tried[k] for k in order[2:]]

    def _effects(self, populations: Sequence[TriedShape]) -> Effects:
        kept = [one for one in populations if np.isfinite(one.logs[0])]
        if not kept:
            none = np.zeros((0, len(self.space.factors)))
            return Effects.fit(self.space.names, none, none, np.zeros(0))
        sizes = [len(one.points) for one in kept]
        return Effects.fit(
            self.space.names,
            np.vstack([one.points for one in kept]),
            np.repeat([one.points[0] for one in kept], sizes, 0),
            np.concatenate([one.logs - one.logs[0] for one in kept]),
            shapes=np.repeat(np.arange(len(kept)), sizes),
        )

    def _points(self, populations: Sequence[TriedShape], count: int, box: Box, name: str) -> np.ndarray:
        """The first setting, the best by the posterior mean, and the best of draws (Thompson), coded [count, F]."""
        seed = derive(self.runner.problem.seed, "points", name)
        effects, first = self._effects(populations), box.clipped(self.space.first_point)
        candidates = sobol_settings(self.space.factors, CANDIDATE_POINTS, seed, self.space.first_values, box)
        firsts = np.tile(first, (len(candidates), 1))
        draws = effects.draws(candidates, firsts, max(1, count - 2), seed)
        chosen = dict.fromkeys([int(np.argmin(effects.mean(candidates, firsts))), *map(int, draws.argmin(1))])
        order = [k for k in chosen if k != 0] + [k for k in np.argsort(effects.mean(candidates, firsts)) if k]
        return np.vstack([self.space.first_point, candidates[list(dict.fromkeys(order))[: count - 1]]])

    def _best(self, whole: Sequence[TriedShape]) -> Explored:
        """The setting that is adopted so far; the first one where every network diverged."""
        placed = self._expected_of(whole)
        tried = self._tried(placed)
        one, k, _ = placed[adopted_place(tried) if tried else 0]
        best = one.bags[k]
        bags = [best, *(bag for each in whole for bag in each.bags if bag is not best)]
        return Explored(best.setting, bags, one.shape, one.points[k], whole)

    def _all(self, whole: Sequence[TriedShape]) -> list[TriedShape]:
        return [*self.screened, *(one for one in whole if all(one is not other for other in self.screened))]

    def _expected_of(self, whole: Sequence[TriedShape]) -> list[tuple[TriedShape, int, float]]:
        """Settings with their expected losses, lowest first: their own, drawn towards what all make likely."""
        effects, result = self._effects(self._all(whole)), []
        for one in whole:
            likely = effects.mean(one.points, np.tile(one.points[0], (len(one.points), 1)))
            apart = (one.logs - likely)[np.isfinite(one.logs) & np.isfinite(likely)]
            likely = likely + (np.median(apart) if len(apart) else np.nan)  # of the shape, by all of its settings
            expected = np.exp(np.where(np.isfinite(one.logs), MEASURED * one.logs + (1 - MEASURED) * likely, np.inf))
            result += [(one, k, float(value)) for k, value in enumerate(expected)]
        return sorted(result, key=lambda each: each[2] if np.isfinite(each[2]) else np.inf)

    def _tried(self, placed: Sequence[tuple[TriedShape, int, float]]) -> list[Tried]:
        """The best settings, with their metric where one was asked for, or those of several targets, where their
        networks were kept."""
        bags = [(one.bags[k], value) for one, k, value in placed[:SHOWN] if np.isfinite(value)]
        if self._targets is not None:
            return self._targets.tried(bags)
        known = self._by_metric([bag for bag, _ in bags])
        return [
            Tried(bag.setting.label, float(bag.loss), value, *known.get(place, ()))
            for place, (bag, value) in enumerate(bags)
        ]

    def _by_metric(self, bags: Sequence[Bag]) -> dict[int, tuple[float, float | None]]:
        """Of kept bags the metric, and by how much it may be better than the best one's: by the jackknife over rows."""
        problem = self.runner.problem
        if not problem.asked_metric:
            return {}
        judged, kind = by_metric(problem), problem.task.kind
        folds, kept = choosing_folds(problem).numpy(), {k: bag for k, bag in enumerate(bags) if bag.is_kept}
        outputs = {k: judged.prediction_in_folds(bag.outputs(kind).numpy(), folds) for k, bag in kept.items()}
        values = {k: judged.value(some) for k, some in outputs.items()}
        if not values or not np.isfinite(list(values.values())).all():
            return {}
        best = max(values, key=lambda k: values[k] if judged.larger_is_better else -values[k])
        return {
            k: (values[k], 0.0 if k == best else finite(judged.gain(some, outputs[best]).high))
            for k, some in outputs.items()
        }

    @cached_property
    def _targets(self) -> TargetMetrics | None:
        """The metrics of several targets that share their networks; of one target none."""
        return None if self.runner.problem.joint is None else TargetMetrics.of(self.runner.problem)

    def _evidence(self, whole: Sequence[TriedShape], tried: Sequence[Tried]) -> ExperimentEvidence:
        everyone, design, problem = self._all(whole), self.runner.plan.design, self.runner.problem
        assert design is not None
        targets = () if self._targets is None else self._targets.metrics
        names, metrics = tuple(one.task.target for one in targets), tuple(one.name for one in targets)
        settings = sum(len(one.bags) for one in everyone)
        first = next((float(np.exp(one.logs[0])) for one in whole if one.shape == self.space.first_shape), None)
        return ExperimentEvidence(
            step=self.step,
            shapes=len({tuple(one.shape.items()) for one in everyone}),
            settings=settings,
            networks=settings * design.folds,
            folds=design.folds,
            diverged=sum(not np.isfinite(bag.loss) for one in everyone for bag in one.bags),
            first=finite(first),
            reference="" if self.reference is None else self.reference[0],
            reference_loss=None if self.reference is None else finite(self.reference[1]),
            effects=tuple(
                Effect(one.name, round(one.size, 5), round(one.error, 5)) for one in self._effects(everyone).effects()
            ),
            tried=tuple(tried),
            metric=problem.asked_metric if any(one.value is not None for one in tried) else "",
            yardstick=problem.asked_metric if problem.is_judged_by_answers else "",
            targets=names,
            target_metrics=metrics,
            shaped=tuple(name for name in self.space.first_shape if len({one.shape[name] for one in everyone}) > 1),
        )

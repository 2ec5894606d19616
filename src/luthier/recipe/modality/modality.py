"""What rows bring to the recipe: their networks, what the experiments vary and ask about them, and what these cost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar, NamedTuple, Protocol

from luthier.engine import Member, ModuleSpec, Schedule
from luthier.nets import Spec
from luthier.recipe.experiment.factor_space import FactorSpace
from luthier.recipe.experiment.fold_bags import learnt_rows
from luthier.recipe.experiment.questions import Question
from luthier.recipe.planning.plan import Method, PlanSize, first_batch
from luthier.recipe.planning.setting import Setting
from luthier.recipe.preparing.problem import Problem
from luthier.recipe.running.runner import Runner
from luthier.records import Said


class WholeTraining(NamedTuple):
    """How long a whole training is at first: its length is a factor.

    A leaner screen is better than less than `enough_epochs`, or `enough_steps`; more than `most_epochs` is not planned.
    """

    enough_epochs: float
    most_epochs: float
    enough_steps: int


class Modality(Protocol):
    """Cells of a table, pictures, or text: all that steps 2 to 4 need to know of it.

    `method` is how inputs enter the bare network. Rows of a modality that can be `crossed` are learnt from in folds.
    Networks that `need_all_cores` wait for the baselines before they train. `longer` is what a network of a shape costs
    beside the first one's, in the mean over shapes, lengths and batch sizes; `whole` is how long a whole training is.
    """

    method: Method
    crossed: bool
    need_all_cores: bool
    longer: float
    whole: WholeTraining

    def size(self, problem: Problem, seconds: float | None) -> PlanSize:
        """What the plan depends on besides the budget, of so many seconds where it is one of time."""

    def first_setting(self, problem: Problem) -> Setting:
        """The strong setting that the experiments start from."""

    def bare_network(self, problem: Problem, method: str, width: int) -> Spec:
        """The documents' first architecture: what the range tests train, and the reference beside all that is tried."""

    def choose_network(self, runner: Runner) -> Said[None]:
        """Step 2: say the first architecture, and how inputs enter it."""

    def training_space(self, runner: Runner) -> FactorSpace:
        """Step 3: what may fit the training set, around the first setting."""

    def validation_space(self, runner: Runner, now: Setting) -> FactorSpace:
        """Step 4: what may close the gap to rows that were not learnt from, around the setting of step 3."""

    def questions(self, runner: Runner, now: Setting, rates: Mapping[str, float]) -> Iterator[Question]:
        """The recipe's questions about the adopted setting, with the rates that range tests found."""

    def work(self, spec: Spec | ModuleSpec, batch_size: int) -> float:
        """What a step of a network costs, in products and what takes as long."""


class OneByOne(Modality, Protocol):
    """What modalities share whose networks train one after another: their batches, `rate` and `betas` at first."""

    most_batch: ClassVar[int]
    rate: ClassVar[float]
    betas: ClassVar[tuple[float, float]] = (0.9, 0.999)

    def size(self, problem: Problem, seconds: float | None) -> PlanSize:
        """Smaller batches and shorter range tests than of tables."""
        rows, methods = len(problem.data.training), (self.method,)
        return PlanSize(rows, methods=methods, most_batch=self.most_batch, range_seeds=2, range_steps=60)

    def first_setting(self, problem: Problem) -> Setting:
        """The bare network, with Adam and a cosine."""
        spec = self.bare_network(problem, self.method, 0)
        member = Member(spec, 0, self.rate, schedule=Schedule("cosine"), betas=self.betas)
        return Setting(self.method, "adam", first_batch(learnt_rows(problem), self.most_batch), member)

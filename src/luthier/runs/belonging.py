"""Whether the files of a run's folder belong to each other: it may have been put together by somebody else."""

from __future__ import annotations

from luthier.data import Task
from luthier.errors import ConfigError, InputError
from luthier.objective import metrics_of
from luthier.objective.metrics import PREFIX
from luthier.recipe.reading import LoadedData
from luthier.saved import Model
from luthier.task import require_metrics


def require_metric(name: str, task: Task) -> None:
    """InputError for a metric that is not one of the task's."""
    try:
        require_metrics(name, task)
    except ConfigError as error:
        if name.startswith(PREFIX):
            raise InputError(error.mistakes[0]) from None
        expected = f"one of {', '.join(metrics_of(task.kind))}"
        raise InputError(f"the run is judged by '{name[:60]}'", expected=expected) from None


def require_model_of(read: LoadedData, model: Model) -> None:
    """InputError for a model that does not predict what a run's data ask for, or from other columns."""
    asked, predicted = ((task.target, task.kind, task.classes) for task in (read.task, model.task))
    if asked != predicted:
        raise InputError(
            "the model in the run's folder is not the run's",
            expected=f"a model that predicts `{read.task.target}`, {read.task.kind}",
            received=f"one that predicts `{model.task.target}`, {model.task.kind}",
        )
    missing = {column.name for column in model.encoder.columns if column.used} - set(read.frame.columns)
    if missing:
        received = ", ".join(sorted(missing)[:5])
        raise InputError("the model in the run's folder needs columns that the run's data lack", received=received)

"""Whether the files of a run's folder belong to each other: it may have been put together by somebody else."""

from __future__ import annotations

from luthier.data import Task
from luthier.errors import ConfigError, InputError
from luthier.messages import Message
from luthier.objective import metrics_of
from luthier.objective.metrics import PREFIX
from luthier.recipe.rows.reading import LoadedData
from luthier.saved import Model
from luthier.task import require_metrics


def require_metric(name: str, task: Task) -> None:
    """InputError for a metric that is not one of the task's."""
    try:
        require_metrics(name, task)
    except ConfigError as error:
        if name.startswith(PREFIX):
            raise InputError(error.mistakes[0]) from None
        expected = Message("one of {names}", names=", ".join(metrics_of(task.kind)))
        raise InputError(Message("the run is judged by '{name}'", name=name[:60]), expected=expected) from None


def require_model_of(read: LoadedData, model: Model) -> None:
    """InputError for a model that does not predict what a run's data ask for, or from other columns."""
    asked, predicted = ((task.target, task.kind, task.classes) for task in (read.task, model.task))
    if asked != predicted:
        raise InputError(
            "the model in the run's folder is not the run's",
            expected=Message("a model that predicts `{target}`, {kind}", target=read.task.target, kind=read.task.kind),
            received=Message("one that predicts `{target}`, {kind}", target=model.task.target, kind=model.task.kind),
        )
    missing = {column.name for column in model.encoder.columns if column.used} - set(read.frame.columns)
    if missing:
        received = ", ".join(sorted(missing)[:5])
        raise InputError("the model in the run's folder needs columns that the run's data lack", received=received)

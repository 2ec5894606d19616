"""Options of calls as editors show them: made from `luthier.request` by `luthier.cli.reference`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from typing_extensions import TypedDict


class DataOptions(TypedDict, total=False):
    """Options of `DataConfig`."""

    columns: Mapping[str, str] | None
    """Kinds of columns in place of those inferred: number, boolean, category, date, text, identifier or constant; of
    dates their format too, such as date:%d/%m/%Y."""
    group: str | None
    """Column whose equal values keep rows in one part of the split: one patient's, one customer's."""
    time: str | None
    """Column by which rows are split in time: validated and tested on the latest."""
    sample_weight: str | None
    """Column of sample weights, for training and every score; rows of weight 0 are set aside."""
    beside: Sequence[str] | None
    """Other targets of the same table, which are not used as inputs; in a run of several targets all others are."""
    test: Any | None
    """Rows of your own to judge on, sealed in place of a part of the source's: a file, a folder of pictures, in Python
    also a frame or arrays. "none" seals nothing: what is delivered is estimated on the open rows, out of fold."""
    test_share: float | None
    """Share of the source's rows that is sealed, up to 0.5."""
    size: int | None
    """Longer side of the scaled pictures, in pixels; 0: at most 64, with a backbone 224."""
    strict: bool | None
    """Fail on a picture that cannot be read, and on a text that is empty, of emoji alone or over 100,000 letters."""
    task: str | None
    """regression, count, share, amount, binary, multiclass, ordered, labels; inferred from the target if not given."""
    order: str | Sequence[str] | None
    """The levels of an ordered target from low to high, such as low,medium,high."""
    metric: str | Sequence[str] | None
    """Metric that selects the model and its answer, and is reported first; of several, such as auc,log-loss, the first
    decides and all are reported. Scikit-learn's spellings are known. Default: the usual one of the task."""
    costs: str | None
    """Costs of a false positive and a false negative, such as 1:5; they set the threshold. Of any number of classes a
    CSV file: a row for each true class, a column for what it is answered as."""
    positive: str | int | None
    """Of two classes the positive one, which `costs`, f1 and the threshold are about. Default: the one that means yes,
    else the rarer."""


class FitOptions(TypedDict, total=False):
    """Options of `FitConfig`."""

    columns: Mapping[str, str] | None
    """Kinds of columns in place of those inferred: number, boolean, category, date, text, identifier or constant; of
    dates their format too, such as date:%d/%m/%Y."""
    group: str | None
    """Column whose equal values keep rows in one part of the split: one patient's, one customer's."""
    time: str | None
    """Column by which rows are split in time: validated and tested on the latest."""
    sample_weight: str | None
    """Column of sample weights, for training and every score; rows of weight 0 are set aside."""
    beside: Sequence[str] | None
    """Other targets of the same table, which are not used as inputs; in a run of several targets all others are."""
    test: Any | None
    """Rows of your own to judge on, sealed in place of a part of the source's: a file, a folder of pictures, in Python
    also a frame or arrays. "none" seals nothing: what is delivered is estimated on the open rows, out of fold."""
    test_share: float | None
    """Share of the source's rows that is sealed, up to 0.5."""
    size: int | None
    """Longer side of the scaled pictures, in pixels; 0: at most 64, with a backbone 224."""
    strict: bool | None
    """Fail on a picture that cannot be read, and on a text that is empty, of emoji alone or over 100,000 letters."""
    task: str | None
    """regression, count, share, amount, binary, multiclass, ordered, labels; inferred from the target if not given."""
    order: str | Sequence[str] | None
    """The levels of an ordered target from low to high, such as low,medium,high."""
    metric: str | Sequence[str] | None
    """Metric that selects the model and its answer, and is reported first; of several, such as auc,log-loss, the first
    decides and all are reported. Scikit-learn's spellings are known. Default: the usual one of the task."""
    costs: str | None
    """Costs of a false positive and a false negative, such as 1:5; they set the threshold. Of any number of classes a
    CSV file: a row for each true class, a column for what it is answered as."""
    positive: str | int | None
    """Of two classes the positive one, which `costs`, f1 and the threshold are about. Default: the one that means yes,
    else the rarer."""
    budget: str | int | None
    """60s, 10m, 2h or 5000steps; of a search a time. Default: 60s for bundled data, else 5m; of a search its trials."""
    memory: str | int | None
    """Memory limit, such as 2GiB. Networks that do not fit together train in turns; of a larger table a sample is used
    for every decision, and the final networks train on all rows. The program itself takes about 850 MiB beside it.
    Default: half of the machine's memory, or of the container's."""
    device: str | None
    """Where networks train: cpu, cuda, cuda:1 or mps. auto takes an accelerator where a few timed steps are faster
    there; of a search it is the processor, whose cores share the trials."""
    seed: int | None
    """Random seed of the whole run; of a run's folder that is searched, of the search alone."""
    backbone: str | Path | None
    """For pictures, a pretrained network: auto (efficientnet-lite0 with weights from a package), resnet18, resnet34,
    resnet50, or module:callable; beside other columns it stays frozen. For text alone, minilm or a model's folder."""
    backbone_weights: str | Path | None
    """File of the backbone's pretrained weights: .safetensors, .pt or .pth. Default: those of its package."""
    text_model: str | Path | None
    """What gives columns of text their sentence vectors: static, the table that comes with Luthier; minilm, from its
    package; the folder of a sentence transformer, which is read as numbers alone; or none."""
    separate: bool | None
    """Of several targets train networks for each by itself, in place of networks that all of them share."""
    distil: bool | None
    """Distil the ensemble into one network."""
    quantiles: str | Sequence[str] | None
    """Of a number its quantiles for each row as well, such as 0.1,0.5,0.9: the values below which these shares lie."""
    warm_start: str | Path | None
    """A finished run whose networks are trained further on these rows; forgetting is measured."""
    run: str | Path | None
    """Folder of the run. Default: runs/NAME; in Python a temporary one."""
    replace: bool | None
    """Overwrite an existing run in that folder."""
    registered: bool | None
    """Keep which rows this run reads and learns from (in LUTHIER_HOME), and count earlier runs. Default: where the
    run has a folder that stays."""
    track: str | None
    """Also log the run to tensorboard:FOLDER or mlflow:ADDRESS."""
    verbose: int | None
    """What is printed: 0 nothing (the logger "luthier" has every decision), 1 decisions and progress, 2 a table of
    epochs too; of a search every trial."""
    on: str | None
    """local, ray (a Ray cluster: the one that is running, or else one that is started here), or a cluster's address."""
    workers: int | None
    """Worker processes: of a cluster that is started here, of a search also without one. Default: one per core."""
    until: int | None
    """Stop after this step, 1 to 5; step 5 reads the test set."""


class TuneOptions(TypedDict, total=False):
    """Options of `TuneConfig`."""

    columns: Mapping[str, str] | None
    """Kinds of columns in place of those inferred: number, boolean, category, date, text, identifier or constant; of
    dates their format too, such as date:%d/%m/%Y."""
    group: str | None
    """Column whose equal values keep rows in one part of the split: one patient's, one customer's."""
    time: str | None
    """Column by which rows are split in time: validated and tested on the latest."""
    sample_weight: str | None
    """Column of sample weights, for training and every score; rows of weight 0 are set aside."""
    beside: Sequence[str] | None
    """Other targets of the same table, which are not used as inputs; in a run of several targets all others are."""
    test: Any | None
    """Rows of your own to judge on, sealed in place of a part of the source's: a file, a folder of pictures, in Python
    also a frame or arrays. "none" seals nothing: what is delivered is estimated on the open rows, out of fold."""
    test_share: float | None
    """Share of the source's rows that is sealed, up to 0.5."""
    size: int | None
    """Longer side of the scaled pictures, in pixels; 0: at most 64, with a backbone 224."""
    strict: bool | None
    """Fail on a picture that cannot be read, and on a text that is empty, of emoji alone or over 100,000 letters."""
    task: str | None
    """regression, count, share, amount, binary, multiclass, ordered, labels; inferred from the target if not given."""
    order: str | Sequence[str] | None
    """The levels of an ordered target from low to high, such as low,medium,high."""
    metric: str | Sequence[str] | None
    """Metric that selects the model and its answer, and is reported first; of several, such as auc,log-loss, the first
    decides and all are reported. Scikit-learn's spellings are known. Default: the usual one of the task."""
    costs: str | None
    """Costs of a false positive and a false negative, such as 1:5; they set the threshold. Of any number of classes a
    CSV file: a row for each true class, a column for what it is answered as."""
    positive: str | int | None
    """Of two classes the positive one, which `costs`, f1 and the threshold are about. Default: the one that means yes,
    else the rarer."""
    budget: str | int | None
    """60s, 10m, 2h or 5000steps; of a search a time. Default: 60s for bundled data, else 5m; of a search its trials."""
    memory: str | int | None
    """Memory limit, such as 2GiB. Networks that do not fit together train in turns; of a larger table a sample is used
    for every decision, and the final networks train on all rows. The program itself takes about 850 MiB beside it.
    Default: half of the machine's memory, or of the container's."""
    device: str | None
    """Where networks train: cpu, cuda, cuda:1 or mps. auto takes an accelerator where a few timed steps are faster
    there; of a search it is the processor, whose cores share the trials."""
    seed: int | None
    """Random seed of the whole run; of a run's folder that is searched, of the search alone."""
    on: str | None
    """local, ray (a Ray cluster: the one that is running, or else one that is started here), or a cluster's address."""
    workers: int | None
    """Worker processes: of a cluster that is started here, of a search also without one. Default: one per core."""
    trials: int | None
    """Number of trials. Default: 64, or as many as the budget allows."""
    sampler: str | None
    """random, grid, sobol, coarse-to-fine, tpe or gp."""
    halving: str | None
    """successive or hyperband: stop poor trials early."""
    tiers: bool | None
    """Search hyper-parameters tier by tier, in their order of importance, instead of all at once."""
    epochs: int | None
    """Epochs per trial. Default: by the number of rows; of a module of one's own 10."""
    confirm: int | None
    """Fresh seeds for the reported figures; 0: do not refit."""
    storage: str | None
    """Also write the study, live, to this Optuna storage."""
    study: str | None
    """Name of the study in that storage. Default: the run's."""
    run: str | Path | None
    """Folder of the run. Default: runs/NAME; in Python a temporary one."""
    replace: bool | None
    """Overwrite an existing run in that folder."""
    registered: bool | None
    """Keep which rows this run reads and learns from (in LUTHIER_HOME), and count earlier runs. Default: where the
    run has a folder that stays."""
    track: str | None
    """Also log the run to tensorboard:FOLDER or mlflow:ADDRESS."""
    verbose: int | None
    """What is printed: 0 nothing (the logger "luthier" has every decision), 1 decisions and progress, 2 a table of
    epochs too; of a search every trial."""


class SearchConfigOptions(TypedDict, total=False):
    """Options of `SearchConfig`."""

    budget: str | int | None
    """60s, 10m, 2h or 5000steps; of a search a time. Default: 60s for bundled data, else 5m; of a search its trials."""
    memory: str | int | None
    """Memory limit, such as 2GiB. Networks that do not fit together train in turns; of a larger table a sample is used
    for every decision, and the final networks train on all rows. The program itself takes about 850 MiB beside it.
    Default: half of the machine's memory, or of the container's."""
    device: str | None
    """Where networks train: cpu, cuda, cuda:1 or mps. auto takes an accelerator where a few timed steps are faster
    there; of a search it is the processor, whose cores share the trials."""
    seed: int | None
    """Random seed of the whole run; of a run's folder that is searched, of the search alone."""
    on: str | None
    """local, ray (a Ray cluster: the one that is running, or else one that is started here), or a cluster's address."""
    workers: int | None
    """Worker processes: of a cluster that is started here, of a search also without one. Default: one per core."""
    trials: int | None
    """Number of trials. Default: 64, or as many as the budget allows."""
    halving: str | None
    """successive or hyperband: stop poor trials early."""
    tiers: bool | None
    """Search hyper-parameters tier by tier, in their order of importance, instead of all at once."""
    epochs: int | None
    """Epochs per trial. Default: by the number of rows; of a module of one's own 10."""
    confirm: int | None
    """Fresh seeds for the reported figures; 0: do not refit."""
    storage: str | None
    """Also write the study, live, to this Optuna storage."""
    study: str | None
    """Name of the study in that storage. Default: the run's."""


class OutputOptions(TypedDict, total=False):
    """Options of `OutputSection`."""

    run: str | Path | None
    """Folder of the run. Default: runs/NAME; in Python a temporary one."""
    replace: bool | None
    """Overwrite an existing run in that folder."""
    registered: bool | None
    """Keep which rows this run reads and learns from (in LUTHIER_HOME), and count earlier runs. Default: where the
    run has a folder that stays."""
    track: str | None
    """Also log the run to tensorboard:FOLDER or mlflow:ADDRESS."""
    verbose: int | None
    """What is printed: 0 nothing (the logger "luthier" has every decision), 1 decisions and progress, 2 a table of
    epochs too; of a search every trial."""
    on: str | None
    """local, ray (a Ray cluster: the one that is running, or else one that is started here), or a cluster's address."""
    workers: int | None
    """Worker processes: of a cluster that is started here, of a search also without one. Default: one per core."""
    until: int | None
    """Stop after this step, 1 to 5; step 5 reads the test set."""


class ShownOptions(TypedDict, total=False):
    """Options of `ShownSection`."""

    track: str | None
    """Also log the run to tensorboard:FOLDER or mlflow:ADDRESS."""
    verbose: int | None
    """What is printed: 0 nothing (the logger "luthier" has every decision), 1 decisions and progress, 2 a table of
    epochs too; of a search every trial."""
    on: str | None
    """local, ray (a Ray cluster: the one that is running, or else one that is started here), or a cluster's address."""
    workers: int | None
    """Worker processes: of a cluster that is started here, of a search also without one. Default: one per core."""
    until: int | None
    """Stop after this step, 1 to 5; step 5 reads the test set."""

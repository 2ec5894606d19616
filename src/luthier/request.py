"""What may be asked of `fit` and `tune`: every option once.

A field is an option: its type is what it takes, its docstring what it means, its `OptionSpec` how the command line
spells it and what later commands make of it. Options of the command line, `recipe.toml`, the types that an editor shows
(`luthier.request_types`) and the tables of the reference are made from these fields.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, NamedTuple, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic.fields import FieldInfo

from luthier.errors import ConfigError, InputError
from luthier.messages import Message
from luthier.mistakes import mistakes_in
from luthier.renamed import OPTIONS, current_name
from luthier.schema_types import (
    Bytes,
    FilePath,
    Kinds,
    Listed,
    Named,
    NamedOrNone,
    Names,
    Place,
    Rows,
    Whole,
)


class OptionSpec(NamedTuple):
    """What an option is beside its name, type and meaning."""

    later: str = ""  # what later commands make of it, in the order of `option_table.COMMANDS`; of what is recorded
    why: str = ""  # where they do not obey it
    flag: str = ""  # on the command line, where it is not the field's name
    alone: bool = False  # of runs with one target only
    off: str = ""  # the meaning of the flag, where it turns off what the field turns on


_PICTURES = "pictures are neither searched nor exported"
_REPLACED = "the way back says it anew"
_TOGETHER = "networks of several targets are trained in one go"
_OPEN = "the model does not know how rows were split"


class Section(BaseModel):
    """Options that belong together; frozen, and of no other names."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True, validate_by_name=True
    )
    title: ClassVar[str] = ""

    @model_validator(mode="before")
    @classmethod
    def _as_today(cls, values: Any) -> Any:
        return _flat(values) if isinstance(values, Mapping) else values

    @classmethod
    def of(cls, config: Config = None, /, **options: Any) -> Self:
        """A config, a mapping or a TOML file, with options beside it that replace its own; None is not said.

        ConfigError that lists every option that is not there, or of another type.

        >>> FitConfig.of({"data": {"group": "patient"}}, metric="auc", seed=3).group
        'patient'
        >>> FitConfig.of(metric=3, budgt="1m")
        Traceback (most recent call last):
        luthier.errors.ConfigError: 2 settings are wrong:
          - metric: input should be a valid string, not 3
          - budgt: there is no such setting; did you mean 'budget'?
        """
        said = {current_name(n, OPTIONS[n], level=4) if n in OPTIONS else n: v for n, v in options.items()}
        try:
            known = _flat(_values(config))
            return cls(**{**known, **{name: value for name, value in said.items() if value is not None}})
        except ValidationError as error:
            raise ConfigError(mistakes_in(error, cls.model_fields)) from None

    def given(self) -> dict[str, object]:
        """The options that were said, also where they say the default."""
        return {name: getattr(self, name) for name in type(self).model_fields if name in self.model_fields_set}

    def in_sections(self) -> dict[str, dict[str, object]]:
        """Every option in the table of its section, as TOML has it."""
        values = self.model_dump(mode="json")
        result: dict[str, dict[str, object]] = {}
        for name, value in values.items():
            if value is not None:
                result.setdefault(section_of(type(self), name), {})[name] = value
        return result


class DataSection(Section):
    """The rows, and what their columns are."""

    title = "data"
    columns: Annotated[Kinds, OptionSpec("oooo oo ooo oo", flag="--column")] = Field(default_factory=dict)
    """Kinds of columns in place of those inferred: number, boolean, category, date, text, identifier or constant; of
    dates their format too, such as date:%d/%m/%Y."""
    group: Annotated[str, OptionSpec("oooo oo ooo --", _OPEN)] = ""
    """Column whose equal values keep rows in one part of the split: one patient's, one customer's."""
    time: Annotated[str, OptionSpec("oooo oo ooo --", _OPEN)] = ""
    """Column by which rows are split in time: validated and tested on the latest."""
    sample_weight: Annotated[
        str, OptionSpec("oooo oo ooo --", "a prediction does not depend on how much its row counts")
    ] = ""
    """Column of sample weights, for training and every score; rows of weight 0 are set aside."""
    beside: Annotated[Names, OptionSpec("oooo oo ooo oo")] = ()
    """Other targets of the same table, which are not used as inputs; in a run of several targets all others are."""
    test: Annotated[Rows, OptionSpec("oo-o oo ooo --", f"{_REPLACED}; {_OPEN}")] = ""
    """Rows of your own to judge on, sealed in place of a part of the source's: a file, a folder of pictures, in Python
    also a frame or arrays. "none" seals nothing: what is delivered is estimated on the open rows, out of fold."""
    test_share: Annotated[float, Field(gt=0, le=0.5), OptionSpec("oo-o oo ooo --", f"{_REPLACED}; {_OPEN}")] = 0.2
    """Share of the source's rows that is sealed, up to 0.5."""
    size: Annotated[int, Field(ge=0, le=4096), OptionSpec("ooor rr oor oo", _PICTURES)] = 0
    """Longer side of the scaled pictures, in pixels; 0: at most 64, with a backbone 224."""
    strict: Annotated[
        bool, OptionSpec("ooor rr oor --", f"{_PICTURES}; a picture to predict that cannot be read is refused")
    ] = False
    """Fail on a picture that cannot be read, and on a text that is empty, of emoji alone or over 100,000 letters."""


class TaskSection(Section):
    """What is predicted, and what a good prediction is."""

    title = "task"
    target: Annotated[NamedOrNone, OptionSpec("oooo oo ooo oo")] = None
    """Column to predict."""
    task: Annotated[str | None, OptionSpec("oooo oo ooo oo", alone=True)] = None
    """regression, count, share, amount, binary, multiclass, ordered, labels; inferred from the target if not given."""
    order: Annotated[Listed, OptionSpec("oooo oo ooo oo", alone=True)] = ""
    """The levels of an ordered target from low to high, such as low,medium,high."""
    metric: Annotated[Listed, OptionSpec("oooo oo ooo oo", alone=True)] = ""
    """Metric that selects the model and its answer, and is reported first; of several, such as auc,log-loss, the first
    decides and all are reported. Scikit-learn's spellings are known. Default: the usual one of the task."""
    costs: Annotated[str, OptionSpec("oooo oo ooo oo", flag="--cost", alone=True)] = ""
    """Costs of a false positive and a false negative, such as 1:5; they set the threshold. Of any number of classes a
    CSV file: a row for each true class, a column for what it is answered as."""
    positive: Annotated[Named, OptionSpec("oooo oo ooo oo", alone=True)] = ""
    """Of two classes the positive one, which `costs`, f1 and the threshold are about. Default: the one that means yes,
    else the rarer."""


class BudgetSection(Section):
    """What may be spent, and where."""

    title = "budget"
    budget: Annotated[
        Named, OptionSpec("ooo- -- o-- --", "nothing of the recipe is trained: a search has a budget of its own")
    ] = ""
    """60s, 10m, 2h or 5000steps; of a search a time. Default: 60s for bundled data, else 5m; of a search its trials."""
    memory: Annotated[Bytes, OptionSpec("oooo oo ooo --", "rows to predict come in pieces")] = 0
    """Memory limit, such as 2GiB. Networks that do not fit together train in turns; of a larger table a sample is used
    for every decision, and the final networks train on all rows. The program itself takes about 850 MiB beside it.
    Default: half of the machine's memory, or of the container's."""
    device: Annotated[
        Annotated[str, Field(max_length=100)],
        OptionSpec("oooo oo o-- --", "a model opens on the processor, and nothing is trained"),
    ] = "auto"
    """Where networks train: cpu, cuda, cuda:1 or mps. auto takes an accelerator where a few timed steps are faster
    there; of a search it is the processor, whose cores share the trials."""
    seed: Annotated[Whole, OptionSpec("oooo oo ooo --", "nothing is drawn")] = 0
    """Random seed of the whole run; of a run's folder that is searched, of the search alone."""


class MethodSection(Section):
    """How the model is come by."""

    title = "method"
    backbone: Annotated[
        Place, OptionSpec("orrr rr oor oo", "a backbone is trained in one go, not searched or exported", alone=True)
    ] = ""
    """For pictures, a pretrained network: auto (efficientnet-lite0 with weights from a package), resnet18, resnet34,
    resnet50, or module:callable; beside other columns it stays frozen. For text alone, minilm or a model's folder."""
    backbone_weights: Annotated[
        Place, OptionSpec("orrr rr oor oo", f"they go with --backbone; {_PICTURES}", alone=True)
    ] = ""
    """File of the backbone's pretrained weights: .safetensors, .pt or .pth. Default: those of its package."""
    text_model: Annotated[Place, OptionSpec("oooo oo ooo oo")] = "static"
    """What gives columns of text their sentence vectors: static, the table that comes with Luthier; minilm, from its
    package; the folder of a sentence transformer, which is read as numbers alone; or none."""
    separate: Annotated[bool, OptionSpec("oooo oo ooo oo")] = False
    """Of several targets train networks for each by itself, in place of networks that all of them share."""
    distil: Annotated[bool, OptionSpec("ooo- -- ooo oo", "one network is delivered anyway")] = False
    """Distil the ensemble into one network."""
    quantiles: Annotated[
        Listed,
        OptionSpec("oooo -- o-- oo", "a search learns no residuals; an export gives the answer alone", alone=True),
    ] = ""
    """Of a number its quantiles for each row as well, such as 0.1,0.5,0.9: the values below which these shares lie."""
    warm_start: Annotated[
        Place, OptionSpec("orro oo ooo oo", "a warm start has no steps 2 to 4 to begin at", alone=True)
    ] = ""
    """A finished run whose networks are trained further on these rows; forgetting is measured."""


class FollowedSection(Section):
    """How a call is followed."""

    track: Annotated[str, OptionSpec()] = ""
    """Also log the run to tensorboard:FOLDER or mlflow:ADDRESS."""
    verbose: Annotated[int, Field(ge=0, le=2), OptionSpec()] = 0
    """What is printed: 0 nothing (the logger "luthier" has every decision), 1 decisions and progress, 2 a table of
    epochs too; of a search every trial."""


class PlaceSection(Section):
    """Where networks train."""

    on: Annotated[str, OptionSpec()] = "local"
    """local, ray (a Ray cluster: the one that is running, or else one that is started here), or a cluster's address."""
    workers: Annotated[int | None, Field(ge=1, le=10_000), OptionSpec()] = None
    """Worker processes: of a cluster that is started here, of a search also without one. Default: one per core."""


class ShownSection(PlaceSection, FollowedSection):
    """How far a call goes, where its networks train, and how it is followed."""

    until: Annotated[int, OptionSpec()] = 5
    """Stop after this step, 1 to 5; step 5 reads the test set."""


class KeptSection(Section):
    """Where a run is kept."""

    run: Annotated[Place, OptionSpec()] = ""
    """Folder of the run. Default: runs/NAME; in Python a temporary one."""
    replace: Annotated[bool, OptionSpec()] = False
    """Overwrite an existing run in that folder."""
    registered: Annotated[
        bool | None,
        OptionSpec(
            flag="--no-register",
            off="Do not keep which rows this run reads and learns from (in LUTHIER_HOME), nor count earlier runs.",
        ),
    ] = None
    """Keep which rows this run reads and learns from (in LUTHIER_HOME), and count earlier runs. Default: where the
    run has a folder that stays."""


class OutputSection(ShownSection, KeptSection):
    """Where a run is kept, how far it goes, and how it is followed."""

    title = "output"


class DataConfig(TaskSection, DataSection):
    """A request to `luthier.doctor`."""


class PlanConfig(MethodSection, BudgetSection, TaskSection, DataSection):
    """What a run is asked for: from these options and its data a plan is made.

    Pydantic has the fields of the last base first.
    """


class FitConfig(OutputSection, PlanConfig):
    """A request to `luthier.fit`.

    >>> FitConfig(target="price", group="seller", budget="10m").given()
    {'group': 'seller', 'target': 'price', 'budget': '10m'}
    """


class RunRequest(PlanConfig):
    """What a run was asked for, as its folder records it: its options, and where it comes from."""

    @property
    def test_file(self) -> str:
        """The file of test rows of its own; empty where there is none."""
        return "" if self.test == NO_TEST else self.test

    @property
    def seals(self) -> bool:
        """Whether rows are sealed."""
        return self.test != NO_TEST

    source: Annotated[FilePath, OptionSpec("oooo oo ooo --", "the model holds what it needs of the data", "SOURCE")]
    """A path or a bundled name; empty where the data came without one."""
    previous: Annotated[FilePath, OptionSpec("o--o oo ooo --", f"{_REPLACED}; {_OPEN}", "branch RUN")] = ""
    """The run whose earlier steps are kept."""
    begin_at: Annotated[
        int,
        Field(ge=1, le=5),
        OptionSpec("o--- -- o-- --", f"{_REPLACED}; steps are taken by `fit` and `test` alone", "--step"),
    ] = 1
    """The first step that is walked anew."""
    heads: Annotated[Names, OptionSpec("rrro -- ooo oo", _TOGETHER, "several --target")] = ()
    """The targets that share the run's networks."""
    head_metrics: Annotated[Names, OptionSpec("rrro -- ooo oo", _TOGETHER, "several --target")] = ()
    """The metrics asked for of each of them; empty for one of which none was."""
    base: Annotated[FilePath, OptionSpec("---- -o ooo --", f"a search alone has one; {_OPEN}", "tune RUN")] = ""
    """The run whose table, split and setting a search takes over."""


class SearchSection(PlaceSection):
    """How hyper-parameters are searched."""

    title = "search"
    trials: Annotated[int | None, OptionSpec()] = None
    """Number of trials. Default: 64, or as many as the budget allows."""
    sampler: Annotated[str, OptionSpec()] = "random"
    """random, grid, sobol, coarse-to-fine, tpe or gp."""
    halving: Annotated[str, OptionSpec()] = ""
    """successive or hyperband: stop poor trials early."""
    tiers: Annotated[
        bool, OptionSpec(flag="--flat", off="Search all hyper-parameters at once instead of tier by tier.")
    ] = True
    """Search hyper-parameters tier by tier, in their order of importance, instead of all at once."""
    epochs: Annotated[int | None, OptionSpec()] = None
    """Epochs per trial. Default: by the number of rows; of a module of one's own 10."""
    confirm: Annotated[int, OptionSpec()] = 5
    """Fresh seeds for the reported figures; 0: do not refit."""
    storage: Annotated[str | None, OptionSpec()] = None
    """Also write the study, live, to this Optuna storage."""
    study: Annotated[str | None, OptionSpec()] = None
    """Name of the study in that storage. Default: the run's."""


class SearchConfig(SearchSection, BudgetSection):
    """A request to `luthier.tune`."""


class TuneConfig(FollowedSection, KeptSection, SearchConfig, TaskSection, DataSection):
    """A request to `luthier.tune_table`."""


Config = Section | Mapping[str, Any] | str | os.PathLike[str] | None
NO_TEST = "none"  # in place of test rows: nothing is sealed
ORIGIN = "origin"  # of what is recorded beside what was asked
SECTIONS = {
    one.title: one for one in (DataSection, TaskSection, BudgetSection, MethodSection, OutputSection, SearchSection)
}


def section_of(config: type[Section], name: str) -> str:
    """The section that a field of a request belongs to; of what is recorded alone, "origin".

    >>> section_of(FitConfig, "group"), section_of(RunRequest, "source")
    ('data', 'origin')
    """
    return next((title for title, one in SECTIONS.items() if name in one.model_fields), ORIGIN)


def option_of(field: FieldInfo) -> OptionSpec:
    """What a field is beside its name, type and meaning."""
    return next(item for item in field.metadata if isinstance(item, OptionSpec))


def accepted(field: FieldInfo) -> Any:
    """The type that an option takes, which may be wider than the one it is kept in.

    >>> accepted(FitConfig.model_fields["memory"])
    str | int
    """
    wide = (one.json_schema_input_type for one in field.metadata if isinstance(one, BeforeValidator))
    return next(wide, field.annotation)


def flag_of(name: str, field: FieldInfo) -> str:
    """How the command line spells an option.

    >>> flag_of("costs", FitConfig.model_fields["costs"]), flag_of("warm_start", FitConfig.model_fields["warm_start"])
    ('--cost', '--warm-start')
    """
    return option_of(field).flag or "--" + name.replace("_", "-")


def _flat(values: Mapping[str, Any]) -> dict[str, object]:
    """Options may stand in tables of their sections, and under the names of earlier versions."""
    flat: dict[str, object] = {}
    for name, value in values.items():
        in_table = name in (*SECTIONS, ORIGIN) and isinstance(value, Mapping)
        flat |= {OPTIONS.get(one, one): each for one, each in (value.items() if in_table else [(name, value)])}
    return flat


def _values(config: Config) -> Mapping[str, Any]:
    if config is None:
        return {}
    if isinstance(config, Section):
        return config.given()
    if isinstance(config, Mapping):
        return config
    from luthier.untrusted import read_toml  # which brings Polars

    try:
        return read_toml(Path(config))
    except FileNotFoundError:
        raise InputError(
            Message("there is no file '{config}'", config=config), expected="a TOML file with options"
        ) from None

"""What is public is documented: each parameter by name, with its type, and what is raised."""

from __future__ import annotations

import inspect
import re
from typing import Any, get_type_hints

import pytest

import luthier
from luthier.request import FitConfig, TuneConfig, option_of

NAMES = [name for name in luthier.__all__ if name != "__version__"]
# What calls give back, and nobody makes: their attributes are documented, not their parameters.
GIVEN = {"Comparison", "DataReport", "Diagnosis", "Model", "MultiTargetResult", "Result", "Study"}
CONFIGS = {"FitConfig": FitConfig, "TuneConfig": TuneConfig}  # whose fields have a docstring each
CALLED = [name for name in NAMES if name not in GIVEN and name not in CONFIGS]
# Where something is wrong, the call that is given them says so.
RAISES_NOTHING = {
    "DenseSpec",
    "Schedule",
    "Scale",
    "Number",
    "Choice",
    "TrainingMonitor",
    "summary",
}
LIKE = {"LuthierRegressor": "LuthierClassifier"}  # whose parameters are said to be another's


def named_parameters(public: Any) -> list[inspect.Parameter]:
    """The parameters with a name of their own."""
    kinds = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    return [one for one in inspect.signature(public).parameters.values() if one.kind not in kinds]


@pytest.mark.parametrize("name", CALLED)
def test_each_parameter_is_documented_and_typed(name: str) -> None:
    public = getattr(luthier, name)
    said = inspect.getdoc(public) or ""
    if name in LIKE:
        assert f"parameters as those of `{LIKE[name]}`" in " ".join(said.split())
        said += inspect.getdoc(getattr(luthier, LIKE[name])) or ""
    for one in named_parameters(public):
        assert re.search(rf"`{one.name}\b[^`]*`", said), f"{name}: `{one.name}` is not documented"
        assert one.annotation is not one.empty, f"{name}: `{one.name}` has no type"


@pytest.mark.parametrize("name", sorted(set(CALLED) - RAISES_NOTHING))
def test_what_it_raises_is_documented(name: str) -> None:
    public = getattr(luthier, LIKE.get(name, name))
    assert "Error" in (inspect.getdoc(public) or ""), name


@pytest.mark.parametrize("name", NAMES)
def test_public_methods_are_documented_and_typed(name: str) -> None:
    public = getattr(luthier, name)
    if not inspect.isclass(public):
        return
    ours = [
        (method, function)
        for method, function in inspect.getmembers(public, inspect.isfunction)
        if not method.startswith("_") and function.__module__.startswith("luthier")
    ]
    for method, function in ours:
        assert inspect.getdoc(function), f"{name}.{method} is not documented"
        assert set(inspect.signature(function).parameters) - {"self"} <= set(get_hints(function)), f"{name}.{method}"


def get_hints(function: Any) -> dict[str, Any]:
    """The annotations of a function, also of names that only a type checker reads."""
    try:
        return get_type_hints(function)
    except NameError:
        return dict(function.__annotations__)


@pytest.mark.parametrize(("config", "field"), [(c, f) for c, one in CONFIGS.items() for f in one.model_fields])
def test_each_option_has_a_type_a_default_and_a_meaning(config: str, field: str) -> None:
    one = CONFIGS[config].model_fields[field]
    assert one.annotation is not None
    assert not one.is_required()
    assert len(one.description or "") > 15, f"{config}.{field} has no docstring"
    assert option_of(one) is not None


def test_each_number_has_a_unit_or_says_what_it_counts() -> None:
    """Every number of a request is listed here with the word that its docstring has."""
    units = {
        "size": "pixels",
        "memory": "GiB",
        "seed": "seed",
        "verbose": "decisions",
        "until": "step",
        "test_share": "Share",
        "trials": "trials",
        "epochs": "Epochs",
        "confirm": "seeds",
        "workers": "processes",
    }
    for config in CONFIGS.values():
        for field, one in config.model_fields.items():
            if one.annotation in (int, int | None, float, float | None):
                assert units[field] in (one.description or ""), field

"""Named targets and the kind that each of them is, written down before the rule of inference.

Some are columns of the tables of the suite; the frequencies of others are those of their data sets.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
from sklearn import datasets

TABLES = ("ames", "churn", "diamonds", "penguins", "stackoverflow", "star", "titanic", "visits")


def _column(table: str, name: str) -> pl.Series:
    path = Path(os.environ["LUTHIER_DATA"]) / "tables" / f"{table}.csv"
    return pl.read_csv(path, infer_schema_length=None, null_values=["NA", ""])[name]


def _bundled(name: str) -> pl.Series:
    return pl.Series("target", getattr(datasets, f"load_{name}")().target)


def _often(name: str, counts: dict[object, int]) -> pl.Series:
    """Values as often as they are in their data set, mixed."""
    values = [value for value, count in counts.items() for _ in range(count)]
    order = np.random.default_rng(0).permutation(len(values))
    return pl.Series(name, [values[place] for place in order])


def _drawn(name: str, draw: Callable[[np.random.Generator], np.ndarray]) -> pl.Series:
    return pl.Series(name, draw(np.random.default_rng(0)))


def _in_order() -> pl.Series:
    return pl.Series("pain", ["none", "some", "much"] * 40, dtype=pl.Enum(["none", "some", "much"]))


# Articles: Long (1990), 915 biochemists. Quality: red wine, Cortez and others (2009). Cover type: Blackard (1998).
ARTICLES = {0: 275, 1: 246, 2: 178, 3: 84, 4: 67, 5: 27, 6: 17, 7: 12, 8: 1, 9: 2, 10: 1, 11: 1, 12: 2, 16: 1, 19: 1}
QUALITY = {3: 10, 4: 53, 5: 681, 6: 638, 7: 199, 8: 18}
COVER = {1: 365, 2: 488, 3: 61, 4: 5, 5: 16, 6: 30, 7: 35}
STARS = {1: 190, 2: 90, 3: 130, 4: 280, 5: 610}

NAMED: dict[str, tuple[str, Callable[[], pl.Series]]] = {
    "digits": ("multiclass", partial(_bundled, "digits")),
    "iris": ("multiclass", partial(_bundled, "iris")),
    "wine": ("multiclass", partial(_bundled, "wine")),
    "breast cancer": ("binary", partial(_bundled, "breast_cancer")),
    "diabetes": ("regression", partial(_bundled, "diabetes")),
    "MNIST": ("multiclass", partial(_often, "label", {k: 590 + 9 * (k % 4) for k in range(10)})),
    "cover type": ("multiclass", partial(_often, "Cover_Type", COVER)),
    "severity 0/1/2": ("ordered", partial(_often, "severity", {0: 300, 1: 120, 2: 40})),
    "wine quality": ("ordered", partial(_often, "quality", QUALITY)),
    "stars": ("ordered", partial(_often, "stars", STARS)),
    "low, medium, high": ("ordered", partial(_often, "risk", {"low": 60, "high": 30, "medium": 50})),
    "S, M, L, XL": ("ordered", partial(_often, "size", {"M": 60, "S": 30, "L": 50, "XL": 9})),
    "ordered categories": ("ordered", _in_order),
    "cut of diamonds": ("ordered", partial(_column, "diamonds", "cut")),
    "career satisfaction": ("ordered", partial(_column, "stackoverflow", "CareerSatisfaction")),
    "visits": ("count", partial(_column, "visits", "visits")),
    "articles": ("count", partial(_often, "art", ARTICLES)),
    "service calls": ("count", partial(_column, "churn", "number_customer_service_calls")),
    "participation in a plan": (
        "share",
        partial(_drawn, "prate", lambda rng: np.minimum(rng.beta(6, 1.2, 900) * 1.1, 1.0).round(3)),
    ),
    "turnout": ("share", partial(_drawn, "turnout", lambda rng: rng.beta(4, 3, 600))),
    "rain in a day": (
        "amount",
        partial(_drawn, "rain_mm", lambda rng: rng.gamma(0.8, 6.0, 900).round(1) * (rng.random(900) < 0.4)),
    ),
    "claims": (
        "amount",
        partial(_drawn, "claims", lambda rng: rng.lognormal(7, 1.2, 2000).round(2) * (rng.random(2000) < 0.1)),
    ),
    "ages": ("regression", partial(_column, "titanic", "age")),
    "years of building": ("regression", partial(_column, "ames", "Year_Built")),
    "years of coding": ("regression", partial(_column, "stackoverflow", "YearsCodedJob")),
    "prices of diamonds": ("regression", partial(_column, "diamonds", "price")),
    "body mass": ("regression", partial(_column, "penguins", "body_mass_g")),
    "scores in reading": ("regression", partial(_column, "star", "readk")),
    "species": ("multiclass", partial(_column, "penguins", "species")),
    "neighbourhood": ("multiclass", partial(_column, "ames", "Neighborhood")),
    "survived": ("binary", partial(_column, "titanic", "survived")),
    "churn": ("binary", partial(_column, "churn", "churn")),
}

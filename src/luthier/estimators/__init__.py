"""scikit-learn's estimators: populations of networks behind `fit` and `predict`."""

from luthier.estimators.sklearn_estimators import LuthierClassifier, LuthierRegressor

__all__ = ["LuthierClassifier", "LuthierRegressor"]

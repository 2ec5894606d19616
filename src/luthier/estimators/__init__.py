"""scikit-learn's estimators: see `populations`."""

from luthier.estimators.sklearn_estimators import LuthierClassifier, LuthierRegressor

__all__ = ["LuthierClassifier", "LuthierRegressor"]

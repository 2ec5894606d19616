"""scikit-learn's estimators: see `populations`."""

from luthier.estimators.estimators import LuthierClassifier, LuthierRegressor

__all__ = ["LuthierClassifier", "LuthierRegressor"]

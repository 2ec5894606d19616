"""scikit-learn's estimators: see `populations`."""

from luthier.estimators.populations import LuthierClassifier, LuthierRegressor

__all__ = ["LuthierClassifier", "LuthierRegressor"]

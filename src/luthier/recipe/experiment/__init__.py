"""The designed experiment: factors, rounds, bags of folds, questions."""

"""Experiments: a claim, the run that tests it, and what was measured."""

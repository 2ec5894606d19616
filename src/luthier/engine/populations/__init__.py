"""Populations: learner, rule and feed of members that train together, and what comes of them."""

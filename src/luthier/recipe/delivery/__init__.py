"""What is delivered: an ensemble of bags, chosen by the metric, or one network distilled from it."""

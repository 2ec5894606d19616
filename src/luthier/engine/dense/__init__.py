"""Stacks of dense networks, with the four equations of backpropagation written out."""

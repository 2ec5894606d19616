"""Populations on a device: `make gpu` runs the contract tests there and writes a table of figures.

PyTorch and NumPy are all that it needs beside pytest, and no network.
"""

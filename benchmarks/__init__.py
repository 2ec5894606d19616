"""Speed and quality, measured. Run with `make bench`."""

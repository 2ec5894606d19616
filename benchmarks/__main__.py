"""`make bench`: every benchmark, one after another."""

from __future__ import annotations

from benchmarks import tables

if __name__ == "__main__":
    tables.main()

"""`make bench`: every benchmark, one after another; `make bench-quick`: the engine alone, in short turns."""

from __future__ import annotations

import sys

from benchmarks import engine, tables

if __name__ == "__main__":
    quick = "--quick" in sys.argv
    engine.main(quick=quick)
    if not quick:
        tables.main()

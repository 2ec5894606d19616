"""`make bench`: every benchmark, one after another; `make bench-quick`: the engine alone, in two minutes."""

from __future__ import annotations

import sys

from benchmarks import diagnosis, engine, members, ranks, search

if __name__ == "__main__":
    quick = "--quick" in sys.argv
    engine.main(quick=quick)
    if not quick:
        members.main()
        search.main()
        ranks.main()
        diagnosis.main()

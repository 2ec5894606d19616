"""`python -m luthier` is the command line."""

from __future__ import annotations

from luthier.cli import main

if __name__ == "__main__":
    main()

"""Which rows a run has, and what each may be used for: read, known, sealed, split."""

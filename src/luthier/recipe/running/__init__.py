"""How what was planned is trained: the runner, its memory, baselines, a network to begin from."""

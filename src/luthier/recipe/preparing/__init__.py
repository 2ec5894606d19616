"""The problem of a run: its rows encoded and preprocessed, its tasks, losses and yardstick."""

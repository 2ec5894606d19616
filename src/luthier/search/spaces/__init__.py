"""What is searched: spaces, scales, tiers, trials, samplers."""

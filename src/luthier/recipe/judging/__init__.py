"""What the sealed rows say: scores, intervals, quantiles, errors, a look inside."""

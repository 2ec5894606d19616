"""What losses say: differences in pairs, designed experiments and their effects, claims, ensembles; trains nothing."""

from __future__ import annotations

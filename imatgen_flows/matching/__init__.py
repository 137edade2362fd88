"""Comparison of crystals: batched structure matching, and grouping of equal ones."""

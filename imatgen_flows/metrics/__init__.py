"""Measures of quality: reconstruction, rediscovery, baselines and their statistics."""

BASELINES_FILE = "baselines.json"  # in a run directory: what the baseline benchmark of the run found

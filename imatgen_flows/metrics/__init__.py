"""Measures of quality: reconstruction, rediscovery, baselines and their statistics."""

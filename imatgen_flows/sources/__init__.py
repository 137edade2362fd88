"""Sources of candidates: each proposes crystals for the same target cells, so that their results compare."""

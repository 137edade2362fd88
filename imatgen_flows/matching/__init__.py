"""Which crystals are the same: batched structure matching and grouping."""

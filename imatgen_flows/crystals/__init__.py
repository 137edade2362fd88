"""Crystal structures: templates, substitution, the standard cell, chemical limits, distances and repair."""

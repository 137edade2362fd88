"""Crystal structures before any image: templates, substitution, the standard cell, chemistry and repair."""

"""The imatgen command."""

"""The paper's own checks, as functions of tables, structures and models."""

"""Jobs: one module a stage; thin wrappers that return documents."""

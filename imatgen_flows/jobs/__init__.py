"""The jobs of a campaign: one module a job or a small family; each reads its inputs, calls science and returns a document."""

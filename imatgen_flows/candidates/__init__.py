"""What becomes of a sample: states, columns, validity, novelty, selection and the ledger."""

"""How good the parts are, in numbers that can be compared."""

"""Networks that learn codes of crystals and make new ones."""

"""What a crystal is, before any image."""

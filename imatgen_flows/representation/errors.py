"""Errors of encoding and decoding crystals."""

from imatgen_flows.errors import ImatgenError


class PackError(ImatgenError, ValueError):
    """A crystal cannot be encoded: too large for the box, a foreign element, or numbers that are not finite."""


class DecodeError(ImatgenError, ValueError):
    """An image holds no crystal."""

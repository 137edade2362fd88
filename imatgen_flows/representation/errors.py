"""What can go wrong between a crystal and its image."""

from imatgen_flows.errors import ImatgenError


class PackError(ImatgenError, ValueError):
    """A crystal does not go into images: too large for the box, a foreign element, numbers that are not finite."""


class DecodeError(ImatgenError, ValueError):
    """An image holds no crystal."""

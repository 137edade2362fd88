"""Errors that are written for the person who started the campaign."""


class ImatgenError(Exception):
    """A run that failed for a reason we can name (exit status 1)."""


class InputError(ImatgenError):
    """Something the user gave is wrong: a file, a key, a value, a missing package (exit status 2)."""


class Interrupted(ImatgenError):
    """A signal asked the work to stop; what was done so far is kept.

    Attributes
    ----------
    signal : its number
    """

    def __init__(self, message: str, signal: int) -> None:
        super().__init__(message)
        self.signal = signal

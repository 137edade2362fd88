"""Errors that are written for the person who started the campaign."""


class ImatgenError(Exception):
    """A run that failed for a reason we can name (exit status 1)."""


class InputError(ImatgenError):
    """Something the user gave is wrong: a file, a key, a value, a missing package (exit status 2)."""


class JobFailed(BaseException):
    """A stage failed, and the run must end at once.

    No Exception, since jobflow's local manager takes every one of those for a job that may fail, as one of DFT may.

    Attributes
    ----------
    error : what the stage raised
    """

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


class Terminated(KeyboardInterrupt):
    """SIGTERM asked the program to end; like Ctrl-C, nothing on the way takes it for the failure of one structure."""


class Interrupted(ImatgenError):
    """A signal asked the work to stop; what was done so far is kept.

    Attributes
    ----------
    signal : its number
    """

    def __init__(self, message: str, signal: int) -> None:
        super().__init__(message)
        self.signal = signal

"""Locks of directories against a second process; a lock ends with its process, however that ends."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from imatgen_flows.errors import InputError

LOCK_FILE = ".lock"


@contextmanager
def locked(directory: Path, refusal: str) -> Iterator[None]:
    """Lock a directory for the time of a block.

    Parameters
    ----------
    directory : it exists, and can be written to
    refusal : what is said where another process has locked it

    Raises
    ------
    InputError
        Where another process has locked it.
    """
    with (directory / LOCK_FILE).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(refusal) from error
        yield


@contextmanager
def in_turn(directory: Path) -> Iterator[None]:
    """Run a block in one process and thread at a time; the others wait for their turn.

    Parameters
    ----------
    directory : it exists, and can be written to
    """
    path = directory / LOCK_FILE
    path.touch(mode=0o600)
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def is_locked(directory: Path) -> bool:
    """Tell whether a process of this machine has locked a directory."""
    try:
        with (directory / LOCK_FILE).open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False

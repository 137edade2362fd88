"""Errors of the MongoDB client, translated into sentences that say what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from imatgen_flows.errors import ImatgenError

PATIENCE = 5000  # ms to wait for a server


@contextmanager
def database_errors(host: str, port: int) -> Iterator[None]:
    """Translate the errors of a MongoDB client.

    Raises
    ------
    ImatgenError
        In place of pymongo's errors: no server answers, or the password is wrong.
    """
    from pymongo.errors import ConnectionFailure, OperationFailure, PyMongoError

    try:
        yield
    except ConnectionFailure as error:
        raise ImatgenError(
            f"no database answers at {host}:{port}. Start it (`imatgen launchpad start` for the embedded one), or correct "
            "`database` in cluster.yaml, then `imatgen init --cluster DIR`."
        ) from error
    except OperationFailure as error:
        if error.code not in (13, 18):
            raise ImatgenError(f"the database at {host}:{port} refuses: {error}") from error
        raise ImatgenError(
            f"the database at {host}:{port} refuses user or password. Correct `database` in cluster.yaml or the file "
            "with the password, then `imatgen init --cluster DIR`."
        ) from error
    except PyMongoError as error:
        raise ImatgenError(f"the database at {host}:{port} failed: {error}") from error

"""The MongoDB client: how it connects, and its errors, translated into sentences that say what to do."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imatgen_flows.errors import ImatgenError, InputError

if TYPE_CHECKING:
    from pymongo import MongoClient

LAUNCHPAD_FILE = "my_launchpad.yaml"
PATIENCE = 5000  # ms to wait for a server
_WRITE = "then `imatgen init --cluster DIR`"


def read_launchpad_file(directory: Path) -> dict[str, Any]:
    """Read `my_launchpad.yaml` of a configuration directory.

    Raises
    ------
    InputError
        Where it is missing.
    """
    import yaml

    path = directory / LAUNCHPAD_FILE
    try:
        return yaml.safe_load(path.read_text())
    except OSError as error:
        raise InputError(
            f"{path}: no LaunchPad file. `imatgen init --cluster {shlex.quote(str(directory))}` writes it."
        ) from error


def address_of(content: Mapping[str, Any]) -> str:
    """Return the address of a database for people, from a LaunchPad file or a store: `host:port`, or a connection string."""
    uri = content.get("uri") or (content["host"] if content.get("uri_mode") else "")
    return uri.partition("?")[0].rstrip("/") if uri else f"{content['host']}:{content['port']}"


def connect(launchpad: Mapping[str, Any], patience: int) -> MongoClient:
    """Make a client of a database, as FireWorks does.

    Parameters
    ----------
    launchpad : content of `my_launchpad.yaml`
    patience : ms to wait for a server
    """
    from pymongo import MongoClient

    options = {"serverSelectionTimeoutMS": patience} | (launchpad.get("mongoclient_kwargs") or {})
    if launchpad.get("uri_mode"):
        return MongoClient(launchpad["host"], **options)
    if launchpad["username"]:
        options |= {key: launchpad[key] for key in ("username", "password")}
        options["authSource"] = launchpad["authsource"] or launchpad["name"]
    return MongoClient(launchpad["host"], launchpad["port"], **options)


@contextmanager
def database_errors(address: str) -> Iterator[None]:
    """Translate the errors of a MongoDB client.

    Raises
    ------
    ImatgenError
        In place of pymongo's errors: no server answers, its address or its certificate is wrong, or the password is.
    """
    from pymongo.errors import ConfigurationError, ConnectionFailure, OperationFailure, PyMongoError

    try:
        yield
    except ConnectionFailure as error:
        if "SSL" in str(error) or "certificate" in str(error):
            raise ImatgenError(
                f"the encrypted connection to the database at {address} fails: {_first(error)}. Correct `tls`, `tls_ca_file` "
                f"or `tls_key_file` of `database` in cluster.yaml, {_WRITE}."
            ) from error
        raise ImatgenError(
            f"no database answers at {address}. Start it (`imatgen launchpad start` for the embedded one), or correct "
            f"`database` in cluster.yaml, {_WRITE}. A server that demands TLS does not answer without `database.tls`."
        ) from error
    except ConfigurationError as error:
        if "dnspython" in str(error):
            raise ImatgenError(
                f"{address} cannot be looked up: the package dnspython is missing here. pip install dnspython, or write the "
                "hosts in full as mongodb://a,b,c/ in `database.uri`."
            ) from error
        raise ImatgenError(
            f"{address} cannot be used: {_first(error)}. Correct `database.uri` in cluster.yaml, {_WRITE}. A name behind "
            "mongodb+srv:// is looked up in the DNS; where that is out of reach, write the hosts in full as mongodb://a,b,c/."
        ) from error
    except OperationFailure as error:
        if error.code not in (13, 18, 8000):  # the last is Atlas'
            raise ImatgenError(f"the database at {address} refuses: {error}") from error
        raise ImatgenError(
            f"the database at {address} refuses user or password. Correct `database` in cluster.yaml or the file "
            f"with the password, {_WRITE}."
        ) from error
    except PyMongoError as error:
        raise ImatgenError(f"the database at {address} failed: {error}") from error
    except OSError as error:  # of the files of an encrypted connection
        raise ImatgenError(f"the database at {address} cannot be reached: {error}") from error


def _first(error: Exception) -> str:
    """Return the first part of a message of pymongo, which repeats itself for each host and adds its own state."""
    return str(error).partition(", Timeout:")[0].partition(" (configured timeouts")[0].rstrip(".")

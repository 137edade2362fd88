"""Address and credentials of the database, in the words of FireWorks and of jobflow's stores."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any, NamedTuple

from imatgen_flows.cluster import CLUSTER_FILE, Database
from imatgen_flows.errors import InputError


class Login(NamedTuple):
    """Address and credentials of the database."""

    host: str
    port: int
    username: str
    password: str


def database_values(database: Database, directory: Path) -> dict[str, Any]:
    """Return what the templates of `my_launchpad.yaml` and `jobflow.yaml` need.

    Parameters
    ----------
    database : of the cluster file
    directory : the configuration directory

    Raises
    ------
    InputError
        Where the password, or a file of the TLS connection, cannot be read.
    """
    login, options = _login(database, directory), _tls(database)
    user: dict[str, Any] = {"username": login.username, "password": login.password}
    launchpad: dict[str, Any]
    address: dict[str, Any]
    if database.uri:
        # the user is an option of the client, and not part of the string, which shows up in messages of the libraries
        if login.username:
            options |= user | ({"authSource": database.auth_source} if database.auth_source else {})
        launchpad = {"host": database.uri, "port": None, "username": None, "password": None, "authsource": None}
        types, address = ("MongoURIStore", "GridFSURIStore"), {"uri": database.uri}
    else:
        source = (database.auth_source or database.name) if login.username else None
        address = {"host": login.host, "port": login.port}
        launchpad = address | {key: value or None for key, value in user.items()} | {"authsource": source}
        # without a user, maggma takes an empty name
        types, address = ("MongoStore", "GridFSStore"), address | user | {"auth_source": source}
    address |= {"database": database.name} | ({"mongoclient_kwargs": options} if options else {})
    stores = [
        {"type": kind, "collection_name": name} for kind, name in zip(types, ("outputs", "outputs_blobs"), strict=True)
    ]
    return launchpad | {
        "database": database.name,
        "uri_mode": bool(database.uri),
        "mongoclient_kwargs": options,
        "docs_store": stores[0] | address,
        "data_store": stores[1] | address,
    }


def _tls(database: Database) -> dict[str, Any]:
    """Return the options of the client for an encrypted connection.

    Raises
    ------
    InputError
        Where a file cannot be read.
    """
    options: dict[str, Any] = {"tls": True} if database.encrypted else {}
    files = {"tlsCAFile": "tls_ca_file", "tlsCertificateKeyFile": "tls_key_file"}
    for option, key in files.items():
        path: Path | None = getattr(database, key)
        if path is None:
            continue
        try:
            path.open("rb").close()
        except OSError as error:
            raise InputError(f"{path}: {error.strerror}. `database.{key}` in {CLUSTER_FILE} names it.") from error
        options[option] = str(path)
    return options


def _login(database: Database, directory: Path) -> Login:
    if database.embedded:
        from imatgen_flows.launchpad import prepare

        found = prepare(directory / "launchpad")
        return Login(found.host, found.port, found.username, found.password)
    password = _password(directory / database.password_file.expanduser()) if database.password_file else ""
    return Login(database.host, database.port, database.username, password)


def _password(path: Path) -> str:
    try:
        mode, password = path.stat().st_mode, path.read_text().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        cause = error.strerror if isinstance(error, OSError) else "it is not text"
        raise InputError(
            f"password file {path}: {cause}. `database.password_file` in {CLUSTER_FILE} names it."
        ) from error
    if mode & 0o077:
        raise InputError(f"password file {path} can be read by others: chmod 600 {shlex.quote(str(path))}")
    if not password or not password.isprintable():
        raise InputError(f"password file {path}: it must hold the password on one line, and nothing else.")
    return password

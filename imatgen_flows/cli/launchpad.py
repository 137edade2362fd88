"""The commands of `imatgen launchpad`."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated

import typer

from imatgen_flows.cli.options import AsJson, ClusterOption
from imatgen_flows.cli.output import print_table

launchpad_app = typer.Typer(
    help="A database server for FireWorks and job stores, where MongoDB is not at hand.\n\n"
    "For one machine: tests, and small campaigns of a few thousand fireworks. It listens on loopback only, keeps all "
    "documents in one file, and has no replication and no TLS. Production is MongoDB.",
    no_args_is_help=True,
)


@launchpad_app.command()
def start(
    cluster: ClusterOption = None,
    port: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=65535,
            help="Port, remembered from now on. Workers' files hold it: after a change, write them anew with `imatgen init "
            "--cluster DIR`.",
            show_default="as before; at first a free one",
        ),
    ] = None,
) -> None:
    """Start the server in the background; it stays until it is stopped.

    The password is a random token in DIR/token, readable by you alone. A write is on disk before it is acknowledged.
    Not for production: no replication, no TLS, one machine; beyond a few thousand fireworks use MongoDB.
    """
    from imatgen_flows import launchpad

    directory = _directory(cluster)
    launchpad.prepare(directory, port)
    found = launchpad.start(directory)
    typer.echo(f"the embedded LaunchPad answers at {found.host}:{found.port}, user {found.username}")
    typer.echo(f"password: in {directory / 'token'}")


@launchpad_app.command()
def stop(cluster: ClusterOption = None) -> None:
    """Stop the server; what was written stays."""
    from imatgen_flows import launchpad

    stopped = launchpad.stop(_directory(cluster))
    typer.echo("stopped" if stopped else "it was not running")


@launchpad_app.command()
def status(cluster: ClusterOption = None, as_json: AsJson = False) -> None:
    """Show whether the server runs, and what its database holds."""
    from imatgen_flows import launchpad

    found = launchpad.status(_directory(cluster))
    if as_json:
        typer.echo(json.dumps(vars(found) | {"database": str(found.database)}))
        return
    state = f"runs, process {found.pid}" if found.running else "does not run"
    typer.echo(f"server    {state}")
    typer.echo(f"address   {found.host}:{found.port}")
    typer.echo(f"database  {found.database}, {found.nbytes / 1e6:.1f} MB")
    if found.documents:
        rows = [[name, f"{number:,}"] for name, number in found.documents.items()]
        print_table("", ["collection", "documents"], rows)


@launchpad_app.command()
def copy(
    target: Annotated[
        Path,
        typer.Argument(metavar="TO", help="Configuration directory whose database takes it, such as a MongoDB; empty."),
    ],
    cluster: ClusterOption = None,
) -> None:
    """Copy the database of a configuration directory to that of another, to move to MongoDB.

    Jobs and their results come along, so that campaigns go on there. Nothing may be running, and what is copied stays.
    """
    from imatgen_flows.cli.campaigns import cluster_directory
    from imatgen_flows.managers.database_copy import copy_database

    copied = copy_database(cluster_directory(cluster), target)
    print_table("copied", ["collection", "documents"], [[name, f"{number:,}"] for name, number in copied.items()])


def _directory(cluster: Path | None) -> Path:
    """Return the directory of the server's files: in the configuration directory of the cluster, or here without one."""
    return (cluster or Path(os.environ.get("IMATGEN_CLUSTER", "."))) / "launchpad"

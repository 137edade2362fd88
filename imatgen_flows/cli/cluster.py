"""The configuration directory of a cluster, as `imatgen init --cluster` writes it."""

from __future__ import annotations

import shlex
from pathlib import Path

import typer


def init_cluster(directory: Path, embedded: bool) -> None:
    """Write a configuration directory, or the files that follow from its edited cluster file, and print the next steps.

    Parameters
    ----------
    directory : made where it does not exist
    embedded : use the database server of `imatgen launchpad start`
    """
    from imatgen_flows.cluster import CLUSTER_FILE
    from imatgen_flows.managers.cluster_files import start_cluster_directory

    written = start_cluster_directory(directory, embedded)
    folder, started = written[0].parent, written[0].name == CLUSTER_FILE
    typer.echo(f"wrote {len(written)} files in {folder}. Next:")
    here = shlex.quote(str(folder))
    steps = {
        f"imatgen check --cluster {here}": "asks whether the cluster agrees",
        f". {here}/env.sh": "makes it the default",
    }
    if started:
        edit = {f"edit {here}/{CLUSTER_FILE}": "database, partitions, walltimes"}
        steps = edit | {f"imatgen init --cluster {here}": "writes the other files anew"} | steps
    width = max(map(len, steps))
    for command, purpose in steps.items():
        typer.echo(f"  {command:{width}}  # {purpose}")

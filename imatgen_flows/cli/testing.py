"""The commands of `imatgen testing`."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

testing_app = typer.Typer(help="Tools for testing campaigns without VASP.", no_args_is_help=True)


class EngineName(str, Enum):
    """Source of the energies of the stand-in."""

    TOY = "toy"
    CHGNET = "chgnet"


@testing_app.callback()
def _group() -> None: ...


@testing_app.command()
def vasp(
    directory: Annotated[Path, typer.Option("--install", metavar="DIR", help="Where to put it.")],
    engine: Annotated[
        EngineName, typer.Option(help="Source of the energies: a quick toy, or CHGNet.")
    ] = EngineName.TOY,
) -> None:
    """Install a stand-in for VASP, with stub POTCARs, and print what to export. Its results are no DFT."""
    from imatgen_flows.testing.install import install

    for line in install(directory, engine.value).exports:
        typer.echo(line)

"""Options and arguments that several commands share."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from imatgen_flows.errors import InputError
from imatgen_flows.registry import Registry

# groups of commands in `imatgen --help`
CAMPAIGN, CLUSTER, TOOLS = "Campaigns", "On a cluster", "Tools"

RunPath = Annotated[Path, typer.Argument(metavar="RUN", help="A run directory.")]
CampaignFile = Annotated[Path, typer.Argument(metavar="CAMPAIGN.yaml", help="The campaign file.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for pipes.")]
ClusterOption = Annotated[
    Path | None,
    typer.Option(
        "--cluster", metavar="DIR", help="Configuration directory of a cluster.", show_default="IMATGEN_CLUSTER, if set"
    ),
]
Measure = Annotated[
    bool,
    typer.Option(
        "--measure/--no-measure", help="Time a few evaluations and steps of training here, or use recorded rates."
    ),
]
Embedded = Annotated[
    bool, typer.Option("--embedded", help="With --cluster: use our own database server, for one machine only.")
]


def parse_names(text: str | None, registry: Registry, option: str) -> tuple[str, ...]:
    """Read a comma-separated list of names of a registry, in the registry's order; all of them where there is no list.

    Raises
    ------
    InputError
        Where a name is not known, or there is none.
    """
    if text is None:
        return registry.names
    given = {name.strip() for name in text.split(",") if name.strip()}
    unknown = given - set(registry.names)
    if not given or unknown:
        fault = f"knows no {', '.join(sorted(unknown))}" if given else "names nothing"
        raise InputError(f"{option} {fault}; choose from {','.join(registry.names)}.")
    return tuple(name for name in registry.names if name in given)


def parse_path(text: str) -> Path:
    """Read a path; an empty one, as an unset variable of the shell leaves, would mean the working directory.

    Raises
    ------
    InputError
        Where it is empty.
    """
    if not text.strip():
        raise InputError("a path is empty: name a file or a folder. `.` is the working directory.")
    return Path(text)


def parse_system(text: str) -> list[str]:
    """Read a chemical system such as V-O; its elements come in the order of a formula.

    Raises
    ------
    InputError
        Where it is not at least two different elements joined by hyphens.
    """
    from imatgen_flows.crystals.system import chemical_system

    try:
        elements = chemical_system(text.split("-"))
    except InputError as error:
        meant = "-".join(re.findall("[A-Z][a-z]?", text))
        hint = f" Did you mean {meant}?" if "-" in meant and "-" not in text else ""
        raise InputError(
            f"--system {text}: {_SYSTEM}{hint}" if hint else f"--system {text}: {error} {_SYSTEM}"
        ) from error
    if len(elements) < 2:
        raise InputError(f"--system {text}: one element is no system. {_SYSTEM}")
    return elements


_SYSTEM = "Join two or more different elements by hyphens, for example V-O."

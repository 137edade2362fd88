"""The campaign file that `imatgen init` writes."""

from __future__ import annotations

from pathlib import Path

from imatgen_flows.errors import InputError

STARTER = """\
# A campaign. Every key but `system` may be left out; `imatgen plan` says what it will cost.
version: 1
name: vanadium-oxides
system: [V, O]
templates: {source: prototypes}            # or {source: file, path: ...}, {source: mp}, {source: optimade, provider: oqmd}
limits: {max_sites: 20, max_edge: 10.0}    # A
labels: {potential: chgnet, stable_below: 0.5}       # eV/atom, unrelaxed formation energy
generator: {preset: default, seed: 7}
sampling: {slerp: 400, random: 400, perturb: 100}
screen: {potential: chgnet, fmax: 0.05, threshold: 0.15, at_most: 80}   # eV/A, eV/atom
"""


def write_starter(directory: Path) -> Path:
    """Write `campaign.yaml` into a directory.

    Raises
    ------
    InputError
        Where there is one already, or the directory cannot be written.
    """
    path = directory / "campaign.yaml"
    if path.exists():
        raise InputError(f"{path} exists already; it was not touched.")
    try:
        directory.mkdir(parents=True, exist_ok=True)
        path.write_text(STARTER)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}.") from error
    return path

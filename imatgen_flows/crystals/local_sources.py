"""Sources that need no network: the prototypes that ship with pymatgen, and files of the user."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from imatgen_flows.crystals.prototypes import aflow_prototypes
from imatgen_flows.crystals.query import Query
from imatgen_flows.crystals.raw_crystal import RawCrystal
from imatgen_flows.crystals.registry import SourceOptions
from imatgen_flows.crystals.structure_files import read_crystals
from imatgen_flows.errors import InputError


def read_prototypes(options: SourceOptions, query: Query) -> Iterator[RawCrystal]:
    """Read the AFLOW prototypes of pymatgen; those of one label are numbered."""
    seen: dict[str, int] = {}
    for entry in aflow_prototypes():
        label = entry["tags"]["aflow"]
        seen[label] = seen.get(label, 0) + 1
        name = label if seen[label] == 1 else f"{label}-{seen[label]}"
        yield RawCrystal(name, "AFLOW prototypes in pymatgen", entry["snl"].structure)


def read_file(options: SourceOptions, query: Query) -> Iterator[RawCrystal]:
    """Read the crystals of the file or folder that the options name."""
    if options.path is None:
        raise InputError(f"{query.section}: source `file` needs a `path`: a file of crystals, or a folder of them.")
    return read_crystals(Path(options.path), options.where, query.section, options.workers)


def read_nothing(options: SourceOptions, query: Query) -> Iterator[RawCrystal]:
    """Read no crystals: the known phases that ship with the program are added to those of every source."""
    return iter(())

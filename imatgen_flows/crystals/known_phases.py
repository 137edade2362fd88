"""Published phases of a system, from a file or a folder of the user."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from imatgen_flows.crystals.box import MAX_EDGE, MAX_SITES
from imatgen_flows.crystals.exclusion import Exclusion
from imatgen_flows.crystals.isotopes import read_isotopes_as_elements
from imatgen_flows.crystals.structure_files import read_crystals
from imatgen_flows.crystals.templates import Template, check_template


def load_known(
    path: str | Path,
    elements: Iterable[str],
    max_sites: int = MAX_SITES,
    max_edge: float = MAX_EDGE,
    where: Mapping[str, object] | None = None,
) -> tuple[list[Template], list[Exclusion]]:
    """Read the published phases of a system, its elements among them; phases with other elements are excluded.

    Deuterium and tritium are read as hydrogen.

    Parameters
    ----------
    path : a .jsonl or .jsonl.gz file, or a folder of CIF and POSCAR files; see `SourceOptions`
    elements : of the system
    max_sites, max_edge : limits on sites and on the longest edge (A) of the primitive cell
    where : for a .jsonl file: fields of its rows and the values that they must have

    Raises
    ------
    InputError
        As `load_templates` for a file.
    """
    wanted = set(elements)
    known, exclusions = [], []
    for raw in read_isotopes_as_elements(read_crystals(Path(path), where, "known")):
        phase = check_template(raw, None, max_sites, max_edge)
        if isinstance(phase, Template) and (foreign := set(phase.structure.symbol_set) - wanted):
            phase = Exclusion(raw.id, "other_elements", f"holds {', '.join(sorted(foreign))}")
        if isinstance(phase, Template):
            known.append(phase)
        else:
            exclusions.append(phase)
    return known, exclusions

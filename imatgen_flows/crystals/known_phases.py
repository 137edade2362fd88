"""Published phases of a system, from any source of crystals."""

from __future__ import annotations

from collections.abc import Sequence

from imatgen_flows.crystals.exclusion import Exclusion
from imatgen_flows.crystals.isotopes import read_isotopes_as_elements
from imatgen_flows.crystals.query import SystemQuery
from imatgen_flows.crystals.registry import KNOWN_SOURCES, SourceOptions
from imatgen_flows.crystals.structure_files import RawCrystal
from imatgen_flows.crystals.templates import Template, check_template

# Sites of a cell as it is given, before its symmetry is searched. A choice: the conventional cells of the large phases of
# elements fit (S alpha has 128 sites, Mn alpha 58), a supercell of a simulation does not.
MAX_KNOWN_SITES = 200


def load_known(
    source: str, elements: Sequence[str], options: SourceOptions | None = None
) -> tuple[list[Template], list[Exclusion]]:
    """Read the published phases of a system and of every part of it, the elements among them.

    The limits of the images do not hold here: a phase that no image can show stands on the hull all the same.

    Deuterium and tritium are read as hydrogen.

    Parameters
    ----------
    source : name of one of `KNOWN_SOURCES`
    elements : of the system
    options : of the source

    Returns
    -------
    phases in their standard primitive cells, and exclusions: together one for each crystal that the source holds. Excluded
    are phases with other elements, and cells of more than `MAX_KNOWN_SITES` sites

    Raises
    ------
    InputError
        As `load_templates`.
    """
    query = SystemQuery.of(list(elements))
    known, exclusions = [], []
    for raw in read_isotopes_as_elements(KNOWN_SOURCES[source].read(options or SourceOptions(), query)):
        phase = _foreign_or_large(raw, set(elements)) or check_template(raw)
        if isinstance(phase, Template):
            known.append(phase)
        else:
            exclusions.append(phase)
    return known, exclusions


def _foreign_or_large(raw: RawCrystal, elements: set[str]) -> Exclusion | None:
    """Exclude what needs no search for symmetry to be excluded."""
    crystal = raw.crystal
    if isinstance(crystal, Exclusion):
        return crystal
    if foreign := sorted(set(crystal.symbol_set) - elements):
        return Exclusion(raw.id, "other_elements", f"holds {', '.join(foreign)}")
    if len(crystal) > MAX_KNOWN_SITES:
        return Exclusion(
            raw.id, "too_large", f"{len(crystal)} sites as given; a known phase may have {MAX_KNOWN_SITES}"
        )
    return None

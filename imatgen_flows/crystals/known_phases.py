"""Published phases of a system, from any source of crystals."""

from __future__ import annotations

from collections.abc import Sequence

from imatgen_flows.crystals.exclusion import Exclusion
from imatgen_flows.crystals.isotopes import read_isotopes_as_elements
from imatgen_flows.crystals.query import SystemQuery
from imatgen_flows.crystals.raw_crystal import RawCrystal
from imatgen_flows.crystals.registry import KNOWN_SOURCES, SourceOptions
from imatgen_flows.crystals.templates import Template, check_crystal, reduce_crystals


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
    are phases with other elements, and cells of more than `MAX_GIVEN_SITES` sites

    Raises
    ------
    InputError
        As `load_templates`.
    """
    options = options or SourceOptions()
    crystals = KNOWN_SOURCES[source].read(options, SystemQuery.of(list(elements)))
    checked = (exclude_foreign(raw, set(elements)) or check_crystal(raw) for raw in read_isotopes_as_elements(crystals))
    known, exclusions = [], []
    for phase in reduce_crystals(checked, workers=options.workers):
        if isinstance(phase, Template):
            known.append(phase)
        else:
            exclusions.append(phase)
    return known, exclusions


def exclude_foreign(raw: RawCrystal, elements: set[str]) -> Exclusion | None:
    """Exclude a crystal that holds another element than these; None where it does not."""
    if isinstance(raw.crystal, Exclusion):
        return raw.crystal
    if foreign := sorted(set(raw.crystal.symbol_set) - elements):
        return Exclusion(raw.id, "other_elements", f"holds {', '.join(foreign)}")
    return None

"""What databases elsewhere hold of a chemical system, and whether they answered at all."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

from pymatgen.core import Structure

from imatgen_flows.crystals.isotopes import read_isotopes_as_elements
from imatgen_flows.crystals.known_phases import exclude_foreign
from imatgen_flows.crystals.query import SystemQuery
from imatgen_flows.crystals.raw_crystal import RawCrystal
from imatgen_flows.crystals.registry import KNOWN_SOURCES, SourceOptions
from imatgen_flows.errors import InputError

MATERIALS_PROJECT = "mp"  # by its own interface, with a key; any other name is that of a provider of OPTIMADE
MP_PAGE = "https://next-gen.materialsproject.org/materials"
LONGEST_FAULT = 200  # characters of the reason why there is no answer

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Answer:
    """What a provider holds of a system.

    Attributes
    ----------
    provider : as the user names it
    ordered, disordered : its crystals by name
    unread : entries that are no crystal that can be read, of whatever composition
    fault : why there is no answer; empty where there is one, and it is whole
    """

    provider: str
    ordered: dict[str, Structure] = field(default_factory=dict)
    disordered: dict[str, Structure] = field(default_factory=dict)
    unread: int = 0
    fault: str = ""

    def link(self, name: str) -> str:
        """Return the address of a crystal of the answer."""
        if self.provider == MATERIALS_PROJECT:
            return f"{MP_PAGE}/{name}"
        from imatgen_flows.crystals.optimade import entry_link

        return entry_link(self.provider, name)


def ask_provider(provider: str, system: Sequence[str], options: SourceOptions) -> Answer:
    """Ask a provider for all crystals of a system, or read what it answered before.

    A provider that answers with an error, with a part or with nothing at all has not answered: that is logged, and nothing is
    concluded from it.

    Parameters
    ----------
    provider : `mp`, the Materials Project, which needs a key; else an alias of OPTIMADE or a URL
    system : element symbols
    options : the folder of downloads, and the key
    """
    source = provider if provider == MATERIALS_PROJECT else "optimade"
    asked = SourceOptions(provider=provider, cache_dir=options.cache_dir, api_key=options.api_key)
    try:
        found = list(KNOWN_SOURCES[source].read(asked, SystemQuery.of(list(system))))
    except InputError as error:
        fault = str(error).removeprefix(f"{SystemQuery.section}: ").removesuffix(SystemQuery.instead).strip()
        logger.warning(
            "elsewhere: `%s` has not answered, so that nothing is known of what it holds: %s", provider, fault
        )
        return Answer(provider, fault=fault[:LONGEST_FAULT])
    ordered, disordered, unread = sort_crystals(found, system)
    if unread:
        logger.warning("elsewhere: %d entries of `%s` are no crystal that can be read", unread, provider)
    return Answer(provider, ordered, disordered, unread)


def sort_crystals(
    crystals: Sequence[RawCrystal], system: Sequence[str]
) -> tuple[dict[str, Structure], dict[str, Structure], int]:
    """Sort crystals of a system into ordered and disordered ones, by name, and count what is no crystal.

    Crystals with other elements are left out. Deuterium and tritium are read as hydrogen.
    """
    ordered: dict[str, Structure] = {}
    disordered: dict[str, Structure] = {}
    unread = 0
    for raw in read_isotopes_as_elements(crystals):
        if not isinstance(raw.crystal, Structure):
            unread += 1
        elif exclude_foreign(raw, set(system)) is None:
            (ordered if raw.crystal.is_ordered else disordered)[raw.id] = raw.crystal
    return ordered, disordered, unread

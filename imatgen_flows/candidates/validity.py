"""Whether a decoded structure is a crystal of the campaign's system at all."""

from __future__ import annotations

from collections.abc import Sequence

from pymatgen.core import Structure

from imatgen_flows.crystals.chemistry import has_valid_oxidation
from imatgen_flows.crystals.repair import shortest_distance

SHORTEST = 0.5  # A; nearer atoms are one atom drawn twice


def check_validity(
    structure: Structure, elements: Sequence[str], max_sites: int = 20, max_edge: float = 10.0
) -> tuple[str, str] | None:
    """Say why a structure is not valid.

    Parameters
    ----------
    structure : repaired crystal
    elements : all of them must be there
    max_sites, max_edge : limits on sites and on the longest edge, A

    Returns
    -------
    (reason, detail), or None for a valid structure. Reasons: `missing_element`, `too_many_sites`, `edge_too_long`,
    `volume`, `overlap`, `oxidation_state`.
    """
    present = {element.symbol for element in structure.composition}
    missing = [symbol for symbol in elements if symbol not in present]
    if missing:
        return "missing_element", f"no {' and no '.join(missing)} in {structure.composition.formula or 'an empty cell'}"
    if len(structure) > max_sites:
        return "too_many_sites", f"{len(structure)} sites, the limit is {max_sites}"
    edge = max(structure.lattice.abc)
    if edge > max_edge:
        return "edge_too_long", f"{edge:.2f} A, the limit is {max_edge:.2f} A"
    if structure.volume / len(structure) < 1.0:
        return "volume", f"{structure.volume / len(structure):.2f} A^3 per atom, the limit is 1"
    distance = shortest_distance(structure)
    if distance < SHORTEST:
        return "overlap", f"two atoms at {distance:.2f} A, the limit is {SHORTEST} A"
    if not has_valid_oxidation(structure.composition):
        return "oxidation_state", f"{structure.composition.reduced_formula} has no valid oxidation states"
    return None

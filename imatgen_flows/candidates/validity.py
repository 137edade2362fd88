"""Checks that a decoded structure is a plausible crystal of the campaign's system."""

from __future__ import annotations

from collections.abc import Sequence

from pymatgen.core import Structure

from imatgen_flows.candidates.registry import DEFAULT_CHARGE_CHECK, REJECT_UNBALANCED
from imatgen_flows.crystals.box import MAX_EDGE, MAX_SITES
from imatgen_flows.crystals.charge_balance import is_charge_balanced
from imatgen_flows.crystals.distances import shortest_distance

SHORTEST = 0.5  # A; below every bond (H-H is 0.74 A), so that closer atoms are one atom drawn twice
SMALLEST_VOLUME = 1.0  # A^3 per atom; a guard against collapsed cells, far below any crystal


def check_validity(
    structure: Structure,
    elements: Sequence[str],
    max_sites: int = MAX_SITES,
    max_edge: float = MAX_EDGE,
    charge: str = DEFAULT_CHARGE_CHECK,
) -> tuple[str, str] | None:
    """Check a structure, and give the first reason why it is not valid.

    Parameters
    ----------
    structure : crystal, after its repair
    elements : each of them must occur in it
    max_sites, max_edge : limits on sites and on the longest edge, A
    charge : one of `CHARGE_CHECKS`; `reject` makes a structure invalid that is not charge balanced

    Returns
    -------
    (reason, detail), or None for a valid structure. Reasons: `missing_element`, `too_many_sites`, `edge_too_long`,
    `volume`, `overlap`, `charge_balance`.
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
    volume = structure.volume / len(structure)
    if volume < SMALLEST_VOLUME:
        return "volume", f"{volume:.2f} A^3 per atom, the limit is {SMALLEST_VOLUME:g}"
    distance = shortest_distance(structure)
    if distance < SHORTEST:
        return "overlap", f"two atoms at {distance:.2f} A, the limit is {SHORTEST} A"
    if charge == REJECT_UNBALANCED and not is_charge_balanced(structure.composition):
        formula = structure.composition.reduced_formula
        return "charge_balance", f"{formula} cannot be neutral with known oxidation states of its elements"
    return None

"""A candidate as rows of the candidate table: what one step of its way writes about it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, cast

from imatgen_flows.candidates.schema import Row
from imatgen_flows.candidates.states import Stage, State

if TYPE_CHECKING:
    from pymatgen.core import Composition, Structure

    from imatgen_flows.energetics.hull import Hull
    from imatgen_flows.energetics.relax import Relaxation

VALIDATED = "validated_"  # before the name of a column of an energy, where it is that of the validation


def rejection(stage: Stage, reason: str, detail: str = "") -> Row:
    """Write why a candidate leaves the campaign.

    Parameters
    ----------
    stage : where it leaves
    reason : a word that the report counts by
    detail : for people: the number that decided, with its unit and its limit
    """
    return {
        "state": State.REJECTED.value,
        "rejected_stage": stage.value,
        "rejected_reason": reason,
        "rejected_detail": detail,
    }


def decode_order(row: Row) -> tuple[bool, float]:
    """Sort key by the quality of a decode: matching atom counts without any repair first, then small residuals."""
    if row["residual"] is None:
        return True, math.inf
    return not row["count_matches"] or bool(row["repaired"]), cast("float", row["residual"])


def describe_crystal(structure: Structure) -> Row:
    """Write what a crystal itself tells: formula, sites, volume per atom and space group to 0.1 A."""
    symbol, number = spacegroup_of(structure)
    return {
        "formula": structure.composition.reduced_formula,
        "nsites": len(structure),
        "volume_per_atom": structure.volume / len(structure),
        "spacegroup": symbol,
        "spacegroup_number": number,
    }


def spacegroup_of(structure: Structure) -> tuple[str, int]:
    """Find symbol and number of the space group to 0.1 A; P1 where the search gives up for numerical reasons."""
    try:
        symbol, number = structure.get_space_group_info(symprec=0.1)
    except ValueError:
        return "P1", 1
    return symbol, number


def place_on_hull(hull: Hull, composition: Composition, energy_per_atom: float, prefix: str = "") -> Row:
    """Write an energy with its place on the hull of its scale.

    Parameters
    ----------
    hull : of the same scale
    composition, energy_per_atom : of the structure; eV/atom
    prefix : of the columns; `VALIDATED` for the energy of a validation
    """
    decomposition = sorted(hull.decomposition(composition).items(), key=lambda item: (-item[1], item[0]))
    return {
        f"{prefix}energy_per_atom": energy_per_atom,
        f"{prefix}formation_energy": hull.formation_energy(composition, energy_per_atom),
        f"{prefix}e_above_hull": hull.e_above_hull(composition, energy_per_atom),
        f"{prefix}decomposition": " + ".join(f"{share:.4g} {phase}" for phase, share in decomposition),
        f"{prefix}scale": hull.potential,
    }


def place_relaxation(relaxation: Relaxation, hull: Hull) -> tuple[Row, Structure | None]:
    """Write the place of a relaxed crystal on the hull, or why it has none.

    Parameters
    ----------
    relaxation : by the potential of the hull
    hull : of the references

    Returns
    -------
    its columns, and the structure in its standard cell; None where it is rejected
    """
    from imatgen_flows.crystals.identity import structure_id
    from imatgen_flows.crystals.standard import standardise

    spent: Row = {"evaluations": relaxation.evaluations}
    if relaxation.state != "relaxed" or relaxation.structure is None or relaxation.energy_per_atom is None:
        return spent | rejection(Stage.SCREEN, relaxation.reason, relaxation.detail), None
    try:
        structure = standardise(relaxation.structure)
    except ValueError as error:
        return spent | rejection(Stage.SCREEN, "no_standard_cell", str(error)), None
    row = spent | {"state": State.SCREENED.value, "relaxed_id": structure_id(structure)} | describe_crystal(structure)
    row |= {"steps": relaxation.steps, "fmax": relaxation.fmax}
    return row | place_on_hull(hull, structure.composition, relaxation.energy_per_atom), structure

"""Examination of decoded structures: repair, checks of validity, the standard cell and its space group."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pymatgen.core import Structure

from imatgen_flows.candidates.candidate import describe_crystal, rejection
from imatgen_flows.candidates.registry import DEFAULT_CHARGE_CHECK
from imatgen_flows.candidates.schema import MAX_RESIDUAL, Row
from imatgen_flows.candidates.states import Stage, State
from imatgen_flows.candidates.validity import check_validity
from imatgen_flows.crystals.arrays import CrystalArrays
from imatgen_flows.crystals.charge_balance import is_charge_balanced
from imatgen_flows.crystals.identity import structure_id
from imatgen_flows.crystals.repair import repair
from imatgen_flows.crystals.standard import standardise

if TYPE_CHECKING:
    from imatgen_flows.representation import DecodeQuality

SearchCheck = Callable[[Structure], tuple[str, str] | None]


@dataclass(frozen=True)
class Examined:
    """A decoded structure after its examination, before a sample's name and origin are added.

    Attributes
    ----------
    row : its columns of the candidate table, from its state to its space group
    crystal : repaired, in its standard cell where it is valid; None where nothing was decoded
    """

    row: Row
    crystal: CrystalArrays | None = None

    @property
    def is_valid(self) -> bool:
        """Whether it passed the checks of validity."""
        return self.row["state"] == State.VALID

    @property
    def is_clean(self) -> bool:
        """Whether it is valid, with matching atom counts, a small residual and no repair."""
        return bool(self.row["clean"])


def examine(
    structure: Structure | None,
    quality: DecodeQuality,
    elements: Sequence[str],
    max_sites: int = 20,
    max_edge: float = 10.0,
    charge: str = DEFAULT_CHARGE_CHECK,
    search: SearchCheck | None = None,
) -> Examined:
    """Repair a decoded structure, check that it is valid, and bring it to its standard cell.

    Parameters
    ----------
    structure : as decoded; None where the images hold no readable cell
    quality : of the decode
    elements : each of them must occur in a valid structure
    max_sites, max_edge : limits on sites and on the longest edge, A
    charge : one of `CHARGE_CHECKS`
    search : reason and detail why a primitive cell is not one of those that are searched for; None where all are
    """
    row: Row = {
        "residual": quality.residual,
        "cell_residual": quality.cell_residual,
        "count_matches": quality.count_matches,
        "min_distance": None if math.isnan(quality.min_distance) else quality.min_distance,
        "clean": False,
    }
    if structure is None or len(structure) == 0:
        reason = "no_cell" if structure is None else "no_atoms"
        detail = "the image holds no readable " + reason.removeprefix("no_")
        return Examined(row | rejection(Stage.DECODE, reason, detail))
    result = repair(structure)
    crystal, dropped = result.structure, list(result.dropped)
    row |= {"repaired": len(dropped), "repaired_atoms": dropped}
    row["charge_balanced"] = is_charge_balanced(crystal.composition)
    fault = check_validity(crystal, elements, max_sites, max_edge, charge)
    if fault is None:
        try:
            standard = standardise(crystal)
        except ValueError as error:
            fault = "no_standard_cell", str(error)
        else:
            fault = search(standard) if search else None
    if fault is not None:
        row |= {
            "formula": crystal.composition.reduced_formula,
            "nsites": len(crystal),
            "volume_per_atom": crystal.volume / len(crystal),
        }
        return Examined(row | rejection(Stage.VALIDITY, *fault), CrystalArrays.of(crystal))
    row["clean"] = quality.count_matches and quality.residual < MAX_RESIDUAL and not dropped
    row |= {"state": State.VALID.value, "id": structure_id(standard)} | describe_crystal(standard)
    return Examined(row, CrystalArrays.of(standard))

"""Examination of crystals that another program made, before they are relaxed."""

from __future__ import annotations

from collections.abc import Collection
from math import inf
from typing import TYPE_CHECKING

from pymatgen.core import Structure

from imatgen_flows.candidates.candidate import rejection
from imatgen_flows.candidates.registry import DEFAULT_CHARGE_CHECK
from imatgen_flows.candidates.schema import Row
from imatgen_flows.candidates.states import Stage, State
from imatgen_flows.candidates.table import KEY
from imatgen_flows.candidates.validity import check_validity
from imatgen_flows.crystals.charge_balance import is_charge_balanced
from imatgen_flows.crystals.exclusion import Exclusion
from imatgen_flows.crystals.identity import structure_id
from imatgen_flows.crystals.known_phases import exclude_foreign
from imatgen_flows.crystals.standard import standardise
from imatgen_flows.crystals.templates import MAX_GIVEN_SITES, check_crystal

if TYPE_CHECKING:
    from pathlib import Path

    from imatgen_flows.crystals.raw_crystal import RawCrystal


def examine_given(
    raw: RawCrystal, elements: Collection[str], charge: str = DEFAULT_CHARGE_CHECK
) -> tuple[Row, Structure | None]:
    """Check that a crystal can be relaxed and placed on the hull of a system, and bring it to its standard cell.

    A crystal of some of the elements is valid. The limits of the images do not hold: it may have up to `MAX_GIVEN_SITES`
    sites, and edges of any length.

    Parameters
    ----------
    raw : crystal as it was read, or why there is none
    elements : of the system
    charge : one of `CHARGE_CHECKS`

    Returns
    -------
    its row of the candidate table, with its id as `sample`, and the crystal; None where the row says why it is rejected
    """
    row: Row = {KEY: raw.id}
    given = raw.crystal
    if isinstance(given, Structure) and len(given):
        row |= {"formula": given.composition.reduced_formula, "nsites": len(given)}
    checked = exclude_foreign(raw, set(elements)) or check_crystal(raw)
    if isinstance(checked, Exclusion):
        return row | rejection(Stage.VALIDITY, checked.reason, checked.detail), None
    assert isinstance(given, Structure)
    row["charge_balanced"] = is_charge_balanced(given.composition)
    try:
        fault = check_validity(given, (), MAX_GIVEN_SITES, inf, charge)
        if fault is None:
            standard = standardise(given)
            return row | {"state": State.VALID.value, "id": structure_id(standard)}, standard
    except Exception as error:  # of spglib, pymatgen or numpy, for an absurd cell: it costs one crystal
        fault = "no_standard_cell", str(error) or type(error).__name__
    return row | rejection(Stage.VALIDITY, *fault), None


def read_given(path: Path) -> tuple[dict[str, Structure], list[Row]]:
    """Read the crystals of a file or folder that another program wrote.

    Parameters
    ----------
    path : of a file of any format that is read, or of a folder of such files

    Returns
    -------
    ordered crystals by name; and, of each that cannot be read or relaxed, columns that say why it is rejected
    """
    from imatgen_flows.crystals.isotopes import read_isotopes_as_elements
    from imatgen_flows.crystals.structure_files import list_files, read_files

    crystals: dict[str, Structure] = {}
    faults: list[Row] = []
    for raw in read_isotopes_as_elements(raw for _, raw in read_files(list_files([path]))):
        fault = check_crystal(raw)
        if isinstance(fault, Exclusion):
            origin: Row = {"parents": [raw.id]}
            faults.append(origin | rejection(Stage.VALIDITY, fault.reason, fault.detail))
        elif isinstance(raw.crystal, Structure):
            crystals[raw.id] = raw.crystal
    return crystals, faults

"""Soft modes of candidates, followed within the job of phonons: where each leads, and whether that is stable."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imatgen_flows.candidates.schema import Row
from imatgen_flows.jobs.documents import PhononInputs
from imatgen_flows.jobs.result_cache import names_of_crystals
from imatgen_flows.jobs.spectra import compute_cached, phonons_cached

if TYPE_CHECKING:
    from pymatgen.core import Structure

    from imatgen_flows.energetics.soft_mode import SoftMode


def follow_cached(
    scratch: Path, results: Mapping[str, Mapping[str, Any]], phonons: PhononInputs
) -> dict[str, dict[str, Any]]:
    """Follow the soft modes of crystals, and compute the phonons of the lower structures to which they lead.

    Parameters
    ----------
    scratch : where results are kept; an interrupted job continues with those that are missing
    results : phonons by crystal, as plain values
    phonons : settings

    Returns
    -------
    by crystal, for those that have a soft mode: `energetics.soft_mode.FollowedMode` as plain values, and `phonons`, those of
    its structure; None where it has none
    """
    from imatgen_flows.energetics.soft_mode import follow_soft_modes

    modes = {name: _mode_of(result["soft_mode"]) for name, result in results.items() if result["soft_mode"]}
    folder = scratch / "soft-modes"
    folder.mkdir(exist_ok=True)
    followed = compute_cached(folder, modes, phonons, follow_soft_modes, "soft modes followed")
    lower = lower_structures(followed)
    names = names_of_crystals(lower)
    spectra = phonons_cached(scratch, {names[crystal]: structure for crystal, structure in lower.items()}, phonons)
    return {
        crystal: mode | {"phonons": spectra[names[crystal]] if crystal in names else None}
        for crystal, mode in followed.items()
    }


def lower_structures(followed: Mapping[str, Mapping[str, Any]]) -> dict[str, Structure]:
    """Read the structures to which followed modes lead, by the names of these; those that lead nowhere are left out."""
    from pymatgen.core import Structure

    return {name: Structure.from_dict(mode["structure"]) for name, mode in followed.items() if mode["structure"]}


def soft_mode_columns(mode: Mapping[str, Any], before: Row) -> Row:
    """Write the columns of the structure to which the soft mode of a candidate leads.

    Parameters
    ----------
    mode : as `follow_cached` returns it
    before : `energy_per_atom` and `e_above_hull` of the candidate, on the scale of the phonons; no E_hull where it has
        another scale
    """
    from pymatgen.core import Structure

    from imatgen_flows.crystals.identity import structure_id

    row: Row = {"soft_mode_evaluations": evaluations_of(mode)}
    if mode["structure"]:
        row["followed_id"] = structure_id(Structure.from_dict(mode["structure"]))
        row["followed_stable"] = mode["phonons"]["is_stable"]
        energy, e_above_hull = before.get("energy_per_atom"), before.get("e_above_hull")
        if isinstance(energy, float) and isinstance(e_above_hull, float):
            # of one composition: the hull below both is the same
            row["followed_e_above_hull"] = e_above_hull + mode["energy_per_atom"] - energy
    return row


def evaluations_of(mode: Mapping[str, Any]) -> int:
    """Count the evaluations by which a mode was followed, and the phonons of its structure computed."""
    spent: int = mode["evaluations"] + (mode["phonons"]["evaluations"] if mode["phonons"] else 0)
    return spent


def _mode_of(values: dict[str, Any]) -> SoftMode:
    from pymatgen.core import Structure

    from imatgen_flows.energetics.soft_mode import SoftMode

    return SoftMode(**values | {"cell": Structure.from_dict(values["cell"])})

"""The hull of a reference document, and the place of an energy on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imatgen_flows.candidates.candidate import Energy
from imatgen_flows.io.artifacts import read_json
from imatgen_flows.jobs.documents import ReferenceDocument

if TYPE_CHECKING:
    from pymatgen.core import Composition

    from imatgen_flows.energetics.hull import Hull


def load_hull(references: ReferenceDocument) -> Hull:
    """Read the hull of a reference document."""
    from imatgen_flows.energetics.hull import Hull

    return Hull.from_dict(read_json(references.hull))


def energy_on(
    hull: Hull, composition: Composition, energy_per_atom: float, *, fmax: float, steps: int, note: str = ""
) -> Energy:
    """Record an energy (eV/atom) with its place on the hull of its scale.

    Parameters
    ----------
    hull : of the same scale
    composition, energy_per_atom : of the structure
    fmax, steps : largest force that is left, eV/A, and steps of the relaxation
    note : what a reader must know of the energy
    """
    return Energy(
        scale=hull.potential,
        energy_per_atom=energy_per_atom,
        formation_energy=hull.formation_energy(composition, energy_per_atom),
        e_above_hull=hull.e_above_hull(composition, energy_per_atom),
        decomposition=hull.decomposition(composition),
        fmax=fmax,
        steps=steps,
        note=note,
    )

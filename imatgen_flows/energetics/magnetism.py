"""Initial magnetic moments of a calculation, whose order a DFT calculation usually keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pymatgen.core import Structure

MOMENT = 5.0  # Bohr magnetons; initial moment of most d elements in pymatgen's MPRelaxSet


def antiferromagnetic(structure: Structure) -> Structure | None:
    """Return the structure with alternating moments on its d elements; None where the cell holds fewer than two.

    The moments alternate along the lattice direction in which the magnetic sites have the largest spread, so that
    neighbouring layers are antiparallel. This is one order of many: it shows whether the order matters, not which is the
    lowest.
    """
    import numpy as np

    magnetic = [i for i, site in enumerate(structure) if any(e.is_transition_metal for e in site.species.elements)]
    if len(magnetic) < 2:
        return None
    places = structure.frac_coords[magnetic] % 1
    axis = int(np.argmax(places.std(axis=0) * structure.lattice.abc))
    moments = [0.0] * len(structure)
    for number, place in enumerate(np.argsort(places[:, axis], kind="stable")):
        moments[magnetic[place]] = MOMENT * (1 if number % 2 == 0 else -1)
    return structure.copy(site_properties={"magmom": moments})

"""Substitution with noise: the cheapest way from what is known to what may not be."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pymatgen.core import Structure

from imatgen_flows.crystals.repair import repair
from imatgen_flows.sources.target_cell import Proposal

DISPLACEMENT = 0.5  # A, root mean square length
STRAIN = 0.03  # standard deviation of each component
ATTEMPTS = 200  # draws until no two atoms overlap


def propose_rattled(proposals: Sequence[Proposal | None], seed: int) -> list[Proposal | None]:
    """Rattle what another source proposed; None where every draw made atoms overlap."""
    found: list[Proposal | None] = []
    for index, proposal in enumerate(proposals):
        structure = proposal and rattle(proposal.structure, np.random.default_rng((seed, index)))
        found.append(Proposal(proposal.name, structure, proposal.as_asked) if proposal and structure else None)
    return found


def rattle(structure: Structure, random: np.random.Generator) -> Structure | None:
    """Displace all atoms, and strain the cell, at random.

    Displacements are Gaussian, of 0.5 A (root mean square of their lengths); the strain is symmetric, each component
    Gaussian with a standard deviation of 3 %. Atoms stay as far apart as `repair` demands, which is tried by drawing
    again, 200 times.

    Returns
    -------
    A new structure of the same atoms; None where no draw kept them apart
    """
    for _ in range(ATTEMPTS):
        strain = random.normal(0, STRAIN, (3, 3))
        strain = np.triu(strain) + np.triu(strain, 1).T
        lattice = structure.lattice.matrix @ (np.eye(3) + strain)
        moved = structure.cart_coords @ (np.eye(3) + strain)
        moved += random.normal(0, DISPLACEMENT / np.sqrt(3), moved.shape)
        rattled = Structure(lattice, structure.species, moved, coords_are_cartesian=True)
        if not repair(rattled).dropped:
            return rattled
    return None

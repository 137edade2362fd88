"""Rattled substitution as a source: substituted structures with random displacements and strain."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pymatgen.core import Structure

from imatgen_flows.crystals.repair import repair
from imatgen_flows.sources.proposal import Proposal, SourceContext, redraw_known
from imatgen_flows.sources.search import Candidate, SearchContext
from imatgen_flows.sources.substitution import lowest_first, propose_substituted
from imatgen_flows.sources.target_cell import TargetCell

DISPLACEMENT = 0.5  # A, root mean square length; fixed by the definition of this baseline, not fitted
STRAIN = 0.03  # standard deviation of each component; likewise
ATTEMPTS = 200  # draws until no two atoms overlap


def propose_lowest_rattled(context: SearchContext, number: int, seed: int) -> list[Candidate]:
    """Rattle structures of the dataset, lowest unrelaxed energy above the hull first.

    Once each has been rattled, they take further turns with other displacements.

    Parameters
    ----------
    context : with the dataset and its energies
    number : that are wanted
    seed : of the displacements and strains
    """
    names = lowest_first(context)
    waiting = [name for name in names if name not in context.taken] or names
    found: list[Candidate] = []
    for index, name in enumerate(waiting):
        if len(found) == number:
            break
        structure = rattle(context.dataset[name], np.random.default_rng((seed, index)))
        if structure is not None:
            found.append(Candidate(structure, parents=(name,)))
    return found


def propose_rattled(targets: Sequence[TargetCell], context: SourceContext, seed: int) -> list[Proposal | None]:
    """Rattle what plain substitution proposes, again where the result matches a known structure."""
    return redraw_known(rattle_proposals, propose_substituted(targets, context, seed), seed, context.is_new)


def rattle_proposals(proposals: Sequence[Proposal | None], seed: int) -> list[Proposal | None]:
    """Rattle the structures of proposals; None where every draw made atoms overlap."""
    found: list[Proposal | None] = []
    for index, proposal in enumerate(proposals):
        structure = proposal and rattle(proposal.structure, np.random.default_rng((seed, index)))
        found.append(Proposal(proposal.name, structure, proposal.as_asked) if proposal and structure else None)
    return found


def rattle(structure: Structure, random: np.random.Generator) -> Structure | None:
    """Displace all atoms, and strain the cell, at random.

    Displacements are Gaussian, of 0.5 A (root mean square of their lengths); the strain is symmetric, each component
    Gaussian with a standard deviation of 3 %. Atoms stay as far apart as `repair` demands; draws that fail this are
    repeated, 200 times at most.

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

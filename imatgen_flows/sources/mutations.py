"""Mutations of the genetic algorithm, which make one crystal of one; those of ase-ga where it has them.

ase-ga is the bulk code of Van den Bossche, Grönbeck and Hammer, J. Chem. Theory Comput. 14, 2797 (2018).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from pymatgen.core import Structure

from imatgen_flows.sources.operator_limits import BoundedRandom, OperatorLimits, enlarge, to_atoms, to_structure

STRAIN = 0.7  # standard deviation of the components of the strain; as in ase-ga
RATTLED = 0.4  # share of the atoms that are rattled; as in ase-ga
RATTLE = 0.8, 2.0  # A, largest displacement along each axis; from ase-ga's to a bond, since less relaxes back
PERMUTED = 0.33  # share of the atoms that change places; as in ase-ga
# lowest modes among which one is drawn; the published rule, the lowest that was not used yet, needs a memory
SOFT_MODES = 6
# A, least and largest displacement of the atom that moves most; choice, ase-ga has 0.5 to 2, its example of bulk 2 to 5
SOFT_STEP = 1.0, 3.0
# A; the springs weaken by 1/e each 0.4 A: for three vanadium oxides the six lowest modes are the same as to 10 A
SOFT_CUTOFF = 5.0
TRANSMUTED = 0.2  # share of the atoms that may change their element, one at least; as `howManyTrans` of USPEX

Mutation = Callable[[Structure, OperatorLimits, np.random.Generator], Structure | None]


def permute(parent: Structure, limits: OperatorLimits, random: np.random.Generator) -> Structure | None:
    """Swap atoms of different elements; None of a crystal of one element."""
    from ase_ga.standardmutations import PermutationMutation

    if len(parent.composition) < 2:
        return None
    parent = enlarge(parent, limits, random)
    operator = PermutationMutation(
        len(parent), PERMUTED, test_dist_to_slab=False, blmin=limits.distances, rng=BoundedRandom(random)
    )
    return _mutate(operator, parent)


def strain(parent: Structure, limits: OperatorLimits, random: np.random.Generator) -> Structure | None:
    """Strain the cell at random, at its volume; the atoms keep their fractional coordinates."""
    from ase_ga.standardmutations import StrainMutation

    return _mutate(StrainMutation(limits.distances, limits.cells, STRAIN, rng=BoundedRandom(random)), parent)


def rattle_some(parent: Structure, limits: OperatorLimits, random: np.random.Generator) -> Structure | None:
    """Displace some atoms at random."""
    from ase_ga.standardmutations import RattleMutation

    parent = enlarge(parent, limits, random)
    strength = random.uniform(*RATTLE)
    operator = RattleMutation(
        limits.distances, len(parent), strength, RATTLED, test_dist_to_slab=False, rng=BoundedRandom(random)
    )
    return _mutate(operator, parent)


def move_softly(parent: Structure, limits: OperatorLimits, random: np.random.Generator) -> Structure | None:
    """Displace the atoms along a soft mode, as far as they do not overlap.

    The modes are those of springs between atoms (Lyakhov, Oganov and Valle, Comput. Phys. Commun. 181, 1623 (2010)). None
    where the model has no valence of an element (lanthanides and actinides), or the crystal no such mode.
    """
    from ase_ga.soft_mutation import SoftMutation

    parent = enlarge(parent, limits, random)
    modes = min(SOFT_MODES, 3 * len(parent) - 3)  # without the three translations
    if modes < 1:
        return None
    atoms = to_atoms(parent)
    atoms.info["confid"] = 0
    operator = SoftMutation(limits.distances, list(SOFT_STEP), rcut=SOFT_CUTOFF, used_modes_file=None)
    operator.used_modes = {0: list(range(3, 3 + int(random.integers(modes))))}
    try:
        with np.errstate(invalid="ignore"):
            child = operator.mutate(atoms)
    # no valence; fewer modes, since it counts those of one frequency once; no frequencies, where atoms lie on each other
    except (ValueError, IndexError, KeyError):
        return None
    return child and to_structure(child)


def transmute(parent: Structure, limits: OperatorLimits, random: np.random.Generator) -> Structure | None:
    """Change the element of one atom or of a few; None where there is one element.

    Own, since ase-ga's mutation of elements changes its input, and one atom beside the one whose element it looks at.
    """
    elements = sorted(limits.space.elements)
    if len(elements) < 2:
        return None
    child = enlarge(parent, limits, random).copy()
    number = int(random.integers(1, max(1, int(TRANSMUTED * len(child))) + 1))
    for site in random.permutation(len(child))[:number]:
        others = [symbol for symbol in elements if symbol != child[site].specie.symbol]
        child.replace(int(site), others[int(random.integers(len(others)))])
    return child


def _mutate(operator: Any, parent: Structure) -> Structure | None:
    child = operator.mutate(to_atoms(parent))
    return child and to_structure(child)

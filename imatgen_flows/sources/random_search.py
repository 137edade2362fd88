"""Random search in the manner of AIRSS (Pickard and Needs, J. Phys. Condens. Matter 23, 053201 (2011)).

The crystals are PyXtal's (Fredericks et al., Computer Physics Communications 261, 107810 (2021)): a space group at random,
a lattice of its system, and the atoms on its Wyckoff positions.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from typing import Any

import numpy as np
from pymatgen.core import Structure

from imatgen_flows.crystals.chemistry import minimum_distance
from imatgen_flows.crystals.repair import repair
from imatgen_flows.crystals.standard import standardise
from imatgen_flows.crystals.substitution import expected_volume
from imatgen_flows.errors import InputError
from imatgen_flows.sources.target_cell import Proposal, TargetCell

ATTEMPTS = 300  # space groups drawn for one structure
GROUPS = 230


def check_random_search() -> None:
    """Say how PyXtal is installed.

    Raises
    ------
    InputError
        Where it is not.
    """
    if importlib.util.find_spec("pyxtal") is None:
        raise InputError(
            "random search needs PyXtal: `pip install 'imatgen-flows[search]'`. To compare without it, leave `random` "
            "out of --sources."
        )


def propose_random(targets: Sequence[TargetCell], seed: int) -> list[Proposal | None]:
    """Fill each target with a random crystal; None where 300 space groups gave none."""
    check_random_search()
    return [_propose(target, np.random.default_rng((seed, index))) for index, target in enumerate(targets)]


def _propose(target: TargetCell, random: np.random.Generator) -> Proposal | None:
    for _ in range(ATTEMPTS):
        number = int(random.integers(1, GROUPS + 1))
        structure = random_crystal(target, number, random)
        if structure is not None:
            return Proposal(f"space group {number}", structure)
    return None


def random_crystal(target: TargetCell, number: int, random: np.random.Generator) -> Structure | None:
    """Draw one crystal of a space group, at the volume that its composition takes up in other compounds.

    Parameters
    ----------
    target : contents of the primitive cell
    number : of the space group
    random : decides all

    Returns
    -------
    Standardised, with no two atoms (or an atom and its image) nearer than `minimum_distance`. None where the group cannot
    hold these atoms, where they found no room, or where they took a smaller period than the cell's.
    """
    from pyxtal import pyxtal
    from pyxtal.lattice import Lattice
    from pyxtal.msg import Error
    from pyxtal.symmetry import Group

    group = Group(number)
    centring = group.cellsize()  # primitive cells of the conventional one
    symbols, counts = zip(*target.atoms, strict=True)
    if not group.check_compatible(np.array(counts) * centring)[0]:
        return None
    crystal = pyxtal()
    try:
        # the Lattice draws its angles and edges anew after each few attempts, at this volume
        lattice = Lattice(group.lattice_type, expected_volume(target.composition) * centring, random_state=random)
        crystal.from_random(
            3,
            group,
            list(symbols),
            list(counts),
            conventional=False,
            lattice=lattice,
            max_count=1,
            tm=_distances(symbols),
            random_state=random,
        )
        structure = standardise(crystal.to_pymatgen().get_primitive_structure(tolerance=1e-3))
    except (Error, RuntimeError, ValueError):  # PyXtal gives up: no room, or a lattice without sense
        return None
    return structure if TargetCell.of(structure) == target and _is_apart(structure) else None


def _distances(symbols: Sequence[str]) -> Any:
    from pyxtal.tolerance import Tol_matrix

    return Tol_matrix(*((a, b, minimum_distance(a, b)) for a in symbols for b in symbols))


def _is_apart(structure: Structure) -> bool:
    """Whether atoms are far enough from each other, and from their own images: no edge is too short for any."""
    symbols = [element.symbol for element in structure.elements]
    shortest = min(structure.lattice.abc)  # of a Niggli cell, the shortest period there is
    return not repair(structure).dropped and shortest >= max(minimum_distance(symbol, symbol) for symbol in symbols)

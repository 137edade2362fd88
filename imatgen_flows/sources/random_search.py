"""Random search as a source, in the manner of AIRSS (Pickard and Needs, J. Phys. Condens. Matter 23, 053201 (2011)).

PyXtal (Fredericks et al., Computer Physics Communications 261, 107810 (2021)) draws the crystals: a random space group, a
lattice of its crystal system, and the atoms on Wyckoff positions.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from pymatgen.core import Structure

from imatgen_flows.crystals.repair import repair
from imatgen_flows.crystals.shortest_distances import minimum_distances
from imatgen_flows.crystals.standard import standardise
from imatgen_flows.crystals.volumes import expected_volume, relative_volume
from imatgen_flows.sources.proposal import Proposal, SourceContext, redraw_known
from imatgen_flows.sources.registry import RANDOM_SEARCH, SOURCES
from imatgen_flows.sources.search import Candidate, SearchContext
from imatgen_flows.sources.target_cell import TargetCell, choose_cells

if TYPE_CHECKING:
    from pyxtal.tolerance import Tol_matrix

ATTEMPTS = 300  # space groups drawn for one structure
GROUPS = 230


def propose_random_cells(context: SearchContext, number: int, seed: int) -> list[Candidate]:
    """Propose random crystals of cells drawn at random from those of the dataset, or of the compositions looked for.

    Parameters
    ----------
    context : with the space and the dataset
    number : that are wanted
    seed : of the cells and the crystals
    """
    targets = choose_cells(context, number, seed)
    space, relaxed = context.space, (crystal.structure for crystal in context.relaxed)
    drawn = draw_crystals(targets, seed, volume_ratio(space.pressure, space.elements, relaxed))
    return [Candidate(proposal.structure, made_by=proposal.name) for proposal in drawn if proposal]


def propose_random(targets: Sequence[TargetCell], context: SourceContext, seed: int) -> list[Proposal | None]:
    """Fill each target with a random crystal, drawn again where it matches a known structure."""
    return redraw_known(partial(draw_crystals, ratio=context.volume_ratio), targets, seed, context.is_new)


def volume_ratio(pressure: float, elements: Collection[str], relaxed: Iterable[Structure]) -> float:
    """Estimate the volume of crystals at a pressure over that which `expected_volume` gives them, at zero pressure.

    Parameters
    ----------
    pressure : GPa
    elements : of the system
    relaxed : crystals that were relaxed at the pressure

    Returns
    -------
    The median of those that hold all elements, or of all where there is none; 1 at zero pressure, or where there are none
    """
    if not pressure:
        return 1.0
    found = list(relaxed)
    compounds = [crystal for crystal in found if len(crystal.composition) == len(elements)]
    return float(np.median([relative_volume(crystal) for crystal in compounds or found] or [1.0]))


def draw_crystals(targets: Sequence[TargetCell], seed: int, ratio: float = 1.0) -> list[Proposal | None]:
    """Draw a random crystal for each target; None where none of 300 space groups holds its atoms.

    Parameters
    ----------
    targets : contents of the primitive cells
    seed : of all random choices
    ratio : of the volumes over those expected of the compositions; see `volume_ratio`

    Raises
    ------
    InputError
        Where PyXtal is not installed.
    """
    SOURCES[RANDOM_SEARCH].check()
    return [_draw(target, np.random.default_rng((seed, index)), ratio) for index, target in enumerate(targets)]


def _draw(target: TargetCell, random: np.random.Generator, ratio: float) -> Proposal | None:
    for _ in range(ATTEMPTS):
        number = int(random.integers(1, GROUPS + 1))
        structure = random_crystal(target, number, random, ratio)
        if structure is not None:
            return Proposal(f"space group {number}", structure)
    return None


def random_crystal(
    target: TargetCell, number: int, random: np.random.Generator, ratio: float = 1.0
) -> Structure | None:
    """Draw one crystal of a space group, at the volume that its composition has in other compounds, or a ratio of it.

    Parameters
    ----------
    target : contents of the primitive cell
    number : of the space group
    random : source of all random numbers
    ratio : of the volume over that expected of the composition

    Returns
    -------
    Standardised, with no two atoms (or an atom and its image) nearer than `minimum_distances`. None where the group has no
    Wyckoff positions for these atoms, where they would overlap, or where the primitive cell is smaller than the target.
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
        volume = ratio * expected_volume(target.composition) * centring
        lattice = Lattice(group.lattice_type, volume, random_state=random)
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


def _distances(symbols: Sequence[str]) -> Tol_matrix:
    from pyxtal.tolerance import Tol_matrix

    limits = minimum_distances(symbols).tolist()
    return Tol_matrix(*((a, b, limits[i][j]) for i, a in enumerate(symbols) for j, b in enumerate(symbols)))


def _is_apart(structure: Structure) -> bool:
    """Whether all atoms are far enough from each other, and from their own periodic images."""
    symbols = [element.symbol for element in structure.elements]
    shortest = min(structure.lattice.abc)  # of a Niggli cell, the shortest period there is
    return not repair(structure).dropped and shortest >= minimum_distances(symbols).diagonal().max()

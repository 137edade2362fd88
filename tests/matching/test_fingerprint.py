"""The distance of fingerprints: zero for one crystal however it is described, symmetric, and larger for what differs more."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure

from imatgen_flows.matching.fingerprint import REACH, STEP, VOLUME, WIDTH, Fingerprint

RUTILE = Structure.from_spacegroup(136, Lattice.tetragonal(4.594, 2.959), ["Ti", "O"], [[0, 0, 0], [0.305, 0.305, 0]])
ANATASE = Structure.from_spacegroup(141, Lattice.tetragonal(3.785, 9.514), ["Ti", "O"], [[0, 0, 0], [0, 0, 0.208]])
BROOKITE = Structure.from_spacegroup(
    61,
    Lattice.orthorhombic(9.184, 5.447, 5.145),
    ["Ti", "O", "O"],
    [[0.129, 0.097, 0.862], [0.010, 0.149, 0.182], [0.230, 0.110, 0.530]],
)
POLYMORPHS = (RUTILE, ANATASE, BROOKITE)


def distance(one, other):
    return Fingerprint.of(one).distance(Fingerprint.of(other))


@given(st.integers(0, 2), st.integers(0, 2), st.integers(0, 10**6))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_distance_depends_neither_on_the_cells_nor_on_the_order(redescribe, one, other, seed):
    """Other axes, handedness, origin, order of sites and volume, and supercells change nothing."""
    rng = np.random.default_rng(seed)
    first, second = POLYMORPHS[one], POLYMORPHS[other]
    plain = distance(first, second)
    assert distance(second, first) == pytest.approx(plain, abs=1e-12)
    assert distance(redescribe(first, rng), redescribe(second, rng)) == pytest.approx(plain, abs=1e-9)
    assert plain == pytest.approx(0, abs=1e-9) if one == other else plain > 0.05


def test_a_crystal_is_near_what_was_moved_a_little_and_far_from_another_polymorph():
    moved = [distance(RUTILE, RUTILE.copy().perturb(step, seed=1)) for step in (0.02, 0.1, 0.4)]
    strained = RUTILE.copy()
    strained.apply_strain([0.03, 0, -0.03])
    between = distance(RUTILE, BROOKITE)
    assert moved == sorted(moved) and moved[0] < 1e-3
    assert moved[1] < between / 10 and distance(RUTILE, strained) < between / 3
    assert between < distance(RUTILE, ANATASE)  # brookite and rutile are both dense, with three and two shared edges


def test_elements_that_differ_take_the_roles_in_which_the_distance_is_least():
    def spinel(a, b):
        sites = [[0.125] * 3, [0.5] * 3, [0.263] * 3]
        return Structure.from_spacegroup("Fd-3m", Lattice.cubic(8.1), [a, b, "O"], sites)

    one, other = spinel("Mg", "Al"), spinel("Al", "Mg")  # MgAl2O4 and AlMg2O4
    assert distance(one, other) == pytest.approx(0, abs=1e-9)
    with pytest.raises(ValueError, match="different stoichiometries"):
        distance(one, RUTILE)


def test_distances_follow_those_of_ase():
    """ASE sums counts over bins rather than Gaussians on a grid, which is the same number but for a part of a bin."""
    comparator = pytest.importorskip("ase_ga.ofp_comparator")
    from pymatgen.io.ase import AseAtomsAdaptor

    cells = [crystal * repeat for crystal, repeat in zip(POLYMORPHS, ((2, 2, 1), (2, 1, 1), (1, 1, 1)), strict=True)]
    atoms = []
    for cell in (cell.get_sorted_structure() for cell in cells):
        cell.scale_lattice(VOLUME * len(cell))
        atoms.append(AseAtomsAdaptor.get_atoms(cell, msonable=False))
    theirs = comparator.OFPComparator(rcut=REACH, binwidth=STEP, sigma=WIDTH, recalculate=True)
    for i, j in ((0, 1), (0, 2), (1, 2)):
        expected = theirs._compare_structure(atoms[i], atoms[j])
        assert distance(POLYMORPHS[i], POLYMORPHS[j]) == pytest.approx(expected, rel=0.1)

"""Superposing many crystals at once gives what the matcher gives for one pair after the other."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Lattice, Structure

from imatgen_flows.matching.structure_matcher import SLACK, BatchedMatcher, PrimitiveCell, Tolerances


def all_pairs(structures, tolerances):
    """Yield both structures of each ordered pair of one formula, and its two displacements."""
    cells = [PrimitiveCell.of(structure) for structure in structures]
    for symbols in sorted({cell.symbols for cell in cells}):
        own = [cell for cell in cells if cell.symbols == symbols]
        pairs = np.array(list(product(range(len(own)), repeat=2))).T
        for one, two, largest, rms in zip(*pairs, *BatchedMatcher(own, tolerances).displacements(*pairs), strict=True):
            yield own[one].structure, own[two].structure, largest, rms


@pytest.mark.parametrize("tolerances", [Tolerances(), Tolerances(0.05, 0.1, 2), Tolerances(0.3, 0.5, 10)])
def test_distances_are_those_of_the_plain_matcher(crowd, tolerances):
    matcher = StructureMatcher(ltol=tolerances.ltol, stol=tolerances.stol, angle_tol=tolerances.angle_tol)
    verdicts = []
    for one, two, largest, rms in all_pairs(crowd[::2], tolerances):
        equal = matcher.fit(one, two, skip_structure_reduction=True)
        assert equal == (largest <= tolerances.stol + SLACK)
        if equal:
            assert rms == pytest.approx(matcher.get_rms_dist(one, two)[0], abs=1e-6)
        verdicts.append(equal)
    assert any(verdicts)
    assert not all(verdicts)


@pytest.mark.parametrize("excess", [-1e-3, 1e-3])
def test_the_largest_displacement_decides_right_at_its_tolerance(excess):
    """In a large cell one atom of eight that moves by d is d (1 - 1/8) away from where the mean displacement puts it."""
    still = Structure(
        Lattice.orthorhombic(9, 10, 11), ["V"] * 3 + ["O"] * 5, np.linspace(0, 0.9, 24).reshape(8, 3) ** 2
    )
    moved = still.copy()
    distance = (1 + excess) * 0.1 * (still.volume / 8) ** (1 / 3) * 8 / 7
    moved.translate_sites([5], [0, 0, distance], frac_coords=False)
    tolerances = Tolerances(stol=0.1)
    for one, two, largest, _ in all_pairs([still, moved], tolerances):
        same = one == two
        assert largest == pytest.approx(0 if same else 0.1 * (1 + excess), abs=1e-6)
        assert (largest <= tolerances.stol) == StructureMatcher(stol=0.1).fit(one, two) == (same or excess < 0)


@pytest.mark.parametrize(("stretch", "equal"), [(1.199, True), (1.201, False)])
def test_edges_decide_right_at_their_tolerance(stretch, equal):
    """A cell that is longer by `stretch`, at one volume: all ratios of edges stay below that, but one."""
    cube = Structure(Lattice.cubic(4), ["V"], [[0, 0, 0]])
    # volumes are scaled to each other: c / a = s^1.5 makes c grow by s and a shrink by s^0.5
    brick = Structure(Lattice.tetragonal(4, 4 * stretch**1.5), ["V"], [[0, 0, 0]])
    for one, two, largest, _ in all_pairs([cube, brick], Tolerances()):
        expected = equal or one == two
        assert (largest < 1e-6) == expected == StructureMatcher().fit(one, two)


def test_a_mean_cell_that_is_too_flat_to_tell_is_said_to_be():
    sheet = Structure(Lattice.orthorhombic(0.1, 9, 10), ["V"], [[0, 0, 0]])
    (_, _, largest, rms), *_ = all_pairs([sheet], Tolerances())
    assert np.isnan([largest, rms]).all()


def test_a_crystal_gives_one_cell_however_it_is_described(prototypes, redescribe):
    rng = np.random.default_rng(3)
    for structure in prototypes.values():
        cells = [PrimitiveCell.of(structure), *(PrimitiveCell.of(redescribe(structure, rng)) for _ in range(3))]
        assert len({cell.symbols for cell in cells}) == 1
        (largest, rms) = BatchedMatcher(cells, Tolerances()).displacements(np.zeros(4, int), np.arange(4))
        assert np.concatenate([largest, rms]) == pytest.approx(0, abs=1e-3)

from __future__ import annotations

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from imatgen_flows.studies.latent_diversity import (
    REACH,
    explained,
    explained_shuffled,
    measure_diversity,
    nearest,
    radial_fingerprint,
    shared,
    shared_shuffled,
)

SYSTEM = ("V", "O")


def rocksalt(edge=4.1):
    return Structure.from_spacegroup(225, Lattice.cubic(edge), ["V", "O"], [[0, 0, 0], [0.5, 0.5, 0.5]])


def rutile():
    return Structure.from_spacegroup(136, Lattice.tetragonal(4.6, 2.9), ["V", "O"], [[0, 0, 0], [0.305, 0.305, 0]])


def test_the_fingerprint_does_not_depend_on_how_a_crystal_is_written():
    plain = radial_fingerprint(rutile(), SYSTEM)
    moved = rutile()
    moved.translate_sites(list(range(len(moved))), [0.3, 0.1, 0.7])
    for same in (moved, rutile() * (2, 1, 1), rutile().get_primitive_structure(), Structure.from_sites(rutile()[::-1])):
        np.testing.assert_allclose(radial_fingerprint(same, SYSTEM), plain, atol=1e-6)


def test_the_fingerprint_tells_kinds_of_structure_and_not_their_size():
    small = radial_fingerprint(rocksalt(), SYSTEM)
    np.testing.assert_allclose(radial_fingerprint(rocksalt(5.0), SYSTEM), small, atol=1e-6)
    assert np.linalg.norm(radial_fingerprint(rutile(), SYSTEM) - small) > 1
    other = rutile()
    other.replace_species({"V": "O", "O": "V"})
    assert np.linalg.norm(radial_fingerprint(other, SYSTEM) - radial_fingerprint(rutile(), SYSTEM)) > 1


def test_atoms_without_order_have_an_empty_fingerprint():
    rng = np.random.default_rng(0)
    gas = Structure(Lattice.cubic(20), ["V"] * 500 + ["O"] * 500, rng.random((1000, 3)))
    crystal = np.abs(radial_fingerprint(rocksalt(), SYSTEM))
    # close pairs are rare, and so noisy
    shown = np.arange(len(crystal) // 3) > 0.3 * len(crystal) / 3
    assert np.abs(radial_fingerprint(gas, SYSTEM).reshape(3, -1)[:, shown]).mean() < 0.1 * crystal.mean()
    assert len(crystal) == 3 * round(REACH / 0.05)


def test_neighbours_are_the_nearest_of_other_groups():
    rng = np.random.default_rng(1)
    points, groups = rng.normal(size=(40, 3)), [str(number // 2) for number in range(40)]
    found = nearest(points, groups, 5)
    for row in range(40):
        others = [other for other in range(40) if groups[other] != groups[row]]
        expected = sorted(others, key=lambda other: np.linalg.norm(points[other] - points[row]))[:5]
        assert found[row].tolist() == expected


def test_few_structures_have_few_neighbours():
    assert nearest(np.eye(4), ["a", "a", "b", "c"], 10).shape == (4, 2)


def test_neighbours_explain_what_follows_from_the_place_and_nothing_else():
    rng = np.random.default_rng(2)
    points = rng.random((400, 2))
    near = nearest(points, [str(number) for number in range(400)], 10)
    assert explained(near, points @ [1.0, 2.0]) > 0.95
    assert explained(near, rng.random(400)) == pytest.approx(-0.1, abs=0.1)
    assert explained_shuffled(near, points[:, 0], 0) == pytest.approx(-0.1, abs=0.05)
    assert explained(near, np.ones(400)) == 0


def test_neighbours_of_one_space_are_all_shared_with_itself_and_few_by_chance():
    points = np.random.default_rng(3).random((300, 4))
    near = nearest(points, [str(number) for number in range(300)], 10)
    assert shared(near, near) == 1
    assert shared(near, near[:, :5]) == pytest.approx(0.5)
    assert shared_shuffled(near, near, 0) == pytest.approx(10 / 299, abs=0.01)


def test_a_space_of_the_fingerprint_itself_shares_every_neighbour():
    rng = np.random.default_rng(4)
    structures = []
    for number in range(24):
        made = rutile() if number % 2 else rocksalt(4 + number / 40)
        structures.append(made.perturb(0.05 * rng.random()))
    prints = np.stack([radial_fingerprint(structure, SYSTEM) for structure in structures])
    spaces = {"own": {"all": prints}, "noise": {"all": rng.random((24, 5))}}
    found = measure_diversity(structures, SYSTEM, spaces, [str(number) for number in range(24)], 0)
    assert found.spaces["own"].shared["all"] == 1
    assert found.spaces["own"].explained["fraction"]["all"] > 0.9
    assert found.spaces["noise"].shared["all"] < 0.7
    np.testing.assert_allclose(found.values["volume"][0], structures[0].volume / len(structures[0]), atol=1e-4)
    assert {round(value, 3) for value in found.values["fraction"]} == {0.5, 0.667}

"""The id of a crystal: one in every setting, and different for different crystals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure

from imatgen_flows.crystals.identity import structure_id
from imatgen_flows.crystals.standard import shift_origin
from imatgen_flows.crystals.templates import load_templates

ROCKSALT = Structure.from_spacegroup("Fm-3m", Lattice.cubic(4.2), ["V", "O"], [[0, 0, 0], [0.5, 0.5, 0.5]])
RUTILE = Structure.from_spacegroup("P4_2/mnm", Lattice.tetragonal(4.55, 2.85), ["V", "O"], [[0, 0, 0], [0.3, 0.3, 0]])
coordinate = st.integers(0, 199).map(lambda n: n / 200)


@st.composite
def crystals(draw):
    lengths = [draw(st.integers(25, 99)) / 10 for _ in range(3)]
    lattice = Lattice.from_parameters(*lengths, *[draw(st.integers(60, 115)) for _ in range(3)])
    if not lattice.volume > 10:
        lattice = Lattice.orthorhombic(*lengths)
    coords = draw(st.lists(st.tuples(coordinate, coordinate, coordinate), min_size=2, max_size=6, unique=True))
    return Structure(lattice, ["Ti" if n % 3 else "O" for n in range(len(coords))], coords)


def describe_anew(crystal, random, noise=0.0):
    """Write a crystal with other axes, origin, orientation and order of sites, and noise in its fractional coordinates."""
    change = np.eye(3)[random.permutation(3)]
    for _ in range(3):
        row, column = random.choice(3, 2, replace=False)
        change[row] += random.integers(-2, 3) * change[column]
    rotation, _ = np.linalg.qr(random.normal(size=(3, 3)))
    order = random.permutation(len(crystal))
    noisy = crystal.frac_coords + random.uniform(-noise, noise, crystal.frac_coords.shape)
    frac = ((noisy + random.random(3)) @ np.linalg.inv(change))[order] + random.integers(-1, 2, noisy.shape)
    return Structure(change @ crystal.lattice.matrix @ rotation, [crystal[i].specie for i in order], frac)


@settings(max_examples=60, deadline=None)
@given(crystals(), st.integers(0, 2**32 - 1))
def test_the_name_depends_on_neither_axes_nor_order_nor_origin(crystal, seed):
    assert structure_id(describe_anew(crystal, np.random.default_rng(seed))) == structure_id(crystal)


@pytest.fixture(scope="module")
def prototypes():
    return [template.structure for template in load_templates()[0]]


def test_every_prototype_has_one_name_and_none_has_that_of_another(prototypes):
    random = np.random.default_rng(0)
    names = [structure_id(crystal) for crystal in prototypes]
    assert len(set(names)) == len(prototypes)
    assert [structure_id(describe_anew(crystal, random)) for crystal in prototypes] == names


def test_noise_of_file_digits_changes_hardly_a_name(prototypes):
    random = np.random.default_rng(0)
    changed = [structure_id(describe_anew(c, random, 1e-6)) != structure_id(c) for c in prototypes]
    assert sum(changed) <= 2  # 1 of 2,000 is expected


def test_names_differ_where_crystals_differ():
    blende = Structure.from_spacegroup("F-43m", Lattice.cubic(4.2), ["V", "O"], [[0, 0, 0], [0.25, 0.25, 0.25]])
    larger = Structure(Lattice.cubic(4.21), ROCKSALT.species, ROCKSALT.frac_coords)
    moved = ROCKSALT.copy()
    moved.translate_sites([0], [0.01, 0, 0])
    names = [structure_id(s) for s in (ROCKSALT, ROCKSALT.get_primitive_structure(), blende, larger, moved)]
    assert len(set(names)) == 5
    assert all(len(name) == 12 and int(name, 16) >= 0 for name in names)


def test_a_supercell_has_a_name_that_does_not_depend_on_its_shape():
    assert structure_id(RUTILE * (2, 1, 1)) == structure_id(RUTILE * (1, 1, 2)) != structure_id(RUTILE)


def test_elements_that_change_places_make_another_crystal():
    def nickeline(metal, anion):
        return Structure.from_spacegroup(
            194, Lattice.hexagonal(3.6, 5.0), [metal, anion], [[0, 0, 0], [1 / 3, 2 / 3, 1 / 4]]
        )

    assert structure_id(nickeline("V", "O")) != structure_id(nickeline("O", "V"))


def test_mirror_images_share_a_name():
    def quartz(group, height):
        coords = [[0.4697, 0, height], [0.4135, 0.2669, height + 0.1191]]
        return Structure.from_spacegroup(group, Lattice.hexagonal(4.916, 5.405), ["Si", "O"], coords)

    left = quartz("P3_221", 2 / 3)
    mirrored = Structure(left.lattice, left.species, -left.frac_coords)
    assert structure_id(mirrored) == structure_id(left)


def test_stackings_of_six_layers_have_names_of_their_own():
    """Silicon carbide: polytypes whose atoms have the same neighbours up to the third layer."""

    def stacking(letters):
        heights = np.arange(len(letters)) / len(letters)
        plane = [((0, 0), (1 / 3, 2 / 3), (2 / 3, 1 / 3))["ABC".index(letter)] for letter in letters]
        silicon = [(*xy, z) for xy, z in zip(plane, heights, strict=True)]
        carbon = [(x, y, z + 0.75 / len(letters)) for x, y, z in silicon]
        lattice = Lattice.hexagonal(3.08, 2.52 * len(letters))
        return Structure(lattice, ["Si"] * len(silicon) + ["C"] * len(carbon), silicon + carbon)

    names = [structure_id(stacking(letters)) for letters in ("ABCABC", "ABABAB", "ABCACB", "ABACAB")]
    assert len(set(names)) == 4


@settings(max_examples=30, deadline=None)
@given(crystals(), st.tuples(coordinate, coordinate, coordinate))
def test_a_shifted_origin_keeps_the_name(crystal, shift):
    assert structure_id(shift_origin(crystal, shift)) == structure_id(crystal)


def test_a_flat_lattice_is_refused():
    with pytest.raises(ValueError, match="no volume"):
        structure_id(Structure(Lattice([[3, 0, 0], [0, 3, 0], [3, 3, 0]]), ["V"], [[0, 0, 0]]))

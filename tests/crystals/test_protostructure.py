"""Labels of protostructures: of known prototypes, and what they do not depend on."""

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from imatgen_flows.crystals.protostructure import protostructure_label

RUTILE = [[0, 0, 0], [0.305, 0.305, 0]]


def rutile(*elements):
    return Structure.from_spacegroup("P4_2/mnm", Lattice.tetragonal(4.6, 2.96), elements, RUTILE)


@pytest.mark.parametrize(
    ("structure", "label"),
    [
        (
            Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.6), ["Na", "Cl"], [[0, 0, 0], [0.5] * 3]),
            "AB_cF8_225_a_b",
        ),
        (rutile("Ti", "O"), "AB2_tP6_136_a_f"),
        (
            Structure.from_spacegroup(
                "Pm-3m", Lattice.cubic(3.9), ["Sr", "Ti", "O"], [[0.5] * 3, [0, 0, 0], [0.5, 0, 0]]
            ),
            "ABC3_cP5_221_a_b_c",
        ),
    ],
    ids=["rocksalt", "rutile", "perovskite"],
)
def test_known_prototypes(structure, label):
    assert protostructure_label(structure) == label


def test_elements_do_not_matter_and_their_roles_do():
    assert protostructure_label(rutile("Pb", "O")) == protostructure_label(rutile("V", "O")) == "AB2_tP6_136_a_f"
    # the metal on the places of oxygen: another material, with another label
    assert protostructure_label(rutile("O", "Ti")) == "A2B_tP6_136_f_a"


def test_origin_volume_and_small_displacements_do_not_matter():
    random = np.random.default_rng(3)
    for seed in range(5):
        moved = rutile("Ti", "O").scale_lattice(100.0)
        moved.translate_sites(range(len(moved)), random.random(3))
        moved.perturb(0.04, seed=seed)
        assert protostructure_label(moved) == "AB2_tP6_136_a_f"


def test_six_elements_are_too_many():
    crystal = Structure(Lattice.cubic(9), ["Li", "Na", "K", "Rb", "Cs", "O"], np.arange(18).reshape(6, 3) / 18)
    with pytest.raises(ValueError, match="has 6 elements, at most 5"):
        protostructure_label(crystal)

"""Settings that the Materials Project prescribes."""

import pytest
from pymatgen.core import Composition, Lattice, Structure
from pymatgen.io.vasp.sets import MPRelaxSet

from imatgen_flows.energetics.backends import BACKENDS
from imatgen_flows.energetics.mp_settings import f_element_fault, prescribed_u


def test_f_elements_are_named_and_others_pass(phases):
    assert f_element_fault(phases["V2O5"]) == ""
    assert f_element_fault(Composition("Y2O3")) == ""
    fault = f_element_fault(Structure(Lattice.cubic(4), ["Ce", "U", "O"], [[0, 0, 0], [0.5] * 3, [0.5, 0, 0]]))
    assert "holds Ce, U: pseudopotentials and U of the Materials Project are not reliable" in fault


@pytest.mark.parametrize(
    ("metal", "anion"),
    [("V", "O"), ("V", "F"), ("V", "N"), ("Mn", "O"), ("Mn", "F"), ("Fe", "O"), ("Fe", "S"), ("Ti", "O")],
)
def test_prescribed_u_is_what_pymatgen_writes_into_incar(metal, anion):
    rocksalt = Structure.from_spacegroup("Fm-3m", Lattice.cubic(4.3), [metal, anion], [[0, 0, 0], [0.5, 0.5, 0.5]])
    written = MPRelaxSet(rocksalt).incar.get("LDAUU", [0.0, 0.0])
    assert prescribed_u(rocksalt.composition) == ({metal: written[0]} if written[0] else {})


def test_u_follows_the_most_electronegative_element():
    assert prescribed_u("V2O5") == {"V": 3.25}
    assert prescribed_u("MnO2") == {"Mn": 3.9}
    assert prescribed_u("VOF") == {"V": 3.25}
    assert prescribed_u(Composition("FeVO4")) == {"Fe": 5.3, "V": 3.25}
    for none in ("V", "O2", "FeS", "VN", "Al2O3"):
        assert prescribed_u(none) == {}
    assert prescribed_u("V2O5", BACKENDS["vasp-mp24"]) == {}

"""Energy scales of DFT: the corrections are pymatgen's, and what is on another scale is refused."""

import logging
from dataclasses import replace

import pymatgen.core
import pytest
from pymatgen.core import Lattice, Structure
from pymatgen.entries.compatibility import MaterialsProject2020Compatibility
from pymatgen.entries.computed_entries import ComputedStructureEntry

from imatgen_flows.energetics.backends import MP2020, R2SCAN
from imatgen_flows.energetics.hull import Hull, HullEntry
from imatgen_flows.energetics.mp_corrections import NOTE, corrected_energy, mp2020_entry
from imatgen_flows.errors import InputError

# eV per atom of the element, from Wang et al., Sci. Rep. 11, 15496 (2021), as the Materials Project applies them
PER_O, PER_V = -0.687, -1.700
OXIDES = ("V2O3 corundum", "VO2 rutile", "V2O5")
VANADIUM, OXYGEN = "V bcc", "O2 molecule"


def hull_of(results, scale=MP2020):
    return Hull(
        [HullEntry(name, r.structure.composition, corrected_energy(r, scale)[0]) for name, r in results.items()], scale
    )


@pytest.mark.parametrize("name", OXIDES)
def test_corrections_of_vanadium_oxides_are_pymatgens(results, name):
    result = results[name]
    sites = len(result.structure)
    theirs = MaterialsProject2020Compatibility().process_entry(
        ComputedStructureEntry(
            result.structure,
            result.energy_per_atom * sites,
            parameters={
                "run_type": "GGA+U",
                "hubbards": {"V": 3.25, "O": 0.0},
                "potcar_spec": [{"titel": "PAW_PBE V_pv 07Sep2000"}, {"titel": "PAW_PBE O 08Apr2002"}],
            },
        )
    )
    ours = mp2020_entry(result, name)
    amounts = result.structure.composition
    assert ours.correction == pytest.approx(theirs.correction, abs=1e-12)
    assert ours.correction == pytest.approx(PER_O * amounts["O"] + PER_V * amounts["V"], abs=1e-9)
    assert ours.entry_id == name
    assert corrected_energy(result, MP2020)[0] == pytest.approx(theirs.energy_per_atom, abs=1e-12)


def test_elements_and_nitrides_of_vanadium_carry_no_correction_of_u(results, dft_result):
    assert mp2020_entry(results[VANADIUM]).correction == mp2020_entry(results[OXYGEN]).correction == 0
    nitride = Structure.from_spacegroup("Fm-3m", Lattice.cubic(4.1), ["V", "N"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    assert mp2020_entry(dft_result(nitride)).correction == pytest.approx(-0.361 * 4, abs=1e-9)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"run_type": "PBEsol+U"}, "PBEsol\\+U.*takes GGA and GGA\\+U only"),
        ({"run_type": "r2SCAN"}, "r2SCAN.*energies of different functionals do not compare"),
        ({"hubbards": {"V": 3.1}}, "U of 3.1 eV on V, expected 3.25 eV"),
        ({"hubbards": {}, "run_type": "GGA"}, "U of 0 eV on V, expected 3.25 eV"),
        ({"potcar_spec": ({"titel": "PAW_PBE V_sv 02Aug2007"}, {"titel": "PAW_PBE O 08Apr2002"})}, "V_sv.*takes.*V_pv"),
        ({"potcar_spec": ()}, "pseudopotentials unknown"),
    ],
)
def test_what_the_scheme_would_drop_in_silence_raises(results, monkeypatch, changes, words):
    monkeypatch.setitem(pymatgen.core.SETTINGS, "PMG_POTCAR_CHECKS", False)  # as a user may have set it
    other = replace(results["VO2 rutile"], **changes)
    with pytest.raises(InputError, match=words) as caught:
        mp2020_entry(other, "candidate-7")
    assert "candidate-7" in str(caught.value)
    assert len(str(caught.value)) < 400
    with pytest.raises(InputError, match=words):
        corrected_energy(other, MP2020)


def test_r2scan_and_gga_share_no_scale(results, phases, dft_result):
    r2scan = dft_result(phases["V2O5"], -8.5, "vasp-mp24")
    assert corrected_energy(r2scan, R2SCAN) == (-8.5, "")  # nothing is corrected
    with pytest.raises(InputError, match=r"computed with GGA\+U, but the scale r2SCAN takes r2SCAN only"):
        corrected_energy(results["V2O5"], R2SCAN)
    with pytest.raises(InputError, match="computed with r2SCAN, but the scale MP2020"):
        corrected_energy(r2scan, MP2020)
    with pytest.raises(InputError, match="scale `PBE` is unknown; choose from MP2020 GGA/GGA\\+U, r2SCAN"):
        corrected_energy(results["V2O5"], "PBE")


def test_a_discovery_lies_below_the_hull(results):
    hull = hull_of(results)
    rutile = results["VO2 rutile"]
    composition, energy = rutile.structure.composition, corrected_energy(rutile, MP2020)[0]
    assert hull.e_above_hull(composition, energy) == pytest.approx(0, abs=1e-9)
    better = corrected_energy(replace(rutile, energy_per_atom=-8.3), MP2020)[0]
    assert hull.e_above_hull(composition, better) == pytest.approx(-0.2)
    assert hull.decomposition(composition) == {"VO2 rutile": pytest.approx(1)}
    assert hull.formation_energy(composition, better) == pytest.approx(hull.formation_energy(composition, energy) - 0.2)


def test_a_guessed_anion_is_corrected_as_in_the_materials_project_and_noted(dft_result, caplog):
    nitride = dft_result(Structure(Lattice.cubic(4), ["V", "V", "N"], [[0, 0, 0], [0.5] * 3, [0.5, 0, 0]]))
    with caplog.at_level(logging.WARNING):
        assert mp2020_entry(nitride).correction == pytest.approx(-0.361)
    assert "no oxidation states fit V2N" in caplog.text
    assert corrected_energy(nitride, MP2020)[1].startswith("no oxidation states fit V2N; the scheme corrects N")
    nitrogen = dft_result(Structure(Lattice.cubic(9), ["N", "N"], [[0, 0, 0], [0, 0, 0.12]]))
    assert corrected_energy(nitrogen, MP2020)[1] == ""


@pytest.mark.parametrize("name", OXIDES)
def test_the_oxygen_of_an_oxide_is_recognised_by_its_neighbours_and_never_guessed(results, name):
    result = results[name]
    assert mp2020_entry(result).data[NOTE] == ""
    odd = replace(result, structure=Structure(Lattice.cubic(5), ["V"] * 7 + ["O"], _spread(8)))
    assert mp2020_entry(odd).data[NOTE] == ""  # V7O


def _spread(number):
    return [[i / 2 % 1, i // 2 / 2 % 1, i // 4 / 2 % 1] for i in range(number)]

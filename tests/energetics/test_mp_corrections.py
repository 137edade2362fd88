"""One energy scale: pymatgen's own corrections and hull distances, and a refusal of whatever is on another scale."""

import json
import logging
import sys
from dataclasses import replace
from types import ModuleType

import pymatgen.core
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram
from pymatgen.core import Composition, Lattice, Structure
from pymatgen.entries.compatibility import MaterialsProject2020Compatibility
from pymatgen.entries.computed_entries import ComputedStructureEntry

from imatgen_flows.energetics.hull import HullEntry
from imatgen_flows.energetics.mp_scale import (
    MP2020,
    R2SCAN,
    DFTHull,
    f_element_fault,
    fetch_mp_entries,
    hull_from_results,
    mp2020_entry,
    scaled_energy,
)
from imatgen_flows.errors import ImatgenError, InputError

# eV per atom of the element, from Wang et al., Sci. Rep. 11, 15496 (2021), as the Materials Project applies them
PER_O, PER_V = -0.687, -1.700
OXIDES = ("V2O3 corundum", "VO2 rutile", "V2O5")
VANADIUM, OXYGEN = "V bcc", "O2 molecule"


@pytest.fixture
def results(phases, dft_result):
    """Elements and three oxides, at energies that VASP might give."""
    energies = dict(zip(OXIDES, (-8.0, -8.1, -7.7), strict=True)) | {VANADIUM: -9.08, OXYGEN: -4.95}
    return {name: dft_result(phases[name], energy) for name, energy in energies.items()}


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
    assert scaled_energy(result, MP2020) == pytest.approx(theirs.energy_per_atom, abs=1e-12)


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
        hull_from_results(results).place(other)
    with pytest.raises(InputError, match=f"reference phase VO2 rutile.*{words}"):
        hull_from_results({**results, "VO2 rutile": other})


def test_r2scan_and_gga_share_no_hull(results, phases, dft_result):
    r2scan = {name: dft_result(phases[name], r.energy_per_atom, "r2SCAN") for name, r in results.items()}
    hull = hull_from_results(r2scan, R2SCAN)
    assert hull.scale == R2SCAN
    assert hull.place(r2scan["V2O5"]).energy_per_atom == r2scan["V2O5"].energy_per_atom  # nothing is corrected
    with pytest.raises(InputError, match=r"computed with GGA\+U, but the scale r2SCAN takes r2SCAN only"):
        hull.place(results["V2O5"])
    with pytest.raises(InputError, match="computed with r2SCAN, but the scale MP2020"):
        hull_from_results(results).place(r2scan["V2O5"])
    with pytest.raises(InputError, match="scale `PBE` is unknown"):
        hull_from_results(results, "PBE")


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 5), st.integers(1, 5), st.floats(-2, 0.5)), max_size=6),
    st.integers(1, 6),
    st.integers(1, 6),
    st.floats(-3, 1),
)
def test_hull_distances_are_those_of_pymatgen_negative_ones_included(compounds, v, o, energy):
    entries = [HullEntry("V", Composition("V"), -9.0), HullEntry("O", Composition("O2"), -5.0)]
    for number, (x, y, formation) in enumerate(compounds):
        base = (-9.0 * x - 5.0 * y) / (x + y)
        entries.append(HullEntry(f"phase {number}", Composition({"V": x, "O": y}), base + formation))
    diagram = PhaseDiagram([PDEntry(e.composition, e.energy_per_atom * e.composition.num_atoms) for e in entries])
    composition = Composition({"V": v, "O": o})
    per_atom = (-9.0 * v - 5.0 * o) / (v + o) + energy
    candidate = PDEntry(composition, per_atom * (v + o))
    hull = DFTHull(entries)
    expected = diagram.get_e_above_hull(candidate, allow_negative=True)
    assert hull.e_above_hull(composition, per_atom) == pytest.approx(expected, abs=1e-9)
    formation = diagram.get_form_energy_per_atom(candidate)
    assert hull.formation_energy(composition, per_atom) == pytest.approx(formation, abs=1e-9)


def test_a_discovery_lies_below_the_hull_and_does_not_move_it(results, phases, dft_result):
    hull = hull_from_results(results)
    before = hull.place(results["VO2 rutile"])
    assert before.e_above_hull == pytest.approx(0, abs=1e-9)
    better = hull.place(replace(results["VO2 rutile"], energy_per_atom=-8.3))
    assert better.e_above_hull == pytest.approx(-0.2)
    assert better.decomposition == {"VO2 rutile": pytest.approx(1)}
    assert better.formation_energy == pytest.approx(before.formation_energy - 0.2)
    assert hull.place(results["VO2 rutile"]) == before
    again = DFTHull.from_dict(json.loads(json.dumps(hull.to_dict())))
    assert again.scale == MP2020
    assert again.place(results["V2O5"]) == hull.place(results["V2O5"])
    assert {row["kind"] for row in again.table()} == {"element", "compound"}


def test_a_hull_without_an_element_names_it(results):
    without = {name: result for name, result in results.items() if name != VANADIUM}
    with pytest.raises(InputError, match="no reference phase of the element V: its calculation is missing or was ref"):
        hull_from_results(without)
    with pytest.raises(InputError, match="no reference phase of the element Ti"):
        hull_from_results(results, elements=["V", "O", "Ti"])


def test_a_guessed_anion_is_corrected_as_in_the_materials_project_and_said_aloud(dft_result, caplog):
    nitride = dft_result(Structure(Lattice.cubic(4), ["V", "V", "N"], [[0, 0, 0], [0.5] * 3, [0.5, 0, 0]]))
    with caplog.at_level(logging.WARNING):
        assert mp2020_entry(nitride).correction == pytest.approx(-0.361)
    assert "no oxidation states fit V2N" in caplog.text
    with pytest.raises(InputError, match="x-1: no oxidation states fit V2N"):
        mp2020_entry(nitride, "x-1", refuse_guessed_anion=True)
    elements = {
        "V": dft_result(Structure(Lattice.cubic(3), ["V"], [[0, 0, 0]])),
        "N2": dft_result(Structure(Lattice.cubic(9), ["N", "N"], [[0, 0, 0], [0, 0, 0.12]])),
    }
    hull = hull_from_results(elements)
    assert hull.place(nitride).note.startswith("no oxidation states fit V2N; the scheme corrects N")
    assert hull.place(elements["N2"]).note == ""


@pytest.mark.parametrize("name", OXIDES)
def test_the_oxygen_of_an_oxide_is_told_by_its_neighbours_and_never_guessed(results, name):
    result = results[name]
    assert mp2020_entry(result, refuse_guessed_anion=True).data["imatgen_note"] == ""
    odd = replace(result, structure=Structure(Lattice.cubic(5), ["V"] * 7 + ["O"], _spread(8)))
    assert mp2020_entry(odd, refuse_guessed_anion=True).data["imatgen_note"] == ""  # V7O


def _spread(number):
    return [[i / 2 % 1, i // 2 / 2 % 1, i // 4 / 2 % 1] for i in range(number)]


def test_f_elements_are_named_and_others_pass(phases):
    assert f_element_fault(phases["V2O5"]) == ""
    assert f_element_fault(Composition("Y2O3")) == ""
    fault = f_element_fault(Structure(Lattice.cubic(4), ["Ce", "U", "O"], [[0, 0, 0], [0.5] * 3, [0.5, 0, 0]]))
    assert "holds Ce, U: pseudopotentials and U of the Materials Project are not reliable" in fault


class FakeRester:
    """Answers as MPRester(use_document_model=False) does; this is no test of the server or of mp-api itself."""

    asked = 0
    network = True
    answer = ()

    def __init__(self, api_key, use_document_model):
        if not type(self).network:
            raise ConnectionError(f"Failed to resolve 'api.materialsproject.org' with {api_key}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def get_database_version(self):
        return "2026.02.01"

    def get_entries_in_chemsys(self, elements, additional_criteria):
        assert additional_criteria == {"thermo_types": ["GGA_GGA+U"]}
        type(self).asked += 1
        return list(type(self).answer)


@pytest.fixture
def materials_project(monkeypatch, results):
    entries = [mp2020_entry(result, f"mp-{n}-{result.run_type}") for n, result in enumerate(results.values())]
    rester = type("Rester", (FakeRester,), {"answer": entries})
    package, client = ModuleType("mp_api"), ModuleType("mp_api.client")
    client.MPRester = rester
    monkeypatch.setitem(sys.modules, "mp_api", package)
    monkeypatch.setitem(sys.modules, "mp_api.client", client)
    return rester


def test_references_are_downloaded_once_and_then_need_neither_key_nor_network(materials_project, results, tmp_path):
    first = fetch_mp_entries("V-O", tmp_path / "cache", "k" * 32)
    materials_project.network = False
    again = fetch_mp_entries(["O", "V"], tmp_path / "cache")
    assert again == first
    assert materials_project.asked == 1
    assert {entry.source for entry in first} == {"Materials Project 2026.02.01"}
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["mp_2026.02.01_O-V_GGA_GGA+U.json"]
    theirs, ours = DFTHull(first), hull_from_results(results)
    for result in results.values():
        assert theirs.place(result).e_above_hull == pytest.approx(ours.place(result).e_above_hull, abs=1e-12)


def test_a_damaged_download_is_noticed(materials_project, tmp_path):
    fetch_mp_entries("V-O", tmp_path, "k" * 32)
    (path,) = tmp_path.iterdir()
    content = json.loads(path.read_text())
    content["entries"][0]["energy_per_atom"] -= 0.001
    for damaged in (json.dumps(content), path.read_text()[:200], "[]", ""):
        path.write_text(damaged)
        with pytest.raises(InputError, match="its hash does not match.*Delete it"):
            fetch_mp_entries("V-O", tmp_path)


def test_no_key_no_package_and_no_network_say_what_to_do(materials_project, monkeypatch, tmp_path):
    with pytest.raises(InputError, match=r"MP_API_KEY.*compute the reference phases with the same flow"):
        fetch_mp_entries("V-O", tmp_path)
    materials_project.network = False
    with pytest.raises(InputError, match=r"did not answer \(ConnectionError.*network") as caught:
        fetch_mp_entries("V-O", tmp_path, "secret" * 6)
    assert "secret" not in str(caught.value)
    monkeypatch.setitem(sys.modules, "mp_api.client", None)
    with pytest.raises(InputError, match=r"imatgen-flows\[mp\]"):
        fetch_mp_entries("V-O", tmp_path, "k" * 32)
    with pytest.raises(InputError, match="`Vn` is no element"):
        fetch_mp_entries("Vn-O", tmp_path, "k" * 32)
    assert not list(tmp_path.iterdir())


def test_an_answer_on_another_scale_is_refused(materials_project, results, tmp_path):
    sound = materials_project.answer
    other = mp2020_entry(results["V2O5"], "mp-9-r2SCAN")
    other.parameters["run_type"] = "r2SCAN"
    raw = mp2020_entry(results["V2O5"], "mp-9-GGA+U")
    raw.energy_adjustments = []
    lone = [entry for entry in sound if entry.composition.reduced_formula != "V"]
    for answer, words in (
        ([*sound, other], "mp-9-r2SCAN computed with r2SCAN"),
        ([*sound, raw], "oxide mp-9-GGA\\+U without the correction"),
        (lone, "holds no phase of the element V"),
    ):
        materials_project.answer = answer
        with pytest.raises(ImatgenError, match=words):
            fetch_mp_entries("V-O", tmp_path, "k" * 32)
    assert not list(tmp_path.iterdir())

"""Checks of DFT documents: sound ones are accepted in every form, each fault is refused by its own name."""

import copy
import re
import shutil
import subprocess

import numpy as np
import pymatgen.core
import pytest
from emmet.core.tasks import TaskDoc
from jobflow import Flow, JobStore, job, run_locally
from maggma.stores import MemoryStore
from pymatgen.core import Lattice, Structure
from pymatgen.io.vasp.sets import MPRelaxSet

from imatgen_flows.energetics.backends import BACKENDS
from imatgen_flows.energetics.dft import ionic_evaluations
from imatgen_flows.energetics.dft_result import DFTResult, Refusal
from imatgen_flows.testing.install import install

VO2 = Structure.from_spacegroup("P4_2/mnm", Lattice.tetragonal(4.55, 2.85), ["V", "O"], [[0, 0, 0], [0.3, 0.3, 0]])
VANADIUM = Structure(Lattice.cubic(3.0), ["V", "V"], [[0, 0, 0], [0.5, 0.5, 0.5]])
VN = Structure.from_spacegroup("Fm-3m", Lattice.cubic(4.13), ["V", "N"], [[0, 0, 0], [0.5, 0.5, 0.5]])


def check(document, *, backend="vasp-mp-gga", **options):
    return BACKENDS[backend].check_document(document, **options)


@job
def keep(document):
    return document


def stored(document):
    """Return the document as a JobStore returns it."""
    store = JobStore(MemoryStore())
    kept = keep(document)
    run_locally(Flow([kept]), store=store, log=False)
    return store.get_output(kept.uuid)


@pytest.mark.parametrize(
    "travel",
    [lambda d: d, TaskDoc.model_dump, lambda d: d.model_dump(mode="json"), stored],
    ids=["object", "python", "json", "store"],
)
def test_a_sound_document_passes_in_every_form_in_which_it_travels(vasp_document, travel):
    result = check(travel(vasp_document(VO2, -8.5)), fmax=0.05)
    assert isinstance(result, DFTResult), result
    assert result.structure == VO2
    assert result.energy_per_atom == pytest.approx(-8.5)
    assert result.fmax == pytest.approx(0.01)
    assert (result.run_type, result.hubbards, result.gap, result.magnetisation) == ("GGA+U", {"V": 3.25}, 0.6, 2.0)
    assert [spec["titel"] for spec in result.potcar_spec] == ["PAW_PBE V_pv 07Sep2000", "PAW_PBE O 08Apr2002"]
    assert (result.ionic_steps, result.directory, result.vasp_version) == (3, "node7:/scratch/run-1", "6.4.2")


def test_a_stop_before_the_walltime_is_refused_although_the_document_says_successful(vasp_document):
    document = vasp_document(VO2, force=(0, 0, 0.15), stopped=True, corrections=("Walltime reached",))
    assert document.state.value == "successful"
    refusal = check(document, fmax=0.5)  # even with a tolerance that its forces meet
    assert refusal.reason == "walltime"
    assert "Walltime reached" in refusal.detail
    assert "0.15 eV/A" in refusal.detail
    assert "at ionic step 3" in refusal.detail
    by_hand = check(vasp_document(VO2, stopped=True), fmax=0.5)
    assert (by_hand.reason, "STOPCAR" in by_hand.detail) == ("stopped", True)


def test_an_error_that_custodian_corrected_is_no_reason_to_refuse(vasp_document):
    assert isinstance(check(vasp_document(VO2, corrections=("zbrent", "brmix")), fmax=0.05), DFTResult)


SETTINGS = [
    ({"state": "failed"}, "not_successful", "`failed`"),
    ({"version": "6.4.2-standin"}, "stand_in", "6.4.2-standin"),
    ({"energy_per_atom": float("inf")}, "energy_not_finite", "inf"),
    ({"energy_per_atom": float("nan")}, "energy_not_finite", "nan"),
    ({"force": (0.0, 0.0, 0.051)}, "not_converged", "0.051 eV/A, above the tolerance of 0.05 eV/A"),
    ({"force": (0.04, 0.04, 0.04)}, "not_converged", "0.06928"),  # its length decides, not a component
    ({"force": (float("nan"), 0.0, 0.0)}, "no_forces", "6 finite forces"),
    ({"hubbards": {}}, "wrong_run_type", r"the run type is GGA, expected GGA\+U for VO2"),
    ({"parameters": {"GGA": "PE", "LDAU": True}}, "wrong_run_type", r"PBE\+U"),
    ({"parameters": {"GGA": "PS", "LDAU": True}}, "wrong_run_type", r"PBEsol\+U"),
    ({"parameters": {"GGA": "--", "METAGGA": "R2SCAN"}, "hubbards": {}}, "wrong_run_type", "r2SCAN"),
    ({"hubbards": {"V": 3.1}}, "wrong_u", "U of 3.1 eV on V, expected 3.25 eV in VO2"),
    ({"hubbards": {"V": 3.25, "O": 2.0}}, "wrong_u", "U of 2 eV on O, expected 0 eV"),
    ({"titles": ["PAW_PBE V_sv 02Aug2007", "PAW_PBE O 08Apr2002"]}, "wrong_potcar", "PAW_PBE V_sv.*PAW_PBE V_pv"),
    ({"titles": ["PAW V_pv 07Sep2000", "PAW O 22Mar2012"]}, "wrong_potcar", "PAW V_pv"),  # of LDA
    ({"titles": ["PAW_PBE V_pv 07Sep2000"]}, "wrong_potcar", "PAW_PBE O, PAW_PBE V_pv for VO2"),
    ({"titles": []}, "wrong_potcar", "unknown"),
]


@pytest.mark.parametrize(("changes", "reason", "words"), SETTINGS)
def test_each_fault_is_refused_by_its_own_name_with_what_decided(vasp_document, changes, reason, words):
    document = vasp_document(VO2, **changes)
    for form in (document, document.model_dump()):
        refusal = check(form, fmax=0.05)
        assert isinstance(refusal, Refusal)
        assert refusal.reason == reason
        assert re.search(words, refusal.detail), refusal.detail


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        (("output", "energy"), "energy_not_finite"),
        (("calcs_reversed", 0, "output", "ionic_steps", -1, "forces"), "no_forces"),
        (("calcs_reversed", 0, "output", "ionic_steps", -1, "stress"), "no_stress"),
        (("output", "bandgap"), "no_gap"),
        (("calcs_reversed", 0, "output", "outcar"), "unreadable"),
        (("calcs_reversed",), "unreadable"),
        (("vasp_version",), ""),  # stands in the calculation too
    ],
)
def test_what_vasp_did_not_write_is_missed(vasp_document, path, reason):
    document = vasp_document(VO2).model_dump()
    *way, last = path
    part = document
    for step in way:
        part = part[step]
    part[last] = None
    verdict = check(document, fmax=0.05)
    assert getattr(verdict, "reason", "") == reason


def test_no_damage_to_a_document_raises(vasp_document):
    """Each part of it in turn is removed or replaced by something of another shape."""
    whole = vasp_document(VO2, steps=1).model_dump(mode="json")
    verdicts = []
    for path in _paths(whole):
        for other in (None, [], {}, "text", 7, [None], [[0.0, "x"]], True):
            document = copy.deepcopy(whole)
            _set(document, path, other)
            verdicts.append(check(document, fmax=0.05))
    for other in (None, [], {}, "text", 7, {"calcs_reversed": [None]}, {"calcs_reversed": [{}]}):
        verdicts.append(check(other, fmax=0.05))
        assert verdicts[-1].reason == "unreadable"
    assert len(verdicts) > 1000
    assert {type(verdict) for verdict in verdicts} == {DFTResult, Refusal}
    assert all(v.detail.endswith(".") for v in verdicts if isinstance(v, Refusal))
    assert all(np.isfinite([v.energy_per_atom, v.fmax, v.gap]).all() for v in verdicts if isinstance(v, DFTResult))


def _paths(part, depth=7):
    """Yield the path to each part that is checked; a crystal is one part, and two elements represent a list."""
    items = part.items() if isinstance(part, dict) else list(enumerate(part))[:2] if isinstance(part, list) else ()
    for key, value in items:
        yield (key,)
        if depth and key not in ("sites", "lattice", "symmetry", "orig_inputs", "entry"):
            yield from ((key, *rest) for rest in _paths(value, depth - 1))


def _set(document, path, value):
    for step in path[:-1]:
        document = document[step]
    document[path[-1]] = value


def test_a_stand_in_passes_only_where_it_is_allowed(vasp_document):
    document = vasp_document(VO2, version="6.4.2-STANDIN")
    assert check(document, fmax=0.05).reason == "stand_in"
    assert check(document, fmax=0.05, allow_stand_in=True).vasp_version == "6.4.2-STANDIN"


def test_an_element_and_a_nitride_carry_no_u(vasp_document):
    for structure in (VANADIUM, VN):
        assert check(vasp_document(structure), fmax=0.05).run_type == "GGA"
        assert check(vasp_document(structure, hubbards={"V": 3.25}), fmax=0.05).reason == "wrong_run_type"


def test_r2scan_has_pseudopotentials_of_its_own_and_no_u(vasp_document):
    r2scan = {"parameters": {"GGA": "--", "METAGGA": "R2SCAN"}, "hubbards": {}}
    assert check(vasp_document(VO2, **r2scan), fmax=0.05, backend="vasp-mp24").run_type == "r2SCAN"
    assert check(vasp_document(VO2), fmax=0.05, backend="vasp-mp24").reason == "wrong_run_type"


def test_evaluations_are_counted_over_all_calculations(vasp_document):
    document = vasp_document(VO2, steps=7).model_dump()
    document["calcs_reversed"] *= 2
    assert ionic_evaluations(document) == 14
    assert ionic_evaluations(vasp_document(VO2, steps=1)) == 1
    document["calcs_reversed"][0]["output"]["ionic_steps"] = None  # stored elsewhere, as a trajectory
    assert ionic_evaluations(document) == 14
    assert ionic_evaluations({}) == 0
    assert check(document, fmax=0.05).fmax == pytest.approx(0.01)  # of the summary


@pytest.fixture(scope="module")
def run_vasp(tmp_path_factory):
    """Relax VO2 with the stand-in, without custodian; return the directory with its outputs."""
    installed = install(tmp_path_factory.mktemp("stand-in"))

    def run(stopped=False, **incar):
        directory = tmp_path_factory.mktemp("run")
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(pymatgen.core.SETTINGS, "PMG_VASP_PSP_DIR", installed.environment["PMG_VASP_PSP_DIR"])
            MPRelaxSet(VO2, user_incar_settings=incar).write_input(directory)
        if stopped:
            (directory / "STOPCAR").write_text("LSTOP = .TRUE.\n")
        subprocess.run([installed.directory / "vasp_std"], cwd=directory, check=True, capture_output=True)
        return directory

    return run


@pytest.fixture(scope="module")
def finished(run_vasp):
    return run_vasp()


def test_what_a_program_wrote_is_checked_as_it_was_parsed(finished):
    document = TaskDoc.from_directory(finished)
    assert check(document, fmax=0.05).reason == "stand_in"
    result = check(document, fmax=0.05, allow_stand_in=True)
    assert isinstance(result, DFTResult), result
    assert result.hubbards == {"V": 3.25}
    assert result.fmax == pytest.approx(document.analysis.max_force)
    assert result.energy_per_atom == pytest.approx(document.output.energy_per_atom)
    assert result.ionic_steps == len(document.calcs_reversed[0].output.ionic_steps) > 1
    refusal = check(document, fmax=result.fmax / 2, allow_stand_in=True)
    assert refusal.reason == "not_converged"
    assert document.state.value == "successful"


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"stopped": True, "EDIFFG": -1e-6}, "stopped"),
        ({"SYSTEM": "fault:nsw@all", "NSW": 4}, "not_successful"),
        ({"GGA": "PS"}, "wrong_run_type"),
        ({"LDAU": False}, "wrong_run_type"),
        ({"LDAUU": {"O": {"V": 3.1}}}, "wrong_u"),
    ],
)
def test_a_run_with_other_settings_or_a_bad_end_is_refused(run_vasp, settings, reason):
    refusal = check(TaskDoc.from_directory(run_vasp(**settings)), fmax=0.5, allow_stand_in=True)
    assert isinstance(refusal, Refusal)
    assert refusal.reason == reason, refusal


@pytest.mark.parametrize(
    ("missing", "reason"),
    [
        (r"<scstep>.*?</scstep>", "energy_not_finite"),
        (r'<varray name="forces".*?</varray>', "no_forces"),
        (r'<varray name="stress".*?</varray>', "no_stress"),
        (r"<eigenvalues>.*?</eigenvalues>", "no_gap"),
    ],
)
def test_what_is_missing_in_vasprun_is_missed_although_the_document_says_successful(
    finished, tmp_path, missing, reason
):
    directory = shutil.copytree(finished, tmp_path / "run")
    vasprun = directory / "vasprun.xml"
    text, times = re.subn(missing, "", vasprun.read_text(), flags=re.DOTALL)
    assert times
    vasprun.write_text(text)
    document = TaskDoc.from_directory(directory)
    assert document.state.value == "successful"
    assert check(document, fmax=0.05, allow_stand_in=True).reason == reason


def pressed(document, pstress, static):
    """A document at a pressure, in kB; a static calculation has no ionic steps to make."""
    plain = document.model_dump()
    steps = {"NSW": 0, "IBRION": -1} if static else {}
    plain["calcs_reversed"][0]["input"]["incar"] |= steps | ({"PSTRESS": pstress} if pstress else {})
    return plain


def test_the_enthalpy_is_the_energy_of_the_static_calculation_and_pressure_times_its_volume(vasp_document):
    volume = VO2.volume / len(VO2)
    static = check(pressed(vasp_document(VO2, -8.0), 0.0, static=True), fmax=0.05, pressure=20.0)
    assert static.energy_per_atom == pytest.approx(-8.0 + 20 / 160.21766 * volume)
    relaxation = check(pressed(vasp_document(VO2, -8.0), 200.0, static=False), fmax=0.05, pressure=20.0)
    assert isinstance(relaxation, DFTResult)


@pytest.mark.parametrize(
    ("pstress", "static", "pressure", "said"),
    [
        (0.0, False, 20.0, "PSTRESS is 0 kB, expected 200 kB in a relaxation."),
        (20.0, False, 20.0, "PSTRESS is 20 kB, expected 200 kB in a relaxation."),
        (200.0, True, 20.0, "PSTRESS is 200 kB, expected 0 kB in a static calculation."),
        (200.0, False, 0.0, "PSTRESS is 200 kB, expected 0 kB in a relaxation."),
    ],
)
def test_a_calculation_at_another_pressure_is_refused(vasp_document, pstress, static, pressure, said):
    refusal = check(pressed(vasp_document(VO2), pstress, static), fmax=0.05, pressure=pressure)
    assert refusal == Refusal("wrong_pressure", said)


def test_a_force_field_s_energy_becomes_an_enthalpy(vasp_document):
    output = {"energy_per_atom": -8.0, "forces": [[0.0, 0.0, 0.01]] * 6, "structure": VO2}
    results = [check({"output": output}, backend="force-field", fmax=0.05, pressure=p) for p in (0.0, 20.0)]
    difference = results[1].energy_per_atom - results[0].energy_per_atom
    assert results[0].energy_per_atom == -8.0
    assert difference == pytest.approx(20 / 160.21766 * VO2.volume / len(VO2))

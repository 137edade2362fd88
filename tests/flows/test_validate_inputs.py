"""The inputs of DFT are those of the Materials Project, key by key, but for what is listed here with its reason."""

from __future__ import annotations

import warnings

import pymatgen.core
import pytest
from jobflow import JobStore, run_locally
from maggma.stores import MemoryStore
from pymatgen.core import Lattice, Structure
from pymatgen.io.vasp import Incar, Kpoints, Poscar, Potcar
from pymatgen.io.vasp.inputs import KpointsSupportedModes
from pymatgen.io.vasp.sets import MPRelaxSet, MPStaticSet

from imatgen_flows.config import Validate
from imatgen_flows.energetics.backends import BACKENDS
from imatgen_flows.energetics.dft import check_task_document
from imatgen_flows.energetics.dft_result import DFTResult
from imatgen_flows.energetics.magnetism import antiferromagnetic
from imatgen_flows.flows import ValidateMaker
from imatgen_flows.flows.dft_makers import with_pressure
from imatgen_flows.jobs.calculations import with_fixed_cell
from imatgen_flows.testing.install import install

VO2 = Structure.from_spacegroup("P4_2/mnm", Lattice.tetragonal(4.55, 2.85), ["V", "O"], [[0, 0, 0], [0.3, 0.3, 0]])
STRUCTURES = {
    "oxide with U": VO2,
    "antiferromagnetic oxide": antiferromagnetic(VO2),
    "metal": Structure(Lattice.cubic(3.0), ["V", "V"], [[0, 0, 0], [0.5, 0.5, 0.5]]),
    "sulfide": Structure.from_spacegroup(
        "P-3m1", Lattice.hexagonal(3.41, 5.7), ["Ti", "S"], [[0, 0, 0], [1 / 3, 2 / 3, 0.25]]
    ),
    "ferromagnetic sulfide, without U": Structure.from_spacegroup(
        "Fm-3m", Lattice.cubic(5.1), ["Fe", "S"], [[0, 0, 0], [0.5, 0.5, 0.5]]
    ),
    "species out of order": Structure(Lattice.cubic(4.2), ["O", "V"], [[0, 0, 0], [0.5, 0.5, 0.5]]),
}
# step: key of INCAR -> value, and why it is not the input set's
EXCEPTIONS: dict[str, dict[str, tuple[object, str]]] = {
    "relax 1": {"ISMEAR": (0, "tetrahedra (-5) give wrong forces in metals, and custodian would run VASP twice")},
    "relax 2": {"ISMEAR": (0, "as in the first; SIGMA is the set's own 0.05")},
    "static": {},  # the energy that is compared comes from here: no exception
}
MOLECULE = {"ISIF": (2, "the box of a molecule means nothing")}
# Of a mesh, the centre may differ: atomate2's makers of the Materials Project put it at Gamma, where the sets shift meshes of
# even divisions; both converge to one energy. The divisions may not.
GAMMA = KpointsSupportedModes.Gamma


@pytest.fixture(scope="module")
def standin(tmp_path_factory):
    installed = install(tmp_path_factory.mktemp("standin"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(pymatgen.core.SETTINGS, "PMG_VASP_PSP_DIR", installed.environment["PMG_VASP_PSP_DIR"])
        yield installed


@pytest.fixture(scope="module")
def maker(standin):
    settings = {
        "vasp_cmd": standin.environment["ATOMATE2_VASP_CMD"],
        "vasp_gamma_cmd": standin.environment["ATOMATE2_VASP_GAMMA_CMD"],
        "custodian_kwargs": {"polling_time_step": 0.1, "monitor_freq": 10},
    }
    return ValidateMaker(validate=Validate(backend="vasp-mp-gga"), run_vasp_kwargs=settings).calculation()


def run(flow, directory):
    """Run a chain; yield the name and the inputs of each step, as they were before custodian looked at them."""
    store = JobStore(MemoryStore(), additional_stores={"data": MemoryStore()})
    responses = run_locally(
        flow, store=store, create_folders=True, root_dir=directory, raise_immediately=True, log=False
    )
    documents = [response.output for runs in responses.values() for response in runs.values()]
    for document in documents:
        folder = directory / document.dir_name.rsplit("/", 1)[-1]
        written = {
            name: reader.from_file(next(folder.glob(f"{name}.orig*")))
            for name, reader in {"INCAR": Incar, "KPOINTS": Kpoints, "POSCAR": Poscar, "POTCAR": Potcar}.items()
        }
        yield document.task_label.removeprefix("MP GGA ").strip(), written, document


def input_set(step, structure):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = (MPStaticSet if step == "static" else MPRelaxSet)(structure)
        return made.get_input_set()


def differences(written, expected, exceptions):
    """What differs beyond the exceptions, and exceptions that are none; by name of key."""
    keys = sorted(set(written) | set(expected))
    found = {key: (written.get(key), expected.get(key)) for key in keys if written.get(key) != expected.get(key)}
    unused = {key: exceptions[key] for key in exceptions if key not in found}
    wrong = {key: pair for key, pair in found.items() if key not in exceptions or pair[0] != exceptions[key][0]}
    return wrong | unused


def check(step, written, structure, exceptions):
    expected = input_set(step, structure)
    incar = Incar.from_str(str(expected["INCAR"]))  # numbers as they read back
    assert differences(written["INCAR"], incar, exceptions) == {}
    assert written["POTCAR"].symbols == expected["POTCAR"].symbols
    assert [one.TITEL for one in written["POTCAR"]] == [one.TITEL for one in expected["POTCAR"]]
    assert written["KPOINTS"].style is GAMMA and written["KPOINTS"].kpts == expected["KPOINTS"].kpts
    assert written["KPOINTS"].kpts_shift == (0, 0, 0)
    assert str(written["POSCAR"]) == str(Poscar.from_str(str(expected["POSCAR"])))


@pytest.mark.parametrize("name", STRUCTURES)
def test_every_input_of_a_chain_is_the_materials_projects(name, maker, tmp_path):
    steps, structure = [], STRUCTURES[name]
    for step, written, document in run(maker.make(structure), tmp_path):
        check(step, written, structure, EXCEPTIONS[step])
        steps.append(step)
        structure = document.structure  # from which the next one starts
    assert steps == list(EXCEPTIONS)


def test_a_molecule_keeps_its_box_and_differs_in_nothing_else(maker, tmp_path):
    oxygen = Structure(
        Lattice.orthorhombic(6.0, 6.1, 7.2), ["O", "O"], [[3, 3, 3], [3, 3, 4.22]], coords_are_cartesian=True
    )
    structure = oxygen
    for step, written, document in run(with_fixed_cell(maker).make(oxygen), tmp_path):
        check(step, written, structure, EXCEPTIONS[step] | MOLECULE)
        assert document.structure.lattice == oxygen.lattice
        structure = document.structure


PRESSURE = {"PSTRESS": (200.0, "kB, of 20 GPa; the static calculation has none, so that its energy is free of pV")}


def test_a_pressure_is_that_of_the_relaxations_and_changes_nothing_else(maker, tmp_path):
    structure, volumes = VO2, []
    for step, written, document in run(with_pressure(maker, 20.0).make(VO2), tmp_path):
        check(step, written, structure, EXCEPTIONS[step] | (PRESSURE if step != "static" else {}))
        result = check_task_document(document, BACKENDS["vasp-mp-gga"], fmax=1.0, allow_stand_in=True, pressure=20.0)
        assert isinstance(result, DFTResult), result
        structure, energy = document.structure, document.calcs_reversed[0].output.ionic_steps[-1].electronic_steps[-1]
        volumes.append(structure.volume)
    assert volumes[-1] < 0.97 * VO2.volume
    # of the last one, whose energy is compared: E without pV, and pV once
    enthalpy = energy.e_0_energy + 20 / 160.21766 * structure.volume
    assert result.energy_per_atom == pytest.approx(enthalpy / len(structure), abs=1e-5)


def test_without_a_pressure_a_validation_makes_the_chain_that_it_made_before():
    validate = Validate(backend="vasp-mp-gga")
    plain, pressed = (ValidateMaker(validate=validate, pressure=p).calculation() for p in (0.0, 5.0))
    assert "PSTRESS" not in str(plain) and str(pressed).count("'PSTRESS': 50.0") == 2


def test_a_force_field_relaxes_at_the_pressure():
    maker = ValidateMaker(validate=Validate(backend="force-field"), pressure=10.0).calculation()
    assert maker.relax_kwargs["filter_kwargs"]["scalar_pressure"] == pytest.approx(10 / 160.21766)
    assert maker.relax_kwargs["fmax"] == Validate().fmax / 2


def test_a_key_that_is_not_listed_is_found():
    assert differences({"ENCUT": 520, "ISYM": 0}, {"ENCUT": 520}, {}) == {"ISYM": (0, None)}
    assert differences({"ENCUT": 400}, {"ENCUT": 520}, {"ENCUT": (400, "why")}) == {}
    assert differences({"ENCUT": 300}, {"ENCUT": 520}, {"ENCUT": (400, "why")}) == {"ENCUT": (300, 520)}
    assert differences({}, {}, {"ENCUT": (400, "why")}) == {"ENCUT": (400, "why")}

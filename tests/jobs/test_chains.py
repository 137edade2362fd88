"""Chains of calculations that go wrong: one refusal with its reason, and another attempt from the last good structure."""

from __future__ import annotations

import os
import time

import pytest
from pymatgen.io.vasp import Poscar

from imatgen_flows.config import Validate
from imatgen_flows.flows import ValidateMaker
from imatgen_flows.flows.walltime import START, CalculationWalltimeHandler
from imatgen_flows.io.artifacts import read_lines
from imatgen_flows.jobs import calculations
from imatgen_flows.jobs.calculations import calculate, collect_calculations

from .conftest import VO2

pytestmark = pytest.mark.slow
BUFFER = 300  # s before the walltime, when custodian stops VASP


@pytest.fixture
def chain(store, run, vasp, tmp_path, monkeypatch):
    """Calculate one structure, with a fault in its second relaxation; return its result, and the start of each step."""
    monkeypatch.setenv("STANDIN_ATTEMPTS", str(tmp_path / "attempts"))

    def calculate_one(fault, attempts=2, walltime=None, **incar):
        maker = ValidateMaker(validate=Validate(backend="vasp-mp-gga"), walltime=walltime, run_vasp_kwargs=vasp)
        chosen = maker.calculation()
        incar = chosen.relax_maker.relax_maker2.input_set_generator.user_incar_settings | incar
        chosen.relax_maker.relax_maker2.input_set_generator.user_incar_settings = incar | {"SYSTEM": f"fault:{fault}"}
        subjects = store.put_lines("subjects", [{"name": "one", "structure": VO2.as_dict()}])
        rules = {"backend": "vasp-mp-gga", "fmax": 0.5, "attempts": attempts}
        flow = calculate(str(store.root), subjects=subjects, maker=chosen, rules=rules)
        (row,) = read_lines(run(flow, raise_immediately=False)[collect_calculations.spec.name].calculations)
        return row, [folder for folder in sorted((tmp_path / "jobs").iterdir()) if list(folder.glob("INCAR*"))]

    return calculate_one


def structure_in(folder, name):
    return Poscar.from_file(next(folder.glob(f"{name}*"))).structure


def same(one, other):
    return one.matches(other, scale=False, primitive_cell=False) and abs(one.volume / other.volume - 1) < 1e-6


def test_an_attempt_that_was_stopped_by_the_walltime_goes_on_from_its_last_structure(chain):
    # half a second a step, and six seconds until the stop: some steps, but not all that it would take
    row, folders = chain("slow@1", walltime=BUFFER + 6, EDIFFG=-0.001)
    assert (row["state"], row["attempts"]) == ("accepted", 2), row
    assert len(folders) == 6
    stopped, again = folders[1], folders[3]
    last = structure_in(stopped, "CONTCAR")
    assert not same(last, structure_in(stopped, "POSCAR.orig"))
    assert same(structure_in(again, "POSCAR.orig"), structure_in(folders[2], "CONTCAR"))
    assert same(structure_in(again, "POSCAR.orig"), last)


def test_an_attempt_that_was_killed_goes_on_from_the_last_structure_that_left_a_document(chain):
    row, folders = chain("sigkill@1/1")
    assert (row["state"], row["attempts"]) == ("accepted", 2), row
    first, _killed, again = folders[:3]
    assert same(structure_in(again, "POSCAR.orig"), structure_in(first, "CONTCAR"))
    assert not same(structure_in(again, "POSCAR.orig"), VO2)


def test_an_empty_contcar_is_a_calculation_without_a_result_and_nothing_starts_from_it(chain):
    row, folders = chain("emptycontcar@1")
    assert next(folders[1].glob("CONTCAR*")).stat().st_size < 60  # compressed or not, there is nothing in it
    assert (row["state"], row["attempts"]) == ("accepted", 2), row
    assert same(structure_in(folders[2], "POSCAR.orig"), structure_in(folders[0], "CONTCAR"))


@pytest.mark.parametrize("fault", ["emptycontcar@all", "diskfull@all", "sigkill@all"])
def test_what_happens_again_and_again_is_one_refusal_that_names_the_calculation(fault, chain):
    row, _ = chain(fault)
    assert (row["state"], row["reason"], row["attempts"]) == ("rejected", "job_lost", 2)
    assert row["detail"] == "calculation 2 of 3 died without a result, and those after it had nothing to start from."
    assert row["evaluations"] > 0  # the first relaxations were paid for


def test_a_full_disk_is_named_where_a_calculation_was_lost(chain, tmp_path, monkeypatch):
    monkeypatch.setattr(calculations, "FULL", 1e9)  # GB: every disk is fuller than that
    row, _ = chain("diskfull@all", attempts=1)
    assert "calculation 2 of 3 died without a result" in row["detail"]
    assert f"MB are free on the disk of {tmp_path}" in row["detail"]


def test_no_attempt_starts_from_a_structure_without_atoms():
    from pymatgen.core import Lattice, Structure

    empty = Structure(Lattice.cubic(3), [], [])
    last = calculations._last_structure
    assert last([{"structure": VO2}, {"structure": empty}, None]) == VO2
    assert last([{"structure": VO2.as_dict()}, {"structure": empty.as_dict()}, {}]) == VO2.as_dict()
    assert last([None, {"structure": None}]) is None


def test_the_second_of_two_long_chains_in_a_process_has_its_walltime_for_itself(chain, monkeypatch):
    # the process began two hours ago, as custodian notes it
    began = time.strftime("%a %b %d %H:%M:%S UTC %Y", time.localtime(time.time() - 7200))
    monkeypatch.setenv(START, began)
    row, folders = chain("slow@1", walltime=3600)
    assert (row["state"], row["attempts"], len(folders)) == ("accepted", 1, 3), row
    assert os.environ[START] == began  # whoever set it may need it


def test_a_clock_of_a_calculation_starts_with_it_and_leaves_no_trace(monkeypatch):
    from monty.json import MontyDecoder

    monkeypatch.delenv(START, raising=False)
    handler = MontyDecoder().process_decoded(CalculationWalltimeHandler(3600, buffer_time=60).as_dict())
    assert (handler.wall_time, handler.buffer_time) == (3600, 60)
    assert START not in os.environ
    before = handler.start_time
    time.sleep(0.01)
    handler.n_applied_corrections += 1  # custodian corrected something
    assert handler.start_time == before
    handler.n_applied_corrections = 0  # custodian starts a calculation
    assert handler.start_time > before

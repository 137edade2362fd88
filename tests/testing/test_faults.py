"""Each fault under real custodian: which it corrects, at which it gives up, and that none passes undetected."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

# fault, further settings, and custodian's corrections after which the job succeeds
MENDED = {
    "zbrent@1": ({}, ["zbrent"]),
    "brmix@1": ({}, ["brmix"]),
    "subspace@1": ({}, ["subspacematrix"]),
    "edddav@1": ({}, ["edddav"]),
    "zpotrf@1": ({}, ["zpotrf"]),
    "symprec@1": ({}, ["inv_rot_mat"]),
    "oom@1": ({"KPAR": 2}, ["out_of_memory"]),
    "nsw@1": ({"NSW": 30}, ["Unconverged"]),
    "scf@1": ({"NELM": 20}, ["Unconverged"]),
    "metal@all": ({}, ["IncorrectSmearing"]),
}
# fault, further settings, and the exception that the job ends with
FATAL = {
    "zbrent@all": ({}, "MaxCorrectionsPerJobError"),
    "brmix@all": ({}, "MaxCorrectionsPerJobError"),
    "subspace@all": ({}, "NonRecoverableError"),
    "edddav@all": ({}, "MaxCorrectionsPerJobError"),
    "zpotrf@all": ({}, "MaxCorrectionsPerJobError"),
    "nsw@all": ({"NSW": 3}, "MaxCorrectionsPerJobError"),
    "scf@all": ({"NELM": 10}, "NonRecoverableError"),
    "oom@1": ({}, "NonRecoverableError"),
    "sigkill@1": ({}, "ValidationError"),
    "crash@1": ({}, "ValidationError"),
    "truncate@1": ({}, "ValidationError"),
    "emptycontcar@1": ({}, "ValueError"),
    "diskfull@1": ({}, "OSError"),
}
LONG = ("brmix@all", "edddav@all", "zpotrf@all")  # these five attempts are much like zbrent's


def relaxation(structure, vasp, system, **incar):
    from atomate2.vasp.jobs.mp import MPGGARelaxMaker

    maker = MPGGARelaxMaker(run_vasp_kwargs=vasp)
    maker.input_set_generator.user_incar_settings.update(SYSTEM=f"rutile fault:{system}", **incar)
    return maker.make(structure)


def corrections(document):
    return [error for run in document.custodian for each in run.corrections for error in each["errors"]]


def is_sound(document):
    output = document.output
    assert document.state.value == "successful"
    assert np.isfinite(output.energy)
    assert output.forces
    assert output.stress
    assert output.bandgap is not None
    assert not document.calcs_reversed[0].output.outcar["is_stopped"]
    return True


@pytest.mark.parametrize("fault", MENDED)
def test_custodian_mends_what_happens_once(fault, vasp, rutile, run_flow):
    incar, errors = MENDED[fault]
    (document,) = run_flow(relaxation(rutile, vasp, fault, **incar)).values()
    assert corrections(document) == errors
    assert is_sound(document)


@pytest.mark.parametrize(
    "fault", [pytest.param(name, marks=pytest.mark.slow if name in LONG else ()) for name in FATAL]
)
def test_what_cannot_be_mended_fails_the_job(fault, vasp, rutile, run_flow):
    incar, ending = FATAL[fault]
    with pytest.raises(Exception) as caught:  # noqa: PT011 - its name is compared below
        run_flow(relaxation(rutile, vasp, fault, **incar))
    assert type(caught.value).__name__ == ending, caught.value


@pytest.mark.parametrize(("fault", "incar"), [("nsw@all", {"NSW": 3}), ("scf@all", {"NELM": 10})])
def test_what_did_not_converge_is_no_success_where_nobody_watches(fault, incar, vasp, rutile, run_flow):
    vasp["handlers"] = []
    with pytest.raises(RuntimeError, match="Job was not successful"):
        run_flow(relaxation(rutile, vasp, fault, **incar))
    job = relaxation(rutile, vasp, fault, **incar)
    job.update_maker_kwargs({"stop_children_kwargs": {"handle_unsuccessful": False}})
    (document,) = run_flow(job).values()
    assert document.state.value == "failed"


def test_a_killed_run_succeeds_when_the_job_is_run_again(vasp, rutile, run_flow, tmp_path, monkeypatch):
    monkeypatch.setenv("STANDIN_ATTEMPTS", str(tmp_path / "attempts"))
    with pytest.raises(Exception, match="VasprunXMLValidator"):
        run_flow(relaxation(rutile, vasp, "sigkill@1"))
    (document,) = run_flow(relaxation(rutile, vasp, "sigkill@1")).values()
    assert is_sound(document)


def test_a_run_that_hangs_is_ended_and_begun_again(vasp, rutile, run_flow, tmp_path):
    from custodian.vasp.handlers import FrozenJobErrorHandler

    vasp["handlers"] = [handler for handler in vasp["handlers"] if not isinstance(handler, FrozenJobErrorHandler)]
    vasp["handlers"].append(FrozenJobErrorHandler(timeout=3))
    (document,) = run_flow(relaxation(rutile, vasp, "hang@1")).values()
    assert corrections(document) == ["Frozen job"]
    assert is_sound(document)
    assert not processes_in(tmp_path)


def test_a_run_that_is_out_of_time_stops_softly_and_only_the_outcar_and_custodian_tell(vasp, rutile, run_flow):
    from custodian.vasp.handlers import WalltimeHandler

    vasp["handlers"].append(WalltimeHandler(wall_time=6, buffer_time=3))
    job = relaxation(rutile, vasp, "slow@1", NSW=99, EDIFFG=-1e-6)
    (document,) = run_flow(job).values()
    # this is the stack's word, and it is wrong: whoever accepts documents must look further
    assert document.state.value == "successful"
    assert document.calcs_reversed[0].output.outcar["is_stopped"]
    assert corrections(document) == ["Walltime reached"]
    assert len(document.calcs_reversed[0].output.ionic_steps) < 99
    assert np.linalg.norm(document.output.forces, axis=1).max() > 1e-6


def test_a_fault_in_a_static_run_strikes_at_once(vasp, rutile, run_flow):
    from atomate2.vasp.jobs.mp import MPGGAStaticMaker

    maker = MPGGAStaticMaker(run_vasp_kwargs=vasp)
    maker.input_set_generator.user_incar_settings.update(SYSTEM="fault:brmix@1")
    (document,) = run_flow(maker.make(rutile)).values()
    assert corrections(document) == ["brmix"]
    assert is_sound(document)


def processes_in(directory):
    """Find processes, this one left out, that work in a directory."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if int(process.name) != os.getpid() and (process / "cwd").resolve().is_relative_to(directory):
                found.append(process.name)
        except OSError:  # it ended, or is another user's
            continue
    return found

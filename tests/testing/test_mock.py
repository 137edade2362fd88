"""References for atomate2's mock VASP, made from runs of the stand-in."""

from __future__ import annotations

import gzip

import pytest

from imatgen_flows.errors import InputError
from imatgen_flows.testing.mock import make_reference

NAME = "MP GGA static"


def static(structure, vasp=None, **incar):
    from atomate2.vasp.jobs.mp import MPGGAStaticMaker

    maker = MPGGAStaticMaker(name=NAME, run_vasp_kwargs=vasp or {})
    maker.input_set_generator.user_incar_settings.update(incar)
    return maker.make(structure)


@pytest.fixture
def finished(vasp, rutile, run_flow):
    """A finished job of the stand-in."""
    return run_flow(static(rutile, vasp))[NAME]


@pytest.fixture
def mocked(finished, tmp_path, monkeypatch):
    """Replace VASP by atomate2's mock, with the finished job as its reference."""
    from atomate2.utils.testing.vasp import monkeypatch_vasp

    reference = make_reference(job_of(tmp_path), tmp_path / "references" / "static")
    for mock in monkeypatch_vasp(monkeypatch, tmp_path / "references"):
        mock({NAME: "static"}, {NAME: {"check_inputs": ["incar", "kpoints", "poscar", "potcar"]}})
        yield reference


def job_of(directory):
    (job,) = directory.glob("job_*")
    return job


def test_the_mock_gives_the_document_of_the_run(finished, mocked, rutile, run_flow):
    replayed = run_flow(static(rutile))[NAME]
    assert replayed.output.energy == finished.output.energy
    assert replayed.state.value == "successful"
    assert replayed.structure == finished.structure


def test_a_wrong_u_fails_the_check_of_the_inputs(mocked, rutile, run_flow):
    with pytest.raises(ValueError, match="INCAR value of LDAUU is inconsistent"):
        run_flow(static(rutile, LDAUU={"O": {"V": 3.1}}))


def test_a_reference_is_small_and_holds_no_potcar(mocked):
    files = [path for path in mocked.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 40_000
    assert not [path for path in files if path.name.startswith("POTCAR") and path.name != "POTCAR.spec"]
    assert (mocked / "inputs" / "POTCAR.spec").read_text().split() == ["V_pv", "O"]


def test_equal_runs_give_equal_references(finished, tmp_path):
    first, second = (make_reference(job_of(tmp_path), tmp_path / name) for name in ("first", "second"))
    for path in first.rglob("*.*"):
        assert path.read_bytes() == (second / path.relative_to(first)).read_bytes()


def test_what_is_no_finished_job_is_refused(tmp_path):
    (tmp_path / "INCAR.gz").write_bytes(gzip.compress(b"NSW = 0"))
    with pytest.raises(InputError, match="POSCAR is missing"):
        make_reference(tmp_path, tmp_path / "reference")
    with pytest.raises(InputError, match="json"):
        make_reference(tmp_path, tmp_path / "json")

"""What DFT lacks is reported before anything is submitted."""

from __future__ import annotations

import shutil

import pytest

from imatgen_flows.managers.dft_check import check_dft
from imatgen_flows.testing.install import install


@pytest.fixture(scope="module")
def standin(tmp_path_factory):
    return install(tmp_path_factory.mktemp("standin"))


@pytest.fixture
def here(standin, monkeypatch):
    """An environment that passes all checks."""
    import atomate2
    import pymatgen.core

    monkeypatch.setattr(atomate2.SETTINGS, "VASP_CMD", str(standin.directory / "vasp_std"))
    monkeypatch.setitem(pymatgen.core.SETTINGS, "PMG_VASP_PSP_DIR", str(standin.directory / "potcars"))
    return monkeypatch


def faults(tiny, system=("V", "O"), backend="vasp-mp-gga"):
    checks = check_dft(tiny(system=system, validate={"backend": backend}))
    return {check.name: check.detail for check in checks if not check.ok}


@pytest.mark.parametrize("backend", ["vasp-mp-gga", "vasp-mp24"])
def test_a_shell_with_all_of_it_passes(tiny, here, backend):
    assert faults(tiny, backend=backend) == {}


def test_nothing_is_asked_of_a_campaign_without_dft(tiny):
    assert check_dft(tiny()) == [] == check_dft(tiny(validate={"backend": "force-field"}))


def test_a_missing_command_is_named(tiny, here):
    import atomate2

    here.setattr(atomate2.SETTINGS, "VASP_CMD", "srun vasp_nowhere")
    assert "no program `vasp_nowhere` on PATH" in faults(tiny)["VASP"]


@pytest.mark.parametrize(("place", "words"), [(None, "is not set"), ("/nowhere", "is no directory")])
def test_missing_potcars_are_named(tiny, here, place, words):
    import pymatgen.core

    here.setitem(pymatgen.core.SETTINGS, "PMG_VASP_PSP_DIR", place)
    assert words in faults(tiny)["POTCARs"]


def test_a_missing_element_is_named(tiny, here, standin, tmp_path):
    import pymatgen.core

    shutil.copytree(standin.directory / "potcars", tmp_path / "potcars")
    for path in (tmp_path / "potcars").rglob("POTCAR.V_pv*"):
        path.unlink()
    here.setitem(pymatgen.core.SETTINGS, "PMG_VASP_PSP_DIR", str(tmp_path / "potcars"))
    assert "no PBE POTCAR V_pv" in faults(tiny)["POTCARs"]


def test_a_potcar_of_another_functional_is_named(tiny, here, standin, tmp_path):
    import pymatgen.core

    shutil.copytree(standin.directory / "potcars", tmp_path / "potcars")
    for path in (tmp_path / "potcars" / "POT_GGA_PAW_PBE").glob("POTCAR.O"):
        path.write_text(path.read_text().replace("PAW_PBE O", "PAW O"))
    here.setitem(pymatgen.core.SETTINGS, "PMG_VASP_PSP_DIR", str(tmp_path / "potcars"))
    assert "O is of another functional: its title is `PAW O" in faults(tiny)["POTCARs"]


def test_an_f_element_is_said(tiny, here):
    assert "Ce" in faults(tiny, system=("Ce", "O"))["DFT settings"]

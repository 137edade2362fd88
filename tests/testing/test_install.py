"""The stand-in is installed by one command, whose output sets up a shell."""

from __future__ import annotations

import os
import subprocess

import pytest
from typer.testing import CliRunner

from imatgen_flows.cli.testing import testing_app
from imatgen_flows.errors import InputError
from imatgen_flows.testing.install import install


def test_what_the_command_prints_can_be_exported(tmp_path):
    directory = tmp_path / "a stand-in"
    done = CliRunner().invoke(testing_app, ["vasp", "--install", str(directory)])
    assert done.exit_code == 0, done.output
    script = "\n".join([*done.output.splitlines(), 'echo "$PMG_VASP_PSP_DIR"; echo "$ATOMATE2_VASP_CMD"'])
    potcars, command = subprocess.run(
        ["sh", "-c", script], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert potcars == str(directory / "potcars")
    # as atomate2 does, the shell splits it; there are no inputs here
    done = subprocess.run(["sh", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "INCAR cannot be read" in done.stdout
    trees = {path.name for path in (directory / "potcars").iterdir()}
    assert trees == {"POT_GGA_PAW_PBE", "POT_GGA_PAW_PBE_54", "POT_PAW_PBE_64"}


def test_to_install_again_changes_the_engine(tmp_path):
    install(tmp_path, "toy")
    install(tmp_path, "chgnet")
    assert "--engine chgnet" in (tmp_path / "vasp_std").read_text()
    assert os.access(tmp_path / "vasp_std", os.X_OK)


def test_a_vasp_that_is_not_ours_is_never_overwritten(tmp_path):
    (tmp_path / "vasp_gam").write_bytes(b"\x7fELF\xff\xfe the real one")
    with pytest.raises(InputError, match="vasp_gam is there and is not the stand-in"):
        install(tmp_path)
    assert (tmp_path / "vasp_gam").read_bytes().endswith(b"the real one")
    assert not (tmp_path / "vasp_std").exists()
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot install into"):
        install(tmp_path / "file" / "below")
    with pytest.raises(InputError, match="no engine `chgent`"):
        install(tmp_path / "other", "chgent")

"""A potential in a Python of its own: it runs there, and what that Python lacks is said before anything runs."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from pymatgen.core import Lattice, Structure

from imatgen_flows.energetics.batched import batching_obstacle
from imatgen_flows.energetics.evaluation_cost import measure_cost
from imatgen_flows.energetics.interpreters import Interpreter, inspect_interpreter
from imatgen_flows.energetics.moments import site_moments
from imatgen_flows.energetics.phonon_cells import PhononSettings
from imatgen_flows.energetics.phonons import phonons_of_many
from imatgen_flows.energetics.potential_registry import Potential
from imatgen_flows.energetics.potentials import get_potential
from imatgen_flows.energetics.relax import relax_many, single_points
from imatgen_flows.errors import ImatgenError, InputError
from imatgen_flows.managers.potential_check import check_potential
from imatgen_flows.parallel import run_isolated, worker_environment
from imatgen_flows.toolkit import relax
from imatgen_flows.version import __version__

HERE = str(Path(__file__).parent)
ROOT = str(Path(__file__).parents[2])
CRYSTAL = Structure(Lattice.cubic(3.0), ["V"], [[0, 0, 0]])


@pytest.fixture
def python(tmp_path, monkeypatch):
    """Write a script that starts this Python as another process would be: with options and variables of its own."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([HERE, ROOT, os.environ.get("PYTHONPATH", "")]))
    monkeypatch.syspath_prepend(ROOT)  # pytest calls this file `tests.energetics.test_interpreters`
    monkeypatch.syspath_prepend(HERE)

    def write(name="python", options="", variables="SHIFT_OF_A_TEST=100"):
        script = tmp_path / name
        script.write_text(f'#!/bin/sh\nexport {variables}\nexec {sys.executable} {options} "$@"\n')
        script.chmod(0o755)
        return str(script)

    return write


def environment_of(name):
    return lambda item, tick: os.environ.get(name, "")


def test_workers_run_the_interpreter_that_is_asked_for(python):
    found = {}
    for interpreter in ("", python()):
        run_isolated(
            environment_of,
            ("SHIFT_OF_A_TEST",),
            [0],
            workers=1,
            timeout=60,
            on_outcome=lambda _, outcome, key=interpreter: found.update({key: outcome.value}),
            interpreter=interpreter,
        )
    assert list(found.values()) == ["", "100"]


def test_another_interpreter_gets_none_of_the_packages_of_this_one(monkeypatch):
    installed = str(Path(json.__file__).parent.parent / "site-packages" / "x")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(["/a/folder", installed]))
    monkeypatch.setenv("PYTHONHOME", "/of/this")
    environment = worker_environment("/some/python")
    assert environment["PYTHONPATH"] == "/a/folder" and "PYTHONHOME" not in environment
    assert environment["OMP_NUM_THREADS"] == "1"
    assert len(worker_environment()["PYTHONPATH"].split(os.pathsep)) == len(sys.path)


def test_a_potential_relaxes_in_its_own_interpreter(python):
    here, there = get_potential("interpreted:make"), get_potential("interpreted:make", python())
    assert here.scale == there.scale and there.interpreter
    one, other = (single_points([CRYSTAL], potential, workers=1)[0].energy_per_atom for potential in (here, there))
    assert other - one == pytest.approx(100)
    assert relax_many([CRYSTAL], there, workers=1)[0].energy_per_atom > 90
    assert measure_cost(there, [CRYSTAL]).seconds(1) > 0
    ((moments,), _) = site_moments([CRYSTAL], there, workers=1)
    assert moments == pytest.approx([100])
    one, other = (
        phonons_of_many([CRYSTAL], potential, PhononSettings(supercell=3.0), workers=1)[0].energy_per_atom
        for potential in (here, there)
    )
    assert other - one == pytest.approx(100)
    assert "interpreter of its own" in batching_obstacle(
        Potential("s", "", "", factory="imatgen_flows.energetics.sevennet:sevennet", interpreter=python())
    )


def test_the_settings_of_a_machine_name_the_interpreter(python, monkeypatch):
    script = python()
    monkeypatch.setenv("IMATGEN_INTERPRETERS", json.dumps({"interpreted:make": script}))
    found = check_potential("interpreted:make", ["V"])
    assert found.ok and found.detail.startswith("interpreted:make, package version none, in " + script)
    assert relax([CRYSTAL], "interpreted:make", workers=1)[0].energy_per_atom > 90


def test_an_interpreter_says_what_it_is(python):
    found = inspect_interpreter(python(), "ase", "ase")
    assert found.has and found.ours == __version__ and found.python == sys.version.split()[0] and found.version
    found.refuse_faults("potential `emt`", "ase")


@pytest.mark.parametrize(
    ("options", "factory", "package", "said"),
    [
        ("", "no_such:make", "no-such", "lacks the Python package `no_such`: `{0} -m pip install no-such`"),
        ("", "no_such:make", "", "lacks the Python package `no_such`: put its folder on PYTHONPATH"),
        ("-S", "json:loads", "", "cannot import this program (ModuleNotFoundError: No module named"),
    ],
)
def test_what_an_interpreter_lacks_is_named(python, monkeypatch, options, factory, package, said):
    script = python(options=options)
    name = "orb" if package else factory
    potential = Potential(name, name, "", factory=factory, package=package)
    with pytest.raises(InputError) as caught:
        get_potential(potential, script)
    assert str(caught.value).startswith(f"potential `{name}` is to run in {script} (setting `interpreters`)")
    assert said.format(script) in str(caught.value)
    monkeypatch.setenv("IMATGEN_INTERPRETERS", json.dumps({name: script}))
    found = check_potential(potential, ["V", "O"])
    assert not found.ok and said.format(script) in found.detail


def test_an_interpreter_that_is_none_is_refused(tmp_path, python):
    with pytest.raises(InputError, match=r"there is no such file\. Give the path of a Python"):
        get_potential("toy", str(tmp_path / "nowhere"))
    other = tmp_path / "other"
    other.write_text("#!/bin/sh\necho I am no Python >&2\nexit 3\n")
    with pytest.raises(InputError, match="it cannot be run"):
        get_potential("toy", str(other))  # not executable
    other.chmod(0o755)
    inspect_interpreter.cache_clear()
    with pytest.raises(InputError, match="does not answer as Python 3.11 or newer does .I am no Python."):
        get_potential("toy", str(other))
    with pytest.raises(ImatgenError, match="worker processes cannot be started"):
        run_isolated(
            environment_of, ("X",), [0], workers=1, timeout=9, on_outcome=print, interpreter=str(tmp_path / "nowhere")
        )


def test_another_version_of_this_program_is_refused():
    found = Interpreter("/venv/bin/python", "mace", python="3.12.1", has=True, ours="0.0.1")
    with pytest.raises(InputError, match=r"has version 0\.0\.1 of this program; here it is"):
        found.refuse_faults("potential `mace`", "mace-torch")


def test_a_missing_package_can_be_had_in_another_interpreter():
    with pytest.raises(InputError, match=r"pip install orb-models.*`interpreters`"):
        get_potential("orb")

"""Each potential that a campaign names is loaded, and evaluates a crystal of its elements, before anything runs."""

from __future__ import annotations

import shlex
import sys
import time
from pathlib import Path

import pytest
import yaml
from ase.data import chemical_symbols

from imatgen_flows.cli.main import main
from imatgen_flows.cluster import PROFILES
from imatgen_flows.crystals.distances import periodic_distances
from imatgen_flows.crystals.shortest_distances import shortest_distances
from imatgen_flows.energetics.potentials import Potential, get_potential
from imatgen_flows.energetics.relax import RelaxSettings, relax_one
from imatgen_flows.managers.potential_check import (
    HARMLESS,
    check_potential,
    check_potentials,
    node_check,
    trial_crystal,
)
from imatgen_flows.managers.preflight import check_machine


@pytest.fixture(autouse=True)
def faulty(monkeypatch):
    """Let the workers import the potentials with faults."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "energetics"))


@pytest.mark.parametrize("system", [("V", "O"), ("H", "Cs"), ("Li", "Fe", "P", "O"), ("B", "C", "N", "O", "F"), ("U",)])
def test_the_trial_crystal_has_each_element_once_and_bonds_of_a_usual_length(system):
    crystal = trial_crystal(system)
    assert sorted(site.specie.symbol for site in crystal) == sorted(system)
    nearest = periodic_distances(crystal.lattice, crystal.cart_coords) / shortest_distances(list(system))
    assert 0.7 < nearest.min() < 2


def test_no_element_looks_faulty_because_of_the_order_of_atoms_in_the_trial_crystal():
    calculator, settings = get_potential("toy").calculator(), RelaxSettings(max_steps=1)
    for symbol in chemical_symbols[1:95]:
        for system in ((symbol,), *((symbol, anion) for anion in ("O", "Te") if anion != symbol)):
            result = relax_one(trial_crystal(system), calculator, settings, fixed_cell=True)
            assert result.reason in HARMLESS, (system, result)


def test_a_potential_that_knows_the_elements_passes_with_its_energy_and_fast():
    began = time.monotonic()
    found = check_potential("toy", ["V", "O"])
    assert found.ok and "eV/atom for a trial crystal of V and O" in found.detail
    assert time.monotonic() - began < 20


def test_an_element_that_a_potential_does_not_know_is_named():
    assert check_potential("emt", ["Cu", "Ni"]).ok
    found = check_potential("emt", ["Cu", "S"])
    assert not found.ok
    assert "no energy for a trial crystal of Cu and S: it fails for S alone (" in found.detail
    assert "No EMT-potential for S" in found.detail and "Choose another potential" in found.detail


@pytest.mark.parametrize(
    ("element", "said"),
    [("He", "forces that is not a finite number"), ("Ar", "no parameters for Ar"), ("Kr", "")],
)
def test_a_potential_that_gives_no_number_or_crashes_fails_for_the_element_it_fails_for(element, said):
    found = check_potential("faulty:make", ["V", element])
    assert not found.ok and f"it fails for {element} alone (" in found.detail and said in found.detail


def test_weights_that_do_not_load_are_a_failed_check_with_its_reason():
    shipped = Potential("heavy", "Heavy", "Of a package.", factory="faulty:make_and_raise")
    found = check_potential(shipped, ["V", "O"])
    assert not found.ok and "weights are corrupt. Weights that are downloaded" in found.detail
    assert "where there is internet" in found.detail
    assert "Did you mean `chgnet`" in check_potential("chgnt", ["V", "O"]).detail


def test_a_function_of_ones_own_that_fails_is_told_what_it_must_return():
    for name, said in (("faulty:make_and_raise", "RuntimeError: weights are corrupt. "), ("faulty:nothing", "nothing")):
        found = check_potential(name, ["V", "O"])
        assert not found.ok and said in found.detail and "internet" not in found.detail
        assert found.detail.endswith(
            f". The function `{name}` is called with `device`, and must return an ASE calculator."
        )
    assert check_potential(":x", ["V", "O"]).detail.startswith("potential `:x`: give `module:function`")


def test_a_campaign_with_a_potential_that_cannot_do_its_elements_is_refused_by_the_check(tiny):
    config = tiny(("Cu", "S"), labels={"potential": "emt"}, screen={"potential": "emt"})
    (found,) = [check for check in check_machine(config) if check.name.startswith("potential")]
    assert found.name == "potential emt" and not found.ok and "for S alone" in found.detail


def test_the_force_field_of_a_validation_is_checked_beside_the_potential(tiny):
    assert [check.name for check in check_potentials(tiny())] == ["potential toy"]
    assert len(check_potentials(tiny(validate={"backend": "vasp-mp-gga"}))) == 1
    potential, force_field = check_potentials(tiny(validate={"backend": "force-field", "force_field": "CHGNt"}))
    assert potential.ok and force_field.name == "potential CHGNt by atomate2" and not force_field.ok
    assert "CHGNt" in force_field.detail


@pytest.mark.slow
def test_chgnet_evaluates_as_potential_and_as_force_field(tiny):
    section = {"potential": "chgnet"}
    found = check_potentials(tiny(labels=section, screen=section, validate={"backend": "force-field"}))
    assert [check.ok for check in found] == [True, True], found
    energies = [float(check.detail.partition("; ")[2].split()[0]) for check in found]
    assert energies[0] == pytest.approx(energies[1], abs=0.01) and -12 < energies[0] < -3


@pytest.fixture
def cluster(tmp_path):
    profile = {"partition": "a100", "walltime": "01:00:00", "gres": "gpu:1", "memory": "8G", "account": "us"}
    content = {"python": str(Path(sys.executable).parent), "profiles": dict.fromkeys(PROFILES, profile)}
    directory = tmp_path / "the cluster"
    directory.mkdir()
    (directory / "cluster.yaml").write_text(yaml.safe_dump(content))
    return directory


def test_the_check_says_how_to_run_it_on_a_compute_node_and_not_where_it_runs_on_one(cluster, tmp_path, monkeypatch):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    found = node_check(cluster, tmp_path / "c.yaml")
    words = shlex.split(found.detail.partition("on a compute node: ")[2])
    assert words[0] == "srun" and {"--partition=a100", "--gres=gpu:1", "--mem=8G", "--account=us"} <= set(words)
    inner = shlex.split(words[-1])
    assert inner == [".", f"{cluster}/env.sh", "&&", "imatgen", "check", f"{tmp_path}/c.yaml"]
    monkeypatch.chdir(cluster.parent)
    assert node_check(Path(cluster.name), Path("c.yaml")) == found
    monkeypatch.setenv("SLURM_JOB_ID", "1")
    assert node_check(cluster, tmp_path / "c.yaml") is None


def test_check_prints_one_line_for_each_potential_and_ends_with_1_where_one_fails(tmp_path, monkeypatch, capsys):
    (tmp_path / "c.yaml").write_text("system: [Cu, S]\nlabels: {potential: emt}\nscreen: {potential: emt}\n")
    monkeypatch.setattr("sys.argv", ["imatgen", "check", str(tmp_path / "c.yaml")])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 1
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "potential" in line]
    assert line.startswith("FAIL  potential emt: ") and "S alone" in line

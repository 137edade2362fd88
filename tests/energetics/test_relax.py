"""Relaxation: convergence, reproducibility, and that a faulty structure fails on its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from subprocess import Popen

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from imatgen_flows.energetics.optimisers import FIRE, OPTIMISER, OPTIMISERS
from imatgen_flows.energetics.potentials import get_potential
from imatgen_flows.energetics.relax import SINGLE_POINT, RelaxSettings, relax_many, relax_one, single_points
from imatgen_flows.errors import ImatgenError, InputError

FAULTS = {"He": "not_finite", "Ne": "diverged", "Ar": "error", "Kr": "crashed", "Xe": "timed_out", "Rn": "diverged"}


def rocksalt(cation: str, anion: str, a: float = 4.1) -> Structure:
    return Structure.from_spacegroup(
        "Fm-3m", Lattice.cubic(a), [cation, anion], [[0] * 3, [0.5] * 3]
    ).get_primitive_structure()


@pytest.fixture
def _faulty(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parent)


@pytest.mark.usefixtures("_faulty")
def test_each_fault_costs_one_structure():
    bad = [rocksalt("V", gas) for gas in FAULTS]
    structures = [rocksalt("Ti", "O"), *bad, rocksalt("Ti", "O")]
    seen = {}
    results = relax_many(
        structures, "faulty:make", RelaxSettings(fmax=0.5), workers=1, timeout=2.0, on_result=seen.__setitem__
    )

    assert [r.state for r in results] == ["relaxed", *["rejected"] * len(bad), "relaxed"]
    assert [r.reason for r in results[1:-1]] == list(FAULTS.values())
    assert all(r.detail and r.structure is None and r.evaluations >= 1 for r in results[1:-1])
    assert [seen[i] for i in range(len(structures))] == results
    assert results[0].energy_per_atom == results[-1].energy_per_atom  # whatever died in between


def test_results_do_not_depend_on_workers_or_order():
    structures = [rocksalt("V", "O"), rocksalt("Mn", "S", 5.0), Structure(Lattice.cubic(3), ["V"], [[0] * 3])]
    one = relax_many(structures, "toy", RelaxSettings(max_steps=8), workers=1)
    two = relax_many(structures[::-1], "toy", RelaxSettings(max_steps=8), workers=2)[::-1]
    assert [r.energy_per_atom for r in one] == [r.energy_per_atom for r in two]
    assert [r.evaluations for r in one] == [r.evaluations for r in two] == [r.steps + 1 for r in one]
    assert [r.structure.composition for r in one] == [s.composition for s in structures]


def test_a_relaxed_structure_feels_no_force():
    result = relax_one(rocksalt("V", "O", 3.8), get_potential("toy").calculator(), RelaxSettings(fmax=0.02))
    again = relax_one(result.structure, get_potential("toy").calculator(), SINGLE_POINT)
    assert result.fmax < 0.02
    assert again.energy_per_atom == pytest.approx(result.energy_per_atom, abs=1e-9)
    assert again.fmax is None  # a single point asks for no forces
    atoms = result.structure.to_ase_atoms()
    atoms.calc = get_potential("toy").calculator()
    assert np.linalg.norm(atoms.get_forces(), axis=1).max() < 0.02
    assert (again.steps, again.evaluations) == (0, 1)


@pytest.mark.parametrize("fixed_cell", [True, False])
def test_every_optimiser_ends_in_the_same_minimum(fixed_cell):
    start = rocksalt("V", "O", 4.0).perturb(0.1, seed=3)
    toy = get_potential("toy").calculator()
    ends = {
        name: relax_one(start, toy, RelaxSettings(0.005, optimiser=name), fixed_cell=fixed_cell)
        for name in OPTIMISERS.names
    }
    energies = [end.energy_per_atom for end in ends.values()]
    assert {end.state for end in ends.values()} == {"relaxed"}
    assert max(energies) - min(energies) < 1e-3
    assert ends[OPTIMISER].evaluations <= 0.8 * ends[FIRE].evaluations


def test_an_unknown_optimiser_is_refused():
    with pytest.raises(InputError, match="unknown optimiser `FYRE`. Did you mean `FIRE`"):
        relax_one(rocksalt("V", "O"), get_potential("toy").calculator(), RelaxSettings(optimiser="FYRE"))


def test_noise_lets_a_symmetric_structure_leave_its_saddle_point():
    square = Structure(Lattice.tetragonal(4.4, 9.0), ["V", "O"], [[0, 0, 0], [0.5, 0.5, 0]])
    toy = get_potential("toy").calculator()
    held = relax_one(square, toy, RelaxSettings(rattle=0, fmax=0.001), fixed_cell=True)
    freed = relax_one(square, toy, RelaxSettings(rattle=0.01, fmax=0.001), fixed_cell=True)
    assert freed.energy_per_atom < held.energy_per_atom - 0.05


def test_the_cell_is_kept_where_asked():
    structures = [rocksalt("V", "O"), rocksalt("V", "O")]
    fixed, free = relax_many(structures, "toy", RelaxSettings(max_steps=5), workers=1, fixed_cell=[True, False])
    np.testing.assert_allclose(fixed.structure.lattice.matrix, structures[0].lattice.matrix)
    assert abs(free.structure.volume / structures[0].volume - 1) > 0.05


def test_a_relaxation_out_of_steps_is_rejected_but_kept():
    result = relax_one(rocksalt("V", "O", 5.0), get_potential("toy").calculator(), RelaxSettings(max_steps=2))
    assert (result.state, result.reason, result.steps) == ("rejected", "not_converged", 2)
    assert result.structure is not None
    assert f"{result.fmax:.3f} eV/A" in result.detail


def test_coincident_atoms_cost_no_evaluation():
    same = Structure(Lattice.cubic(4), ["V", "O"], [[0, 0, 0], [0, 0, 1.0]])
    result = relax_one(same, get_potential("toy").calculator())
    assert (result.state, result.reason, result.evaluations) == ("rejected", "diverged", 0)


def test_single_points_agree_with_ase():
    structures = [rocksalt("Cu", "Al", 5.5), Structure(Lattice.cubic(3), [{"Cu": 0.5, "Al": 0.5}], [[0] * 3])]
    point, disordered = single_points(structures, "emt", workers=1)
    atoms = structures[0].to_ase_atoms()
    atoms.calc = get_potential("emt").calculator()
    assert point.energy_per_atom == pytest.approx(atoms.get_potential_energy() / 2, abs=1e-10)
    assert (point.steps, point.evaluations, point.state) == (0, 1, "relaxed")
    assert (disordered.state, disordered.reason, disordered.evaluations) == ("rejected", "error", 0)


def test_an_interrupted_run_leaves_no_worker_behind(monkeypatch):
    children = []

    def popen(*args, **kwargs):
        children.append(Popen(*args, **kwargs))
        return children[-1]

    def interrupt(index, result):
        raise KeyboardInterrupt

    monkeypatch.setattr(subprocess, "Popen", popen)
    with pytest.raises(KeyboardInterrupt):
        relax_many([rocksalt("V", "O")] * 3, "toy", workers=2, on_result=interrupt)
    assert children
    assert all(child.returncode is not None for child in children)


@pytest.mark.usefixtures("_faulty")
@pytest.mark.parametrize(
    ("factory", "words"), [("make_and_raise", "weights are corrupt"), ("make_and_abort", "SIGABRT")]
)
def test_a_potential_that_cannot_be_loaded_is_no_fault_of_a_structure(factory, words):
    with pytest.raises(ImatgenError, match=words):
        relax_many([rocksalt("V", "O")], f"faulty:{factory}", workers=1)


def test_a_script_without_a_main_guard_runs_once(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "from pymatgen.core import Lattice, Structure\n"
        "from imatgen_flows.energetics.relax import single_points\n"
        "print(single_points([Structure(Lattice.cubic(3), ['V'], [[0, 0, 0]])], 'toy')[0].state)\n"
    )
    root = str(Path(__file__).parents[2])
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, timeout=60, env={"PYTHONPATH": root}, check=True
    )
    assert done.stdout.split() == ["relaxed"]


def test_flags_must_match_structures():
    with pytest.raises(InputError, match="1 flags for 2 structures"):
        relax_many([rocksalt("V", "O")] * 2, "toy", fixed_cell=[True])


def test_nothing_in_nothing_out():
    assert relax_many([], "toy") == []

"""Relaxation in batches: results equal those of ASE, and a bad structure costs no more than there."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from imatgen_flows.energetics import batched
from imatgen_flows.energetics.batched import batching_obstacle, relax_batched
from imatgen_flows.energetics.optimisers import FIRE
from imatgen_flows.energetics.potentials import get_potential
from imatgen_flows.energetics.relax import RelaxSettings, Task, relax_many
from imatgen_flows.errors import InputError

HERE = all(find_spec(name) for name in ("torch_sim", "atomate2", "sevenn"))
with_torchsim = pytest.mark.skipif(not HERE, reason="torch-sim, atomate2 or sevenn is not installed")
OVERLAPPING = Structure(Lattice.cubic(4), ["V", "O"], [[0, 0, 0], [0, 0, 0.1]])
UNKNOWN = Structure(Lattice.cubic(4.2), ["Po", "O"], [[0, 0, 0], [0.5, 0.5, 0.5]])  # SevenNet-0 knows no Po


def crystal(group: str, lattice: Lattice, species: list[str], sites: list[list[float]]) -> Structure:
    return Structure.from_spacegroup(group, lattice, species, sites).get_primitive_structure()


@pytest.fixture
def rocksalt():
    return crystal("Fm-3m", Lattice.cubic(4.1), ["V", "O"], [[0] * 3, [0.5] * 3])


@pytest.fixture
def vanadium_oxides(rocksalt):
    rutile = crystal("P4_2/mnm", Lattice.tetragonal(4.55, 2.85), ["V", "O"], [[0, 0, 0], [0.3, 0.3, 0]])
    corundum = crystal("R-3c", Lattice.hexagonal(4.95, 14.0), ["V", "O"], [[0, 0, 0.346], [0.31, 0, 0.25]])
    fluorite = crystal("Fm-3m", Lattice.cubic(4.9), ["V", "O"], [[0] * 3, [0.25] * 3])
    metal = crystal("Im-3m", Lattice.cubic(3.0), ["V"], [[0] * 3])
    strained = rutile.copy().apply_strain([0.04, -0.03, 0.02], inplace=False).perturb(0.1, seed=1)
    doubled = (rocksalt * (2, 1, 1)).perturb(0.1, seed=2)
    return [rutile, corundum, rocksalt, fluorite, metal, strained, doubled]


def test_a_potential_without_a_torchsim_model_is_refused(rocksalt):
    assert "torch-sim has no model" in batching_obstacle("chgnet")
    with pytest.raises(InputError, match="`chgnet` cannot relax in batches on cpu: torch-sim has no model"):
        relax_batched([rocksalt], "chgnet", device="cpu")


@pytest.mark.skipif(find_spec("torch_sim") is not None, reason="torch-sim is installed")
def test_without_torchsim_the_reason_says_what_is_missing(rocksalt, monkeypatch):
    monkeypatch.setitem(batched._TORCHSIM_MODELS, get_potential("toy").factory, batched._sevennet)
    assert any(cause in batching_obstacle("toy", "cpu") for cause in ("Python 3.12 or newer", "pip install"))
    with pytest.raises(InputError, match="potential `toy` cannot relax in batches"):
        relax_batched([rocksalt], "toy", device="cpu")


@with_torchsim
def test_both_paths_end_at_the_same_energy(vanadium_oxides):
    alone = relax_many(vanadium_oxides, "sevennet", RelaxSettings(optimiser=FIRE), workers=1)  # as torch-sim does
    seen = {}
    together = relax_batched(vanadium_oxides, "sevennet", device="cpu", on_result=seen.__setitem__)
    assert {r.state for r in alone + together} == {"relaxed"}
    differences = [1000 * abs(a.energy_per_atom - b.energy_per_atom) for a, b in zip(alone, together, strict=True)]
    print(f"largest difference {max(differences):.4f} meV/atom")
    print(f"seconds: {sum(r.seconds for r in alone):.1f} alone, {sum(r.seconds for r in together):.1f} together")
    assert max(differences) < 1.0
    assert all(r.fmax < 0.05 for r in together)
    assert [r.structure.species for r in together] == [s.species for s in vanadium_oxides]
    assert [seen[i] for i in range(len(seen))] == together


@with_torchsim
def test_a_bad_structure_costs_one_structure(rocksalt):
    squeezed = rocksalt.copy()
    squeezed.scale_lattice(3.0)
    structures = [rocksalt, OVERLAPPING, squeezed, UNKNOWN, rocksalt]
    alone = relax_many(structures, "sevennet", workers=1)
    together = relax_batched(structures, "sevennet", device="cpu")
    assert [r.reason for r in together] == [r.reason for r in alone] == ["", "diverged", "diverged", "error", ""]
    assert [r.structure is None for r in together] == [False, True, True, True, False]
    assert [r.detail for r in together[1:4:2]] == [r.detail for r in alone[1:4:2]]
    assert together[0].energy_per_atom == pytest.approx(alone[0].energy_per_atom, abs=1e-3)
    assert together[0].evaluations > together[0].steps + 3  # those of the batch that failed are counted too


@with_torchsim
def test_what_no_batch_ends_in_time_is_relaxed_alone(rocksalt):
    (result,) = relax_batched([rocksalt], "sevennet", device="cpu", timeout=0.01)
    assert result.state == "relaxed"


@with_torchsim
def test_every_evaluation_is_counted_whoever_moves_up(vanadium_oxides, monkeypatch):
    from torch_sim.models.sevennet import SevenNetModel

    counts = {"model": 0, "ticks": 0}
    forward = SevenNetModel.forward

    def counting(self, state, **kwargs):
        counts["model"] += state.n_systems
        return forward(self, state, **kwargs)

    def tick():
        counts["ticks"] += 1

    monkeypatch.setattr(SevenNetModel, "forward", counting)
    monkeypatch.setattr(batched, "ATOMS_AT_ONCE", 8)
    relax = batched._batcher(get_potential("sevennet"), "cpu")
    for fixed_cell in (False, True):
        tasks = [Task(s, RelaxSettings(max_steps=6), fixed_cell) for s in vanadium_oxides]
        results = relax(tasks, tick)
        assert sum(r.evaluations for r in results) == counts["ticks"] == counts["model"]
        assert [r.structure.species for r in results] == [s.species for s in vanadium_oxides]
        assert {r.steps for r in results if r.reason == "not_converged"} == {6}
        counts.update(model=0, ticks=0)


@with_torchsim
def test_the_cell_is_kept_where_asked(rocksalt):
    doubled = (rocksalt * (2, 1, 1)).perturb(0.1, seed=2)
    fixed, free = relax_batched([doubled, doubled], "sevennet", device="cpu", fixed_cell=[True, False])
    (alone,) = relax_many([doubled], "sevennet", workers=1, fixed_cell=True)
    np.testing.assert_allclose(fixed.structure.lattice.matrix, doubled.lattice.matrix, atol=1e-6)
    assert abs(free.structure.volume / doubled.volume - 1) > 0.01
    assert fixed.energy_per_atom == pytest.approx(alone.energy_per_atom, abs=1e-3)


@with_torchsim
def test_nothing_in_nothing_out():
    assert relax_batched([], "sevennet", device="cpu") == []

"""Relaxations that fall into a known crystal stop there; others go on to their own end."""

from __future__ import annotations

import pytest
from ase.calculators.lj import LennardJones
from pymatgen.core import Lattice, Structure

from imatgen_flows.energetics.known_ends import EndCheck, KnownEnd
from imatgen_flows.energetics.relax import RelaxSettings, relax_many, relax_one, relax_tasks, run_tasks

SETTINGS = RelaxSettings(fmax=0.001, max_steps=400)


def calculator():
    return LennardJones(sigma=2.2, epsilon=0.4, rc=9.0, smooth=True)


def cell(edge=3.3, c=1.0, kind="cubic close packed"):
    if kind == "cubic close packed":
        places = [[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]
        return Structure(Lattice.orthorhombic(edge, edge, c * edge), ["Ar"] * 4, places)
    return Structure(Lattice.cubic(edge), ["Ar"], [[0, 0, 0]])


@pytest.fixture(scope="module")
def end():
    result = relax_one(cell(), calculator(), SETTINGS)
    assert result.state == "relaxed"
    return KnownEnd("fcc", result.structure, result.energy_per_atom)


def test_a_relaxation_that_falls_into_a_known_end_stops_early_and_counts_what_it_spent(end):
    whole = relax_one(cell(3.6, 1.1), calculator(), SETTINGS)
    stopped = relax_one(cell(3.6, 1.1), calculator(), SETTINGS, find_end=EndCheck([end]).find)
    assert (stopped.state, stopped.reason) == ("rejected", "known_end") and "fcc" in stopped.detail
    assert 0 < stopped.evaluations < whole.evaluations
    assert stopped.structure is None and stopped.energy_per_atom is None


def test_the_same_structure_at_another_energy_is_another_end(end):
    lower = KnownEnd("fcc of another potential", end.structure, end.energy_per_atom - 0.1)
    result = relax_one(cell(3.6, 1.1), calculator(), SETTINGS, find_end=EndCheck([lower]).find)
    assert result.state == "relaxed"


def test_a_relaxation_to_another_crystal_goes_on_to_its_end(end):
    simple = relax_one(cell(2.5, kind="simple"), calculator(), RelaxSettings(0.001, 400, rattle=0.0))
    with_check = relax_one(
        cell(2.5, kind="simple"), calculator(), RelaxSettings(0.001, 400, rattle=0.0), find_end=EndCheck([end]).find
    )
    assert simple.state == with_check.state == "relaxed"
    assert with_check.energy_per_atom == simple.energy_per_atom > end.energy_per_atom + 0.02


def test_without_ends_nothing_changes_and_each_structure_has_its_own():
    made = [cell(4.4, 1.2), cell(4.3, 1.2)]
    plain = relax_many(made, "toy", SETTINGS, workers=1)
    known = KnownEnd("end", plain[0].structure, plain[0].energy_per_atom)
    checked = run_tasks(relax_tasks(made, SETTINGS, False, [[known], []]), "toy", workers=1)
    assert checked[0].reason == "known_end" and checked[0].evaluations < plain[0].evaluations
    assert checked[1].energy_per_atom == plain[1].energy_per_atom


def test_a_reference_that_did_not_converge_is_no_end(tmp_path, end):
    from imatgen_flows.io.artifacts import ArtifactStore
    from imatgen_flows.jobs.documents import CandidatesDocument, CandidateTable, DatasetDocument, ReferenceDocument
    from imatgen_flows.jobs.relax_batch import known_ends

    store = ArtifactStore(tmp_path)
    row = {"structure": end.structure.as_dict(), "energy_per_atom": end.energy_per_atom}
    states = {"converged": "relaxed", "stopped": "rejected", "evaluated": "single_point"}
    phases = store.put_lines("phases", [row | {"name": name, "state": state} for name, state in states.items()])
    nothing = store.put_lines("nothing", [])
    references = ReferenceDocument(key="extend_hull-0", potential="toy", hull=nothing, phases=phases, counts={})
    dataset = DatasetDocument(
        key="build_dataset-0", elements=["Ar"], crystals=nothing, packed=nothing, exclusions=nothing, counts={}
    )
    candidates = CandidatesDocument(key="propose_candidates-0", candidates=CandidateTable(), counts={})
    assert [item.name for item in known_ends(candidates, dataset, references)["Ar"]] == ["converged"]

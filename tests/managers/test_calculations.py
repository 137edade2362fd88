"""Chains of calculations that fail: what is lost, under the local manager and under FireWorks."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest
from jobflow import Flow, JobStore, Maker, job, run_locally
from maggma.stores import MemoryStore
from pymatgen.core import Lattice, Structure

from imatgen_flows.io.artifacts import ArtifactStore, read_lines
from imatgen_flows.jobs.calculations import calculate
from imatgen_flows.jobs.documents import CalculationsDocument

NUMBER, DOOMED = 10, (2, 5, 7)
RULES = {"backend": "force-field", "fmax": 0.1, "attempts": 1}


@job(output_schema=None)
def step(structure, number, dies, force=0.0):
    """One calculation of three, which fails for some structures, identified by their volume."""
    if round(structure.volume) in dies:
        raise RuntimeError(f"step {number} dies")
    output = {"forces": [[0.0, 0.0, force]], "energy_per_atom": -1.0, "structure": structure}
    return {"output": output, "structure": structure}


@dataclass
class ThreeSteps(Maker):
    """A chain of three calculations, like a double relaxation and a static calculation."""

    name: str = "three steps"
    dies_at: int = 0
    dies: list = field(default_factory=list)
    force: float = 0.0

    def make(self, structure):
        steps, current = [], structure
        for number in (1, 2, 3):
            steps.append(step(current, number, self.dies if number == self.dies_at else [], self.force))
            steps[-1].output_schema = CalculationsLike  # only what has a schema is judged
            current = steps[-1].output["structure"]
        return Flow(steps, output=steps[-1].output, name=self.name)


class CalculationsLike(dict):
    """A schema that accepts everything."""

    def __init__(self, **values):
        super().__init__(values)


def cell(number):
    return Structure(Lattice.cubic((1000 + number) ** (1 / 3)), ["V"], [[0, 0, 0]])


@pytest.fixture
def subjects(tmp_path):
    store = ArtifactStore(tmp_path / "artifacts")
    rows = [{"name": f"candidate {number}", "structure": cell(number).as_dict()} for number in range(NUMBER)]
    return str(store.root), store.put_lines("subjects", rows)


def dying(at, **more):
    return ThreeSteps(dies_at=at, dies=[1000 + number for number in DOOMED], **more)


def collected(root):
    (path,) = (Path(root) / "documents").iterdir()
    document = ArtifactStore(root).finished(path.stem)
    return read_lines(CalculationsDocument(**document).calculations)


def check(rows):
    assert [row["name"] for row in rows] == [f"candidate {number}" for number in range(NUMBER)]
    states = [row["state"] for row in rows]
    assert states == ["rejected" if number in DOOMED else "accepted" for number in range(NUMBER)]
    assert {row["reason"] for row in rows if row["state"] == "rejected"} == {"job_lost"}


@pytest.mark.parametrize("at", [1, 2, 3])
def test_three_chains_that_die_leave_seven_results_at_home(subjects, at):
    root, rows = subjects
    store = JobStore(MemoryStore(), additional_stores={"data": MemoryStore()})
    run_locally(calculate(root, subjects=rows, maker=dying(at), rules=RULES), store=store, log=False)
    check(collected(root))


@pytest.mark.parametrize("at", [1, 2, 3])
def test_three_chains_that_die_leave_seven_results_under_fireworks_and_nothing_hangs(
    machine, played_slurm, subjects, at
):
    root, rows = subjects
    flow = Flow([calculate(root, subjects=rows, maker=dying(at), rules=RULES)])
    campaign_id = machine.add(flow)
    machine.launch()
    assert set(machine.states(campaign_id)) == {"COMPLETED", "FIZZLED"}  # none waits
    check(collected(root))


def test_what_does_not_converge_is_tried_again_from_where_it_came_to_and_then_refused(subjects):
    root, rows = subjects
    store = JobStore(MemoryStore(), additional_stores={"data": MemoryStore()})
    rules = RULES | {"attempts": 3}
    run_locally(calculate(root, subjects=rows, maker=dying(0, force=0.5), rules=rules), store=store, log=False)
    found = collected(root)
    assert {(row["state"], row["reason"], row["attempts"]) for row in found} == {("rejected", "not_converged", 3)}
    assert "0.500 eV/A (limit 0.1)" in found[0]["detail"]

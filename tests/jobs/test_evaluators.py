"""Evaluations share what they relax: each structure costs once a run, whatever asks for it and however it was stopped."""

from __future__ import annotations

import pytest
from pymatgen.core import Lattice, Structure

from imatgen_flows.config import Screen
from imatgen_flows.energetics.optimisers import FIRE
from imatgen_flows.energetics.relax import relax_one, run_tasks
from imatgen_flows.energetics.toy import ToyCalculator
from imatgen_flows.io.artifacts import ArtifactStore
from imatgen_flows.jobs.evaluators import evaluators, structure_key
from imatgen_flows.jobs.result_cache import ResultCache

SCREEN = Screen(potential="toy", fmax=0.3, max_steps=5)


def rocksalt(edge):
    return Structure.from_spacegroup(225, Lattice.cubic(edge), ["Mg", "O"], [[0, 0, 0], [0.5] * 3])


CELLS = {str(edge): rocksalt(edge).get_primitive_structure() for edge in (3.9, 4.0, 4.1, 4.2)}


@pytest.fixture
def store(tmp_path):
    return ArtifactStore(tmp_path)


class Killed(BaseException):
    """What a signal leaves of a process."""


class Meter:
    """Relaxes in this process, without the workers that would protect it, and counts what it relaxes."""

    def __init__(self):
        self.calls: list[int] = []
        self.dies_after: int | None = None

    def run_tasks(self, tasks, potential, workers=1, timeout=60, device="cpu", on_result=None):
        if not tasks[0].settings.max_steps:  # single points, which are not counted here
            return run_tasks(tasks, potential, 1, timeout, device, on_result)
        self.calls.append(len(tasks))
        for index, task in enumerate(tasks):
            if index == self.dies_after:
                raise Killed
            on_result(index, relax_one(task.structure, ToyCalculator(), task.settings))
        return []


@pytest.fixture
def spent(monkeypatch):
    """Structures that are really relaxed, one number a call."""
    meter = Meter()
    monkeypatch.setattr("imatgen_flows.energetics.relax.run_tasks", meter.run_tasks)
    monkeypatch.setenv("IMATGEN_DEVICE", "cpu")
    return meter


def some(*names):
    return {name: CELLS[name] for name in names}


def test_more_structures_cost_only_those_that_are_more(store, spent):
    few = evaluators(store, SCREEN)[0](some("3.9", "4.0"))
    more = evaluators(store, SCREEN)[0](CELLS)
    assert spent.calls == [2, 2]
    for name, before in few.items():
        after = more[name]
        assert after.evaluations == before.evaluations > 1 and after.energy_per_atom == before.energy_per_atom
        assert after.structure == before.structure


def test_a_structure_is_known_by_what_it_is_not_by_the_name_it_is_given(store, spent):
    found = evaluators(store, SCREEN)[0]({"target 7": CELLS["4.0"], "substituted": CELLS["4.0"].copy()})
    assert spent.calls == [1] and found["target 7"] == found["substituted"]
    decorated = CELLS["4.0"].copy(site_properties={"magmom": [1.0, 0.0]})
    assert structure_key(decorated) == structure_key(CELLS["4.0"]) != structure_key(CELLS["4.1"])


@pytest.mark.parametrize("other", [{"fmax": 0.2}, {"max_steps": 6}])
def test_other_settings_are_other_results(store, spent, other):
    evaluators(store, SCREEN)[0](some("4.0"))
    evaluators(store, SCREEN.model_copy(update=other))[0](some("4.0"))
    assert spent.calls == [1, 1]


def test_another_optimiser_gives_other_results(store, spent, monkeypatch):
    evaluators(store, SCREEN)[0](some("4.0"))
    monkeypatch.setattr("imatgen_flows.jobs.search_space.OPTIMISER", FIRE)
    evaluators(store, SCREEN)[0](some("4.0"))
    assert spent.calls == [1, 1]


def test_a_single_point_is_no_relaxation(store, spent):
    relax, evaluate = evaluators(store, SCREEN)
    assert evaluate(some("3.9"))["3.9"].evaluations == 1 and spent.calls == []
    assert relax(some("3.9"))["3.9"].evaluations > 1


def test_enthalpies_are_no_energies_and_zero_pressure_is_none(store, spent):
    relax, evaluate = evaluators(store, SCREEN)
    pressed, compressed = evaluators(store, SCREEN, 20.0)
    plain, single = relax(some("4.0"))["4.0"], evaluate(some("4.0"))["4.0"]
    assert pressed(some("4.0"))["4.0"].energy_per_atom > plain.energy_per_atom and spent.calls == [1, 1]
    assert compressed(some("4.0"))["4.0"].evaluations > single.evaluations == 1
    assert evaluators(store, SCREEN, 0.0)[0](some("4.0"))["4.0"] == plain and spent.calls == [1, 1]


def test_a_killed_evaluation_continues(store, spent):
    spent.dies_after = 1
    with pytest.raises(Killed):
        evaluators(store, SCREEN)[0](CELLS)
    spent.dies_after = None
    found = evaluators(store, SCREEN)[0](CELLS)
    assert spent.calls == [4, 3] and all(result.evaluations > 1 for result in found.values())


def test_two_evaluations_at_once_do_not_lose_each_others_results(store):
    one, other = ResultCache(store.scratch("shared")), ResultCache(store.scratch("shared"))
    one.add("a", {"steps": 1})
    other.add("b", {"steps": 2})
    assert ResultCache(store.scratch("shared")).rows == {"a": {"steps": 1}, "b": {"steps": 2}}


def test_few_relaxations_have_a_line_of_progress_each(store, spent, caplog):
    with caplog.at_level("INFO", logger="imatgen_flows"):
        evaluators(store, SCREEN)[0](CELLS)
    assert [record.getMessage() for record in caplog.records] == [f"relaxed {number} of 4" for number in (1, 2, 3, 4)]

"""Worker processes: a crash, an exception or a hang loses one item, and results are in order."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from imatgen_flows.errors import ImatgenError, InputError
from imatgen_flows.parallel import core_count, parallel_map, run_isolated


def make(base):
    """Evaluate what an item says, after two ticks."""

    def evaluate(item, tick):
        tick()
        tick()
        if item == "abort":
            os.abort()
        if item == "hang":
            time.sleep(3600)
        return base + item

    return evaluate


def make_nothing():
    raise OSError("no such weights")


def quotient(total, part):
    return total / part


@pytest.fixture(autouse=True)
def _importable(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[1])


def test_an_item_that_kills_its_process_is_the_only_one_lost():
    outcomes = {}
    items = [1, "abort", 2, "text", "hang", 3]
    run_isolated(make, (10,), items, workers=2, timeout=2.0, on_outcome=outcomes.__setitem__)
    ordered = [outcomes[i] for i in range(len(items))]
    assert [o.value for o in ordered] == [11, None, 12, None, None, 13]
    assert [o.failure for o in ordered] == ["", "crashed", "", "error", "timed_out", ""]
    assert [o.ticks for o in ordered] == [2] * 6  # those before a failure are counted too
    assert "SIGABRT" in ordered[1].detail and "TypeError" in ordered[3].detail and "2 s" in ordered[4].detail


def test_a_worker_that_cannot_be_set_up_raises():
    with pytest.raises(ImatgenError, match="a worker cannot start: OSError: no such weights"):
        run_isolated(make_nothing, (), [1], workers=1, timeout=1.0, on_outcome=lambda *_: None)


def test_results_are_in_the_order_of_the_tasks_and_do_not_depend_on_the_workers():
    tasks = [(part,) for part in (1, 2, 4, 8)]
    for workers in (1, 2):
        assert parallel_map(quotient, tasks, workers, "dividing", (8,)) == [8, 4, 2, 1]


@pytest.mark.parametrize("workers", [0, -1])
def test_without_a_worker_nothing_waits_for_ever(workers):
    with pytest.raises(InputError, match=f"workers is {workers}; give the number of processes, one at least"):
        run_isolated(make, (10,), [1], workers=workers, timeout=1.0, on_outcome=lambda *_: None)
    with pytest.raises(InputError, match="workers"):
        parallel_map(quotient, [(1,), (2,)], workers, "dividing", (8,))


def test_a_task_that_fails_ends_all():
    with pytest.raises(ImatgenError, match="dividing: ZeroDivisionError"):
        parallel_map(quotient, [(1,), (0,)], 2, "dividing", (8,))


def test_the_cores_are_those_that_this_process_may_use():
    one = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); "
    code = one + "from imatgen_flows.parallel import core_count; print(core_count())"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "1\n"
    assert core_count() >= 1


@pytest.mark.parametrize(
    ("given", "cores"),
    [({"SLURM_JOB_ID": "7", "SLURM_CPUS_ON_NODE": "1"}, 1), ({"SLURM_CPUS_ON_NODE": "1"}, 4)]
    + [({"SLURM_JOB_ID": "7", "SLURM_CPUS_ON_NODE": text}, 4) for text in ("8", "0", "", "2(x3)")],
    ids=str,
)
def test_a_slurm_that_does_not_bind_its_jobs_to_cores_is_believed_all_the_same(monkeypatch, given, cores):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1, 2, 3})
    for name in ("SLURM_JOB_ID", "SLURM_CPUS_ON_NODE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert core_count() == cores


def test_the_module_is_light():
    code = "import sys, imatgen_flows.parallel; print(*{'numpy', 'torch', 'pydantic'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split() == []

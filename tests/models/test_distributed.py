from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from imatgen_flows.errors import InputError
from imatgen_flows.models.distributed import ProcessGroup, initialise


@pytest.fixture(scope="module")
def group(tmp_path_factory):
    """What two processes that trained together found, and their directory."""
    directory = tmp_path_factory.mktemp("group")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, str(Path(__file__).with_name("group_training.py")), str(directory), str(port)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    return [torch.load(directory / f"found-{rank}.pt") for rank in range(2)], directory


@pytest.fixture
def alone(monkeypatch, tmp_path):
    """The same training by one process."""
    monkeypatch.syspath_prepend(Path(__file__).parent)
    import group_training
    import toy_training

    model, history = toy_training.run(tmp_path, group_training.still, group_training.UNEVEN, group_training.plain())
    return model.state_dict(), [row["loss"] for row in history]


def test_two_processes_learn_what_one_does(group, alone):
    found, _ = group
    weights, losses = alone
    for name, value in weights.items():
        torch.testing.assert_close(found[0]["whole"][name], value, rtol=1e-4, atol=1e-5)
    assert found[0]["losses"] == pytest.approx(losses, rel=1e-5)


def test_all_processes_end_with_the_same_weights_and_running_averages(group):
    found, _ = group
    for training in ("whole", "again", "normal"):
        for name, value in found[0][training].items():
            assert torch.equal(value, found[1][training][name]), name


def test_a_signal_to_one_stops_both_after_the_same_step_and_both_continue(group):
    found, _ = group
    for number, message in (part["stopped"] for part in found):
        # the second process had no items in step 3, so its fourth call is in step 5
        assert number == signal.SIGTERM and "after step 5 of 12" in message
    for name, value in found[0]["whole"].items():
        assert torch.equal(value, found[0]["again"][name]), name


def test_the_first_alone_reads_and_writes_files(group):
    _, directory = group
    assert (directory / "0" / "whole" / "checkpoint.pt").exists()
    assert not (directory / "1").exists()


def test_each_process_draws_noise_of_its_own(group):
    found, _ = group
    assert not torch.equal(found[0]["drawn"], found[1]["drawn"])


@pytest.mark.parametrize("n_items", range(1, 20))
@pytest.mark.parametrize("size", [1, 2, 3, 8])
def test_the_parts_make_up_the_batch_and_none_is_one_item(n_items, size):
    items = torch.randperm(n_items)
    parts = [ProcessGroup(rank, size).part(items) for rank in range(size)]
    assert torch.equal(torch.cat(parts), items)
    assert all(len(part) != 1 for part in parts) or n_items == 1
    assert len(parts[0])


def test_several_processes_without_torchrun_are_refused(monkeypatch):
    assert initialise("cpu") == ProcessGroup()
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(InputError, match="WORLD_SIZE is 4, but .*RANK.* torchrun"):
        initialise("cpu")

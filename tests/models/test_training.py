from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from imatgen_flows.errors import ImatgenError
from imatgen_flows.models.training import CHECKPOINT, METRICS, CheckpointError, Schedule, TrainingInterrupted


@pytest.fixture(autouse=True)
def toy(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parent)
    import toy_training

    return toy_training


@pytest.fixture
def whole(toy, tmp_path):
    """The weights and history of a training that nothing disturbed."""
    model, history = toy.run(tmp_path / "whole")
    return model.state_dict(), history


def assert_same(model, history, whole):
    weights, rows = whole
    assert model.state_dict().keys() == weights.keys()
    for name, value in model.state_dict().items():
        assert torch.equal(value, weights[name]), name
    assert [(row["epoch"], row["loss"], row["learning_rate"]) for row in history] == [
        (row["epoch"], row["loss"], row["learning_rate"]) for row in rows
    ]


def metrics(directory):
    return [json.loads(line) for line in (directory / METRICS).read_text().splitlines()]


def stop_at(step, name, loss):
    """A loss that sends its own process a signal in one step, once."""
    calls = []

    def inner(model, items, generator):
        calls.append(items)
        if len(calls) == step:
            os.kill(os.getpid(), name)
        return loss(model, items, generator)

    return inner


def test_a_killed_training_ends_with_the_weights_of_one_that_was_not(toy, whole, tmp_path):
    steps = [1, 6, 8, 12]  # the first, the last of an epoch, the middle of one, the last of all
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, toy.__file__, str(tmp_path), *map(str, steps)]
    killed = subprocess.run(command, check=True, env=environment, capture_output=True, text=True)
    assert killed.stdout.split() == [str(-signal.SIGKILL)] * len(steps)
    for step in steps:
        directory = tmp_path / str(step)
        assert list(directory.glob(".checkpoint.*.pt"))  # it died with a checkpoint half made
        assert (directory / CHECKPOINT).exists() == (step > 1)
        model, history = toy.run(directory)
        assert_same(model, history, whole)
        assert [row["epoch"] for row in metrics(directory)] == [1, 2, 3, 4]


@pytest.mark.skipif(threading.current_thread() is not threading.main_thread(), reason="signals need the main thread")
@pytest.mark.parametrize("name", [signal.SIGTERM, signal.SIGUSR1])
@pytest.mark.parametrize("step", [1, 6, 12])
def test_a_signal_stops_after_the_step_and_the_checkpoint_continues(toy, whole, tmp_path, name, step):
    before = signal.getsignal(name)
    with pytest.raises(TrainingInterrupted, match=f"signal after step {step} of 12.*continues"):
        toy.run(tmp_path, loss=stop_at(step, name, toy.loss))
    assert signal.getsignal(name) is before
    assert torch.load(tmp_path / CHECKPOINT)["step"] == step
    model, history = toy.run(tmp_path)
    assert_same(model, history, whole)
    assert metrics(tmp_path) == history


def test_a_training_outside_the_main_thread_leaves_signals_alone(toy, whole, tmp_path):
    results = []
    thread = threading.Thread(target=lambda: results.append(toy.run(tmp_path)))
    thread.start()
    thread.join()
    assert_same(*results[0], whole)


def test_a_finished_training_is_not_repeated(toy, whole, tmp_path):
    toy.run(tmp_path)
    model, history = toy.run(tmp_path, loss=lambda *_: pytest.fail("trained again"))
    assert_same(model, history, whole)
    assert not model.training


def test_another_seed_gives_other_weights_whatever_its_size(toy, whole, tmp_path):
    model, _ = toy.run(tmp_path, seed=2**32 - 1)
    assert not torch.equal(model.state_dict()["0.weight"], whole[0]["0.weight"])


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"not a checkpoint"),
        lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
        lambda path: torch.save(torch.zeros(3), path),
        lambda path: torch.save({"weights": {}}, path),
        lambda path: torch.save({"identity": print}, path),  # code: never run
    ],
    ids=["empty", "text", "truncated", "tensor", "other dictionary", "code"],
)
def test_a_damaged_checkpoint_is_named_with_what_to_do(toy, tmp_path, damage):
    toy.run(tmp_path)
    damage(tmp_path / CHECKPOINT)
    with pytest.raises(CheckpointError, match=f"{tmp_path / CHECKPOINT} is corrupt.*Delete the file"):
        toy.run(tmp_path)


def test_a_checkpoint_that_lacks_a_part_is_refused(toy, tmp_path):
    toy.run(tmp_path)
    state = torch.load(tmp_path / CHECKPOINT)
    for part in ("model", "optimiser", "step", "history"):
        torch.save({name: value for name, value in state.items() if name != part}, tmp_path / CHECKPOINT)
        with pytest.raises(CheckpointError, match=part):
            toy.run(tmp_path)


def test_a_checkpoint_of_another_training_is_refused(toy, tmp_path):
    toy.run(tmp_path)
    others = [
        {"seed": 4},
        {"n_items": 12},
        {"schedule": replace(toy.SCHEDULE, epochs=5)},
        {"schedule": replace(toy.SCHEDULE, learning_rate=0.02)},
    ]
    for other in others:
        with pytest.raises(CheckpointError, match="belongs to another training"):
            toy.run(tmp_path, **other)
    with pytest.raises(CheckpointError, match="of another network"):
        toy.run(tmp_path, model=nn.Sequential(nn.Linear(6, 6), nn.BatchNorm1d(6)))


def test_a_loss_that_is_not_a_number_names_the_batch_and_leaves_the_last_good_weights(toy, tmp_path):
    poisoned = 5

    def loss(model, items, generator):
        return toy.loss(model, items, generator) * (math.nan if steps.append(1) or len(steps) == poisoned else 1)

    steps = []
    with pytest.raises(
        ImatgenError, match=r"not finite at step 5 of 12, on the items \d+, .*holds good weights.*learning"
    ):
        toy.run(tmp_path, loss)
    weights = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert weights["step"] == 4 and all(value.isfinite().all() for value in weights["model"].values())


def test_a_loss_that_never_was_a_number_leaves_nothing(toy, tmp_path):
    with pytest.raises(ImatgenError, match="no weights were kept yet"):
        toy.run(tmp_path, lambda model, items, generator: toy.loss(model, items, generator) * math.nan)
    assert not (tmp_path / "checkpoint.pt").exists()


def without_normalisation():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(6, 16), torch.nn.SiLU(), torch.nn.Linear(16, 6))


def still(model, items, generator):
    """A loss without noise: that of a batch is the mean of those of its parts."""
    data = torch.sin(torch.arange(13 * 6, dtype=torch.float32).reshape(13, 6))[items]
    return ((model(data) - data) ** 2).mean()


def test_a_gpu_that_runs_out_of_memory_gets_smaller_parts_and_the_same_result(toy, tmp_path, caplog):
    def loss(model, items, generator):
        if len(items) > 2:
            raise torch.OutOfMemoryError
        return still(model, items, generator)

    whole, _ = toy.run(tmp_path / "whole", still, model=without_normalisation())
    parts, _ = toy.run(tmp_path / "parts", loss, model=without_normalisation())
    for one, other in zip(whole.parameters(), parts.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)
    assert [record.message for record in caplog.records] == [
        "training: the GPU is out of memory; batches of 4 are taken in 2 parts"
    ]


def test_a_gpu_that_holds_next_to_nothing_is_named(toy, tmp_path):
    def loss(model, items, generator):
        raise torch.OutOfMemoryError

    with pytest.raises(ImatgenError, match="4 items do not fit into the memory of the GPU, not even 2 at a time"):
        toy.run(tmp_path, loss)


def test_every_item_is_seen_once_an_epoch_in_a_new_order(toy, tmp_path):
    seen = []

    def watch(model, items, generator):
        seen.append(items)
        return toy.loss(model, items, generator)

    toy.run(tmp_path, loss=watch, schedule=replace(toy.SCHEDULE, batch_size=5))  # batches of 5, 5 and 3
    epochs = [torch.cat(seen[i : i + 3]) for i in range(0, 12, 3)]
    assert all(sorted(epoch.tolist()) == list(range(13)) for epoch in epochs)
    assert len({tuple(epoch.tolist()) for epoch in epochs}) == 4


def test_a_schedule_gives_a_small_dataset_more_epochs():
    schedule = Schedule(epochs=3, batch_size=10, learning_rate=1.0, min_steps=100)
    assert [schedule.steps_per_epoch(n) for n in (5, 10, 11, 12, 95)] == [1, 1, 1, 2, 10]
    assert [schedule.total_epochs(n) for n in (5, 95, 1000)] == [100, 10, 3]


def test_the_cosine_warms_up_and_ends_at_zero():
    schedule = Schedule(epochs=1, batch_size=1, learning_rate=0.5, cosine=True)
    rates = [schedule.rate(step, 1000) for step in range(1001)]
    top = rates.index(max(rates))
    assert rates[0] < 0.02 < 0.49 < max(rates) <= 0.5
    assert top < 25 and rates[top:] == sorted(rates[top:], reverse=True)
    assert rates[-1] == pytest.approx(0, abs=1e-9)
    assert {replace(schedule, cosine=False).rate(step, 1000) for step in range(1000)} == {0.5}

"""Two processes that train together, for tests: `group_training.py DIRECTORY ADDRESS_PORT`; each writes what it found."""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

import torch
import toy_training as toy
from torch import nn

from imatgen_flows.models.training import TrainingInterrupted


def plain() -> nn.Module:
    """A network whose batch may be taken apart: nothing in it sees other items."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 16), nn.SiLU(), nn.Linear(16, 6))


def still(model, items, generator):
    """A loss without noise, the mean over items."""
    data = torch.sin(torch.arange(13 * 6, dtype=torch.float32).reshape(13, 6))[items]
    return ((model(data) - data) ** 2).mean()


# batches of 5, 5 and 3: parts of 3 and 2 items, and a last batch that only one process can take
UNEVEN = replace(toy.SCHEDULE, batch_size=5)


def signalled(step):
    """A loss that ends its process's training in one step."""
    calls = []

    def loss(model, items, generator):
        calls.append(items)
        if len(calls) == step:
            os.kill(os.getpid(), signal.SIGTERM)
        return still(model, items, generator)

    return loss


def work(rank: int, directory: Path) -> None:
    """Train: undisturbed, stopped by a signal to the second process and continued, and with noise and normalisation."""
    own = directory / str(rank)
    whole, history = toy.run(own / "whole", still, UNEVEN, plain())
    stopped = 0, ""
    try:
        toy.run(own / "stopped", signalled(4) if rank == 1 else still, UNEVEN, plain())
    except TrainingInterrupted as interruption:
        stopped = interruption.signal, str(interruption)
    again, _ = toy.run(own / "stopped", still, UNEVEN, plain())
    drawn = []

    def watch(model, items, generator):
        drawn.append(torch.randn(3, generator=torch.Generator().set_state(generator.get_state())))
        return toy.loss(model, items, generator)

    torch.manual_seed(rank)  # other weights in each: those of the first are taken
    network = nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.Linear(16, 6))
    normal, _ = toy.run(own / "normal", watch, model=network)
    weights = {"whole": whole.state_dict(), "again": again.state_dict(), "normal": normal.state_dict()}
    losses = [row["loss"] for row in history]
    found = {**weights, "losses": losses, "stopped": stopped, "drawn": drawn[0]}
    torch.save(found, directory / f"found-{rank}.pt")


def main() -> None:
    """Fork the two, since to import torch takes longer than to train."""
    directory, port = Path(sys.argv[1]), sys.argv[2]
    torch.optim.Adam(plain().parameters())
    children = []
    for rank in range(2):
        if not (child := os.fork()):
            os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"}
            os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
            work(rank, directory)
            sys.exit()
        children.append(child)
    sys.exit(any(os.waitpid(child, 0)[1] for child in children))


if __name__ == "__main__":
    main()

"""A small training for tests; as a script, trainings that die: `toy_training.py DIRECTORY SAVES ...`."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import torch
from torch import nn

from imatgen_flows.models import training
from imatgen_flows.models.training import Schedule

N_ITEMS = 13
# batches of 4, 4, 4; the last of one item is left out
SCHEDULE = Schedule(epochs=4, batch_size=4, learning_rate=0.01, cosine=True, clip=1.0)


def network() -> nn.Module:
    """A network with all that a checkpoint has to keep: weights, biases, running statistics."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.SiLU(), nn.Linear(16, 6))


def loss(model, items, generator):
    """Denoise fixed data; the noise comes from the step's generator."""
    data = torch.sin(torch.arange(N_ITEMS * 6, dtype=torch.float32).reshape(N_ITEMS, 6))[items]
    return ((model(data + 0.1 * torch.randn(data.shape, generator=generator)) - data) ** 2).mean()


def run(directory, loss=loss, schedule=SCHEDULE, model=None, seed=3, n_items=N_ITEMS):
    """Train; the model and its history. A checkpoint is written after every step."""
    model = model or network()
    return model, training.train(model, loss, n_items, schedule, seed, Path(directory), save_every=-1.0)


def die(directory: Path, left: int) -> None:
    """Train, and die by SIGKILL while the checkpoint of step `left` is about to take its name."""
    replace = os.replace

    def die_or_replace(source, target):
        nonlocal left
        left -= Path(target).name == training.CHECKPOINT
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        replace(source, target)

    os.replace = die_or_replace
    run(directory)


def main() -> None:
    """Fork one training for each of SAVES, into DIRECTORY/SAVES; print how each ended."""
    torch.optim.Adam(network().parameters())  # its slow imports once, before the forks
    for saves in sys.argv[2:]:
        child = os.fork()
        if not child:
            die(Path(sys.argv[1]) / saves, int(saves))
            os._exit(0)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


if __name__ == "__main__":
    main()

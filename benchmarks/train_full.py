r"""Train the basis autoencoder at full scale, and measure its reconstruction of a held-out set.

Needs numpy and torch alone, so that it runs on a bare GPU node; from the root of the repository:

    PYTHONPATH=. python benchmarks/train_full.py crystals.npz runs/full --preset large --grid 64
    PYTHONPATH=. torchrun --nproc-per-node 4 --signals-to-handle SIGTERM,SIGINT,SIGUSR1 \
        benchmarks/train_full.py crystals.npz runs/full --preset paper

`crystals.npz` is written by `PackedCrystals.save`. The same command continues from the checkpoint in the directory, after a
signal, a crash or `--minutes`. Only atoms are compared: the cells of the originals are used, since the default preset's codes
of them are exact.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import signal
import sys
import threading
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

if TYPE_CHECKING:
    from imatgen_flows.models.autoencoder import ImageAutoencoder
    from imatgen_flows.models.distributed import ProcessGroup
    from imatgen_flows.representation import BasisImageCodec, PackedCrystals


def split(n: int, rows: Path | None, fraction: float, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Split rows into a training set and a held-out set: the rows of a file with one number a line, or a random share."""
    if rows:
        held_out = torch.from_numpy(np.unique(np.loadtxt(rows, dtype=np.int64, ndmin=1)))
        if len(held_out) and not (held_out[0] >= 0 and held_out[-1] < n):
            sys.exit(f"{rows}: rows are 0 to {n - 1}, but it has {held_out[0]} to {held_out[-1]}.")
    else:
        held_out = torch.randperm(n, generator=torch.Generator().manual_seed(seed))[: round(fraction * n)].sort().values
    rest = torch.ones(n, dtype=torch.bool)
    rest[held_out] = False
    return rest.nonzero()[:, 0], held_out


@torch.no_grad()
def reconstruction(
    model: ImageAutoencoder, codec: BasisImageCodec, crystals: PackedCrystals, group: ProcessGroup, batch: int = 64
) -> dict[str, Any]:
    """Reconstruct every image, read the atoms, and compare them; each process takes its share of the crystals."""
    from imatgen_flows.metrics.reconstruction import compare, summarise
    from imatgen_flows.representation import PackedCrystals

    errors = []
    mine = crystals[group.rank :: group.size]
    for start in range(0, len(mine), batch):
        here = mine[start : start + batch].to(group.device)
        there = here.mask.any(dim=2)  # elements that a crystal lacks have no image
        atoms = iter(codec.decode(model(codec.encode(here.positions[there], here.mask[there])).float()))
        found = [[next(atoms) if has else np.empty((0, 3)) for has in row] for row in there.tolist()]
        most = max(len(places) for row in found for places in row)
        positions, mask = torch.zeros(*there.shape, max(most, 1), 3), torch.zeros(*there.shape, max(most, 1)) > 0
        for b, row in enumerate(found):
            for e, places in enumerate(row):
                positions[b, e, : len(places)] = torch.from_numpy(places)
                mask[b, e, : len(places)] = True
        errors += compare(here, PackedCrystals(here.lattices, positions, mask, here.elements, here.box))
    summary = summarise(group.gather(errors)).to_dict()
    return {
        "crystals": summary["n"],
        "counts_match": summary["counts_match"],
        "every_atom_within_0.2_A": summary["fully_reconstructed"],
        "fraction": summary["fraction_fully_reconstructed"],
        "atom_rmse": summary["rmse"]["atoms"],
        "atom_median": summary["median"]["atoms"],
    }


def stop_after(minutes: float) -> threading.Event:
    """End the training with a checkpoint, as a signal does; the event is set if it was the time limit."""
    late = threading.Event()

    def stop() -> None:
        late.set()
        while True:  # a signal before the training starts has no effect
            os.kill(os.getpid(), signal.SIGUSR1)
            time.sleep(0.02)

    signal.signal(signal.SIGUSR1, signal.SIG_IGN)  # harmless before the training and after
    timer = threading.Timer(60 * minutes, stop)
    timer.daemon = True
    timer.start()
    return late


def hardware(device: str) -> str:
    """Name the hardware of the training."""
    return (
        torch.cuda.get_device_name()
        if device == "cuda"
        else f"{platform.machine()}, {torch.get_num_threads()} thread(s)"
    )


def memory(device: str) -> int:
    """Return the peak memory in bytes: of the GPU, or else of this process."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main() -> int:
    """Train, measure, and write `result.json`; exit status 1 where the training is not finished."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("crystals", type=Path, help="packed crystals, .npz")
    parser.add_argument("directory", type=Path, help="for the checkpoint, metrics.jsonl and result.json")
    parser.add_argument("--preset", default="default")
    parser.add_argument("--grid", type=int, help="voxels along an edge; the preset's if not given")
    parser.add_argument("--epochs", type=float, default=1.0, help="factor on the preset's epochs")
    parser.add_argument("--minutes", type=float, help="stop then and measure; the same command continues later")
    parser.add_argument("--seed", type=int, default=0, help="of the split, the weights, the order and all noise")
    parser.add_argument("--hold-out", type=float, default=0.1, help="share that is not trained on")
    parser.add_argument("--rows", type=Path, help="rows to hold out instead, one a line from 0")
    parser.add_argument("--at-most", type=int, default=2000, help="crystals measured of each, training and held out")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    given = parser.parse_args()

    from imatgen_flows.models.autoencoder import ImageAutoencoder
    from imatgen_flows.models.distributed import initialise
    from imatgen_flows.models.fitting import fit_basis_autoencoder
    from imatgen_flows.models.presets import get_preset
    from imatgen_flows.models.training import CHECKPOINT, METRICS, TrainingInterrupted
    from imatgen_flows.representation import BasisImageCodec, PackedCrystals

    settings = get_preset(given.preset, given.grid, given.epochs).basis
    crystals = PackedCrystals.load(given.crystals)
    seen, held_out = split(len(crystals), given.rows, given.hold_out, given.seed)
    group = initialise(given.device)
    late = stop_after(given.minutes) if given.minutes and group.rank == 0 else threading.Event()
    if group.rank:
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    finished = True
    try:
        model, history = fit_basis_autoencoder(
            crystals[seen], settings, given.seed, given.directory, given.device, box=crystals.box
        )
    except TrainingInterrupted as interruption:
        if not group.largest(late.is_set()):
            sys.exit(str(interruption))
        finished = False
        state = group.read(lambda: torch.load(given.directory / CHECKPOINT, map_location="cpu", weights_only=True))
        model, history = ImageAutoencoder(settings).to(given.device).eval(), state["history"]
        model.load_state_dict(state["model"])
    codec = BasisImageCodec(grid=settings.grid, box=crystals.box, sigma=settings.sigma)
    draw = torch.Generator().manual_seed(given.seed)
    figures = {
        name: reconstruction(
            model, codec, crystals[rows[torch.randperm(len(rows), generator=draw)[: given.at_most]]], group
        )
        for name, rows in (("training", seen), ("held_out", held_out))
    }
    if group.rank == 0:
        speed = len(history) * len(seen) / history[-1]["seconds"] if history else None
        result = {
            "hardware": hardware(given.device), "processes": group.size, "torch": torch.__version__,
            "crystals_file": given.crystals.name, "preset": given.preset, "basis": asdict(settings),
            "epochs_factor": given.epochs, "seed": given.seed, "trained_on": len(seen), "held_out": len(held_out),
            "finished": finished, "crystals_per_s": speed, "peak_bytes": memory(given.device),
            "reconstruction": figures, "history": history,
        }  # fmt: skip
        (given.directory / "result.json").write_text(json.dumps(result, indent=1))
        for name, row in figures.items():
            if row["crystals"]:
                median = "" if row["atom_median"] is None else f", median {row['atom_median']:.3f} A"
                print(
                    f"{name:10}{row['crystals']:>7} crystals: {100 * row['counts_match'] / row['crystals']:.1f} % with the "
                    f"right counts, {100 * row['fraction']:.1f} % with every atom within 0.2 A{median}"
                )
        where = given.directory / ("result.json" if finished else METRICS)
        print(f"{len(history)} epochs, {speed or 0:.3g} crystals/s; {where}")
    return 0 if finished else 1


if __name__ == "__main__":
    sys.exit(main())

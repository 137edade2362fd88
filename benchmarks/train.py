"""Training speed of image autoencoders on this machine: ours, and the published networks trained as published.

As published, images are rendered beforehand and read from disk, and the networks are plain convolutions, trained by Adam in
float32; the 0.7 s an atom that the published script took to render are not counted. Ours keep the crystals alone, and render
each batch on the device of the network. The figure is crystals a second in training steps (forward, backward, update) of the
basis autoencoder, each with the images of all its elements. Every way runs in a process of its own, which gives its peak
memory; on one thread of a CPU processor time counts, since others may use the machine too.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import platform
import resource
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from imatgen_flows.crystals.box import BOX

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

TARGET = 5.0  # times the published rate
POOL = 64  # images on disk
ATOMS, ELEMENTS = 5, 2  # atoms of an element, and elements, of a crystal of medium size
WAYS = [  # title, preset, grid, whether images come from disk
    ("published networks, images from disk, 64^3", "paper", None, True),
    ("published networks, rendered, 64^3", "paper", None, False),
    ("default networks, rendered, 64^3", "default", 64, False),
    ("default networks, rendered, 32^3", "default", None, False),
]


def crystals(number: int) -> tuple[Tensor, Tensor]:
    """Draw random positions (number * ELEMENTS, ATOMS, 3), A, and their mask; the speed does not depend on them."""
    generator = torch.Generator().manual_seed(0)
    positions = BOX / 2 + 5 * (torch.rand(number * ELEMENTS, ATOMS, 3, generator=generator) - 0.5)
    return positions, torch.ones(positions.shape[:2], dtype=torch.bool)


def step_of(preset_name: str, grid: int | None, device: str, folder: Path | None) -> tuple[Callable[[], None], int]:
    """Return a training step and its number of crystals; images are read from `folder`, or rendered if None."""
    from imatgen_flows.models.autoencoder import ImageAutoencoder
    from imatgen_flows.models.losses import image_loss
    from imatgen_flows.models.presets import get_preset
    from imatgen_flows.models.training import accelerated
    from imatgen_flows.representation import BasisImageCodec

    settings = get_preset(preset_name, grid).basis
    model = ImageAutoencoder(settings).to(device)
    if not folder:  # as in `fitting`
        model = model.to(memory_format=torch.channels_last_3d)
    optimiser = torch.optim.Adam(model.parameters(), settings.learning_rate, fused=not folder)
    codec = BasisImageCodec(grid=settings.grid, box=BOX, sigma=settings.sigma)
    positions, mask = crystals(POOL // ELEMENTS)
    draw = np.random.default_rng(0)
    if folder:
        for index in range(POOL):
            np.save(folder / f"{index}.npy", codec.encode(positions[[index]], mask[[index]])[0].numpy())
    else:
        positions, mask = positions.to(device), mask.to(device)

    def step() -> None:
        chosen = draw.integers(POOL, size=settings.batch_size)
        if folder:
            images = torch.from_numpy(np.stack([np.load(folder / f"{index}.npy") for index in chosen])).to(device)
            loss = image_loss(model(images), images, settings.loss)
        else:
            images = codec.encode(positions[chosen], mask[chosen])
            with accelerated(device):
                output, target = model.compare(images)
            loss = image_loss(output.float(), target, settings.loss)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if device == "cuda":
            torch.cuda.synchronize()

    return step, settings.batch_size // ELEMENTS


def attainable(device: str, clock: Callable[[], float], seconds: float = 2.0) -> float:
    """Measure the floating-point operations a second of a large matrix product, the upper limit of a training."""
    kind = torch.bfloat16 if device == "cuda" else torch.float32
    size = 4096 if device == "cuda" else 1024
    matrix = torch.randn(size, size, device=device).to(kind)
    began, number = clock(), 0
    while clock() - began < seconds:
        matrix @ matrix
        number += 1
        if device == "cuda":
            torch.cuda.synchronize()
    return 2 * size**3 * number / (clock() - began)


def measure(
    title: str, preset: str, grid: int | None, disk: bool, device: str, threads: int, seconds: float
) -> dict[str, Any]:
    """Time the steps of one way, two at least, after a first one whose operations are counted."""
    from torch.utils.flop_counter import FlopCounterMode

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    clock = time.process_time if device == "cpu" and threads == 1 else time.perf_counter
    best = attainable(device, clock)
    with tempfile.TemporaryDirectory() as folder:
        step, crystals_a_step = step_of(preset, grid, device, Path(folder) if disk else None)
        with FlopCounterMode(display=False) as counter:
            step()
        began, steps = clock(), 0
        while steps < 2 or clock() - began < seconds:
            step()
            steps += 1
        taken = clock() - began
    memory = (
        torch.cuda.max_memory_allocated() if device == "cuda"
        else 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    )  # fmt: skip
    return {
        "way": title, "steps": steps, "seconds": taken, "crystals_per_s": steps * crystals_a_step / taken,
        "gflop_per_crystal": counter.get_total_flops() / crystals_a_step / 1e9, "attainable_gflops": best / 1e9,
        "of_attainable": counter.get_total_flops() * steps / taken / best, "memory_gb": memory / 1e9,
    }  # fmt: skip


def main() -> int:
    """Measure all ways in turn, and print their table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each way, but two steps at least")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write the figures here too")
    given = parser.parse_args()
    found: list[dict[str, Any]] = []
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn, max_tasks_per_child=1) as process:
        for way in WAYS:
            row = process.submit(measure, *way, given.device, given.threads, given.seconds).result()
            found.append(row | {"times_published": row["crystals_per_s"] / (found or [row])[0]["crystals_per_s"]})
            print(
                f"{row['way']:46}{row['crystals_per_s']:>9.2f} crystals/s{found[-1]['times_published']:>8.1f}x"
                f"{100 * row['of_attainable']:>6.1f} % of attainable{row['memory_gb']:>7.2f} GB  ({row['steps']} steps)",
                flush=True,
            )
    hardware = (
        torch.cuda.get_device_name() if given.device == "cuda" else f"{platform.machine()}, {given.threads} thread(s)"
    )
    rates = [row["attainable_gflops"] for row in found]
    print(
        f"{hardware}, torch {torch.__version__}; attainable: a matrix product just before each way, "
        f"{min(rates):.0f} to {max(rates):.0f} GFLOP/s"
    )
    if given.json:
        facts = {"title": "Training speed", "hardware": hardware, "torch": torch.__version__, "ways": found}
        given.json.write_text(json.dumps(facts, indent=1))
    return 0 if found[2]["times_published"] >= TARGET else 1


if __name__ == "__main__":
    sys.exit(main())

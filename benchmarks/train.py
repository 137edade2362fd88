"""How fast image autoencoders train: ours beside the published networks trained the published way, on this machine.

The published way: images made beforehand and read from disk, plain convolutions, Adam in float32. Ours: crystals alone are
kept, and each batch is rendered where the network is. Counted are crystals a second through training steps (forward,
backward, update) of the basis autoencoder, each with the images of all its elements.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

TARGET = 5.0  # times the published rate
POOL = 256  # images of the published way that lie on disk
ATOMS, ELEMENTS, BOX = 5, 2, 15.0  # of a crystal of middling size


def crystals(number: int) -> tuple[Tensor, Tensor]:
    """Positions (number * ELEMENTS, ATOMS, 3) and their mask; for the speed it does not matter where atoms are."""
    generator = torch.Generator().manual_seed(0)
    positions = BOX / 2 + 5 * (torch.rand(number * ELEMENTS, ATOMS, 3, generator=generator) - 0.5)
    return positions, torch.ones(positions.shape[:2], dtype=torch.bool)


def steps_of(preset_name: str, grid: int | None, device: str, folder: Path | None) -> tuple[Callable[[], None], int]:
    """Return a training step and how many crystals it sees; from images in `folder`, or rendered if None."""
    from imatgen_flows.generator.autoencoder import ImageAutoencoder
    from imatgen_flows.generator.losses import image_loss
    from imatgen_flows.generator.presets import get_preset
    from imatgen_flows.generator.training import accelerated
    from imatgen_flows.representation import BasisImageCodec

    settings = get_preset(preset_name, grid).basis
    model = ImageAutoencoder(settings).to(device)
    optimiser = torch.optim.Adam(model.parameters(), settings.learning_rate)
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
                output = model(images)
            loss = image_loss(output.float(), images, settings.loss)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    return step, settings.batch_size // ELEMENTS


def rate(step: Callable[[], None], crystals_a_step: int, seconds: float, device: str) -> float:
    """Crystals a second, after a warm-up."""
    step()
    began, number = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        step()
        number += 1
        if device == "cuda":
            torch.cuda.synchronize()
    return number * crystals_a_step / (time.perf_counter() - began)


def attainable(device: str, seconds: float = 2.0) -> float:
    """Floating-point operations a second of a large matrix product here: what a training could reach at best."""
    kind = torch.bfloat16 if device == "cuda" else torch.float32
    size = 4096 if device == "cuda" else 1024
    matrix = torch.randn(size, size, device=device).to(kind)
    began, number = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        matrix @ matrix
        number += 1
        if device == "cuda":
            torch.cuda.synchronize()
    return 2 * len(matrix) ** 3 * number / (time.perf_counter() - began)


def operations(step: Callable[[], None]) -> int:
    """Count the floating-point operations of a step."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        step()
    return counter.get_total_flops()


def main() -> int:
    """Measure all ways in turn and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each way")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write the figures here too")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    best = attainable(given.device)
    found = []
    with tempfile.TemporaryDirectory() as folder:
        ways = [
            ("published networks, images from disk, 64^3", "paper", None, Path(folder)),
            ("published networks, rendered, 64^3", "paper", None, None),
            ("default networks, rendered, 64^3", "default", 64, None),
            ("default networks, rendered, 32^3", "default", None, None),
        ]
        for title, preset, grid, images in ways:
            torch.manual_seed(0)
            step, number = steps_of(preset, grid, given.device, images)
            speed = rate(step, number, given.seconds, given.device)
            used = operations(step) / number * speed / best
            memory = (
                torch.cuda.max_memory_allocated() if given.device == "cuda"
                else 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            )  # fmt: skip
            found.append({"way": title, "crystals_per_s": speed, "of_attainable": used, "memory_gb": memory / 1e9})
            print(
                f"{title:46}{speed:>10.1f} crystals/s {speed / found[0]['crystals_per_s']:>8.1f}x "
                f"{100 * used:>6.1f} % of attainable {memory / 1e9:>6.2f} GB",
                flush=True,
            )
    hardware = (
        torch.cuda.get_device_name() if given.device == "cuda" else f"{platform.machine()}, {given.threads} thread(s)"
    )
    print(f"{hardware}, torch {torch.__version__}; attainable {best / 1e9:.0f} GFLOP/s by one matrix product")
    if given.json:
        given.json.write_text(json.dumps({"hardware": hardware, "attainable": best, "ways": found}, indent=1))
    same_grid = found[2]["crystals_per_s"] / found[0]["crystals_per_s"]
    return 0 if same_grid >= TARGET else 1


if __name__ == "__main__":
    sys.exit(main())

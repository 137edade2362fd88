"""Rate of rendering basis images on one core, by the published dense way and by ours, on the same crystals.

The published way takes, for each atom, the minimum-image distances to all 64^3 grid points from ASE, as the published
script does, and sums the Gaussians. The second row is the same in numpy for a cubic box, to show what part of the gain
needs no change of method. Time is the processor time of this process, which a busy machine disturbs least.

    python benchmarks/render_basis.py [--atoms 24]

Exit status 1 where the images differ by more than 1e-6, or ours is not 1,000 times faster than the published way.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import warnings

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")

import numpy as np
import torch
from ase import Atom, Atoms
from numpy.typing import NDArray

from imatgen_flows.crystals.box import BOX
from imatgen_flows.crystals.substitution import substitute
from imatgen_flows.crystals.templates import load_templates
from imatgen_flows.representation import BasisImageCodec, PackedCrystals, pack

GRID, SIGMA, CUTOFF = 64, 0.26, 0.02
TARGET, TOLERANCE = 1000.0, 1e-6
BATCH = 8  # crystals at once, in ours

Image = NDArray[np.float64]


def grid_points() -> Image:
    axis = np.arange(GRID) * BOX / GRID
    return np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)


def gaussian(distances: Image) -> Image:
    p = np.exp(-(distances**2) / (2 * SIGMA**2))
    p[p < CUTOFF] = 0
    return p.reshape(GRID, GRID, GRID)


def published(position: Image, grid: Atoms) -> Image:
    """Render one atom by ASE's minimum-image distances to all grid points."""
    atoms = grid.copy()
    atoms.append(Atom("H", position))
    return gaussian(atoms.get_distances(-1, range(GRID**3), mic=True))


def dense(position: Image, points: Image) -> Image:
    """Render the same with the minimum image of a cubic box written out."""
    apart = points - position
    apart -= BOX * np.round(apart / BOX)
    return gaussian(np.sqrt((apart**2).sum(axis=1)))


def packed_crystals() -> PackedCrystals:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        templates, _ = load_templates()
        substituted, _ = substitute(templates, ("V", "O"))
    return pack([crystal.structure for crystal in substituted], ("O", "V"), BOX)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--atoms", type=int, default=24, help="atoms rendered by the dense ways, at least")
    wanted = parser.parse_args().atoms
    torch.set_num_threads(1)

    crystals = packed_crystals()
    positions, mask = crystals.positions.flatten(0, 1), crystals.mask.flatten(0, 1)
    n_atoms = int(mask.sum())
    codec = BasisImageCodec(grid=GRID, box=BOX, sigma=SIGMA, cutoff=CUTOFF)

    start = time.process_time()
    for rows in torch.arange(len(mask)).split(BATCH * len(crystals.elements)):
        codec.encode(positions[rows], mask[rows])
    ours = (time.process_time() - start) / n_atoms

    # images from the whole set, until there are atoms enough
    points = grid_points()
    grid = Atoms(f"H{GRID**3}", positions=points, cell=[BOX] * 3, pbc=True)
    spent = {"published": 0.0, "dense": 0.0}
    rendered, apart = 0, 0.0
    for row in torch.randperm(len(mask), generator=torch.Generator().manual_seed(0)).tolist():
        atoms = positions[row][mask[row]].double().numpy()
        image = codec.encode(positions[[row]], mask[[row]])[0].double().numpy()
        start = time.process_time()
        by_published = np.sum([published(atom, grid) for atom in atoms], axis=0)
        middle = time.process_time()
        by_dense = np.sum([dense(atom, points) for atom in atoms], axis=0)
        spent["published"] += middle - start
        spent["dense"] += time.process_time() - middle
        apart = max(apart, np.abs(image - by_published).max(), np.abs(image - by_dense).max())
        rendered += len(atoms)
        if rendered >= wanted:
            break

    seconds = {
        "published (ASE)": spent["published"] / rendered,
        "dense (numpy)": spent["dense"] / rendered,
        "ours": ours,
    }
    print(f"basis images, {GRID}^3, sigma {SIGMA} A, one core")
    print(f"{'way':<16} {'atoms':>6} {'ms/atom':>10} {'atoms/s':>10} {'ours is faster by':>18}")
    for way, each in seconds.items():
        atoms_timed = n_atoms if way == "ours" else rendered
        print(f"{way:<16} {atoms_timed:>6} {1e3 * each:>10.4f} {1 / each:>10.1f} {each / ours:>18,.0f}")
    print(f"largest difference of a voxel: {apart:.1e} (limit {TOLERANCE:.0e})")
    return int(apart > TOLERANCE or seconds["published (ASE)"] / ours < TARGET)


if __name__ == "__main__":
    sys.exit(main())

"""How well the decode quality separates right images from wrong ones, by the level above which mass counts as atoms.

Structures of a run are encoded and decoded by its image autoencoders, as they are and with noise on their codes. An image
is right where it holds as many peaks of each element as the structure has atoms. It passes where its mass above the level,
counted in atoms, differs from its peaks by less than half an atom of each element.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from sampling import open_run

if TYPE_CHECKING:
    from torch import Tensor

    from imatgen_flows.models.crystal_model import ImageCompressor
    from imatgen_flows.representation import PackedCrystals

LEVELS = (0.02, 0.05, 0.1, 0.2)  # the first is the images' own cutoff
NOISES = (0.0, 0.4)  # on codes of unit variance
BATCH = 64


def excess(compressor: ImageCompressor, codes: Tensor, level: float) -> tuple[Tensor, Tensor]:
    """Count the peaks of each element (B, E) in decoded images, and the excess mass above a level, in atoms (B, E)."""
    images = compressor.decode(codes)
    crystals, _ = compressor.codec.read_unchecked(images)
    basis = compressor.codec.basis
    again = basis.encode(crystals.positions.flatten(0, 1), crystals.mask.flatten(0, 1)).view_as(images.basis)
    above = [torch.where(image < level, 0.0, image).sum(dim=(2, 3, 4)) for image in (images.basis, again)]
    return crystals.counts(), (above[0] - above[1]) / basis.atom_mass(level)


def pass_rates(compressor: ImageCompressor, crystals: PackedCrystals, noise: float) -> list[dict[str, Any]]:
    """Measure the fractions of right and of wrong images that pass, one row for each level."""
    codes, _ = compressor.encode(crystals)
    blur = torch.randn(codes[:, :-1].shape, generator=torch.Generator().manual_seed(1))
    codes[:, :-1] += noise * blur * (codes[:, :-1] != 0)
    rows = []
    for level in LEVELS:
        parts = [excess(compressor, part, level) for part in codes.split(BATCH)]
        peaks, more = (torch.cat(part) for part in zip(*parts, strict=True))
        right, passes = (peaks == crystals.counts()).all(dim=1), (more.abs() < 0.5).all(dim=1)
        rows.append({
            "noise on codes": noise,
            "level": level,
            "right images": int(right.sum()),
            "of these pass": passes[right].float().mean().item(),
            "wrong images": int((~right).sum()),
            "of these pass too": passes[~right].float().mean().item(),
        })  # fmt: skip
    return rows


def main() -> int:
    """Measure the pass rates and print their table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="directory of a run, for its dataset and its autoencoders")
    parser.add_argument(
        "--structures", type=int, default=600, help="of each kind: training set, and held-out templates"
    )
    parser.add_argument("--json", type=Path, help="write the figures here too")
    given = parser.parse_args()
    torch.set_num_threads(1)
    model, start, *_ = open_run(given.run)
    compressor, crystals, seen = model.compressor, start.crystals, start.seen
    held_out = torch.ones(len(crystals), dtype=torch.bool)
    held_out[seen] = False
    kinds = {"training set": seen, "held-out templates": held_out.nonzero()[:, 0]}
    table = []
    for kind, rows in kinds.items():
        chosen = rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(0))[: given.structures]]
        for noise in NOISES:
            for row in pass_rates(compressor, crystals[chosen], noise):
                table.append({"structures": kind} | row)
                print("; ".join(f"{key} {value:.3g}" if isinstance(value, float) else f"{key} {value}"
                                for key, value in table[-1].items()), flush=True)  # fmt: skip
    if given.json:
        title = "Level above which the decode quality counts an image's mass as atoms"
        given.json.write_text(json.dumps({"title": title, "rows": table}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())

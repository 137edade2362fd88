"""What each part of networks of prototypes is worth, and what more data are worth: one change at a time.

Networks are trained on a share of the data of a pretraining, each variant on a sixteenth and with as many steps as the
others, those of the preset on larger shares too. They are measured as a pretraining measures its own: clean samples, those
of them that are no protostructure of the training, and held-out crystals by encoder and by inversion. Each is kept in
DIRECTORY, so that a further call continues.
"""

from __future__ import annotations

import argparse
import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from imatgen_flows.models.presets import PRETRAINED
from imatgen_flows.models.pretraining import VIEWS

if TYPE_CHECKING:
    from imatgen_flows.models.presets import Preset
    from imatgen_flows.models.pretraining_data import PretrainingData

SMALLEST = 16  # of how many parts of the data the variants see one
# by name: settings of basis autoencoder and VAE that differ from the preset, and how many origins the VAE sees
VARIANTS: dict[str, dict[str, Any]] = {
    "as the preset": {},
    "roles by the alphabet": {},
    "one origin": {"views": 1},
    "no strain": {"basis": {"strain": 0.0}},
    "strain of 3 %": {"basis": {"strain": 0.03}},
    "code of 64 numbers": {"basis": {"code": 64}},
    "code of 256 numbers": {"basis": {"code": 256}},
    "latent vector of 128 numbers": {"vae": {"latent": 128}},
    "latent vector of 512 numbers": {"vae": {"latent": 512}},
}
PRESET, ALPHABET = list(VARIANTS)[:2]


def variant(name: str) -> tuple[Preset, int]:
    """Return the settings of a variant and its number of views; the VAE takes the same number of steps with any."""
    changes = VARIANTS[name]
    views = changes.get("views", VIEWS)
    vae = replace(PRETRAINED.vae, epochs=PRETRAINED.vae.epochs * VIEWS // views, **changes.get("vae", {}))
    return replace(PRETRAINED, basis=replace(PRETRAINED.basis, **changes.get("basis", {})), vae=vae), views


def by_alphabet(data: PretrainingData) -> PretrainingData:
    """Order the elements of each crystal by their symbols instead of their electronegativity."""
    crystals, orders = data.crystals, []
    for system in data.systems:
        order = sorted(range(len(system)), key=system.__getitem__)
        orders.append(order + list(range(len(system), len(crystals.elements))))
    order, rows = torch.tensor(orders), torch.arange(len(data))[:, None]
    moved = replace(crystals, positions=crystals.positions[rows, order], mask=crystals.mask[rows, order])
    return replace(data, crystals=moved, systems=[tuple(sorted(system)) for system in data.systems])


def measure(
    data: PretrainingData, name: str, part: int, directory: Path, samples: int, seed: int
) -> dict[str, dict[str, Any]]:
    """Train a variant on one of so many parts of the data, and measure its samples and what it reconstructs."""
    from imatgen_flows.config import Limits
    from imatgen_flows.crystals.prototype_index import PrototypeIndex
    from imatgen_flows.jobs.pretraining import HELD_OUT, reconstruct_held_out
    from imatgen_flows.metrics.sample_quality import measure_samples
    from imatgen_flows.models.pretraining import pretrain_autoencoders, pretrain_vae

    preset, views = variant(name)
    if name == ALPHABET:
        data = by_alphabet(data)
    held_out = data.held_out(HELD_OUT, seed)
    rows = (~held_out).nonzero()[:, 0]
    rows = rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))][::part]
    trained_on = torch.zeros(len(data), dtype=torch.bool)
    trained_on[rows] = True
    crystals = data.crystals[rows]
    directory.mkdir(parents=True, exist_ok=True)
    compressor, _ = pretrain_autoencoders(crystals, preset, seed, directory)
    model, _ = pretrain_vae(compressor, crystals, seed, directory, views=views)
    index = PrototypeIndex(data.labels[row] for row in rows.tolist() if data.labels[row])
    limits = Limits()
    quality = measure_samples(
        model, data, trained_on, index, (limits.max_sites, limits.max_edge), number=samples, seed=seed
    )
    return {
        "trained_on": {"crystals": len(rows), "protostructures": len(index)},
        "samples": {f"{number} elements": found.to_dict() for number, found in quality.items()},
        "held_out": reconstruct_held_out(model, data, held_out, number=samples),
    }


def as_row(name: str, part: int, found: dict[str, dict[str, Any]]) -> str:
    """Write a line of the table, in each cell the percentages for two, three, four and five elements."""

    def cell(values: list[float | None]) -> str:
        return ", ".join("–" if value is None else f"{100 * value:.0f}" for value in values)

    shares = [[quality[key][0] for quality in found["samples"].values()] for key in ("share_clean", "share_clean_new")]
    whole = [
        [row["fraction_fully_reconstructed"] for way, row in found["held_out"].items() if way.endswith(end)]
        for end in ("encoded", "inverted")
    ]
    cells = [name, f"1/{part}" if part > 1 else "all", *map(cell, (*shares, *whole))]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Train and measure the variants and the shares that are asked for, and print their table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("data", type=Path, help="file data.npz of a directory of `imatgen models pretrain`")
    parser.add_argument("directory", type=Path, help="for networks and results")
    parser.add_argument(
        "--variants", nargs="*", default=list(VARIANTS), metavar="NAME", help="with a sixteenth of the data"
    )
    parser.add_argument(
        "--parts", nargs="*", type=int, default=[4], help="with the preset, one of so many parts of the data"
    )
    parser.add_argument(
        "--samples", type=int, default=200, help="samples and held-out crystals of each number of elements"
    )
    parser.add_argument("--seed", type=int, default=7, help="of everything random")
    args = parser.parse_args()
    if unknown := set(args.variants) - set(VARIANTS):
        parser.error(f"no variant {', '.join(sorted(unknown))}; there are {', '.join(VARIANTS)}")
    from imatgen_flows.models.pretraining_data import PretrainingData

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    data = PretrainingData.load(args.data)
    print("| networks | data | clean | clean and new | whole, encoded | whole, inverted |")
    print("|---|---|---|---|---|---|")
    for name, part in [(name, SMALLEST) for name in args.variants] + [(PRESET, part) for part in args.parts]:
        directory = args.directory / f"{name.replace(' ', '-')}-{part}"
        path = directory / "results.json"
        if not path.is_file():
            found = measure(data, name, part, directory, args.samples, args.seed)
            path.write_text(json.dumps(found, indent=1), encoding="utf-8")
        print(as_row(name, part, json.loads(path.read_text(encoding="utf-8"))), flush=True)


if __name__ == "__main__":
    main()

"""What the projection of samples is worth: shares of clean samples with different passes and steps of inversion.

Samples of pretrained networks, with contents and systems as in the data of their pretraining, are projected in different ways
and measured as a pretraining measures its own. The networks and the latent vectors that are drawn are the same in all rows.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from imatgen_flows.models.pretrained import shipped_model

if TYPE_CHECKING:
    from imatgen_flows.metrics.sample_quality import SampleQuality

WAYS = ((0, 0), (1, 0), (4, 0), (1, 20), (2, 20), (4, 20))  # passes, and steps of inversion in each


def as_row(passes: int, steps: int, found: dict[int, SampleQuality]) -> str:
    """Write a line of the table, in each cell the percentages for two, three, four and five elements."""
    qualities = list(found.values())
    large, large_clean = sum(one.large for one in qualities), sum(one.large_clean for one in qualities)
    clean = ", ".join(f"{100 * one.clean / one.drawn:.0f}" for one in qualities)
    new = ", ".join(f"{100 * one.clean_new / one.drawn:.0f}" for one in qualities)
    return f"| {passes} | {steps} | {clean} | {new} | {large_clean} of {large} |"


def main() -> None:
    """Measure each way and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("data", type=Path, help="file data.npz of the directory of the pretraining")
    parser.add_argument("--model", type=Path, default=shipped_model(), help="model file of the pretraining")
    parser.add_argument("--samples", type=int, default=200, help="samples of each number of elements")
    parser.add_argument("--seed", type=int, default=7, help="of the contents and the samples, and of the pretraining")
    args = parser.parse_args()
    from imatgen_flows.config import Limits
    from imatgen_flows.crystals.prototype_index import PrototypeIndex, index_path
    from imatgen_flows.jobs.pretraining import HELD_OUT
    from imatgen_flows.metrics.sample_quality import measure_samples
    from imatgen_flows.models.crystal_model import build_model
    from imatgen_flows.models.model_file import read_model
    from imatgen_flows.models.presets import get_preset
    from imatgen_flows.models.pretraining_data import PretrainingData

    card, weights = read_model(args.model)
    model = build_model(get_preset(card.name), card.elements, weights)
    data, limits = PretrainingData.load(args.data), Limits()
    trained_on, index = ~data.held_out(HELD_OUT, args.seed), PrototypeIndex.read(index_path(args.model))
    bounds = (limits.max_sites, limits.max_edge)
    print("| passes | steps | clean | clean and new | of 15 to 20 sites |")
    print("|---|---|---|---|---|")
    for passes, steps in WAYS:
        model.compressor.preset = replace(model.compressor.preset, projections=passes, inversion_steps=steps)
        found = measure_samples(model, data, trained_on, index, bounds, args.samples, args.seed)
        print(as_row(passes, steps, found), flush=True)


if __name__ == "__main__":
    main()

"""What gradient ascent on the predicted stability gives, beside random perturbations, with the networks of a run.

All ways draw as many samples from the same starts. Radii and noise are in units of the width of the sampler `perturb`.

- "random" draws noise alone, as wide as the region;
- "vector" raises the classifier's logit of the vector;
- "decoded" raises that of what the vector decodes to, as the sampler `ascent` does in the first round;
- "process" lowers the bound of E_hull of a process over the new crystals that the run relaxed, as `ascent` does in further
  rounds, but with the networks of the first, which never saw these crystals.

New crystals are compared by their energies: single points and relaxations of some, drawn at random.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from pymatgen.core import Structure
    from torch import Tensor

    from imatgen_flows.models.sampling import Samples

THRESHOLDS = 0.1, 0.15  # eV/atom above the hull
FOLDS, REPEATS = 8, 3  # of the cross-validation of the process


class Comparison:
    """The networks and the data of a run, to measure samples with."""

    def __init__(self, run: Path, seed: int) -> None:
        # beside this file: benchmarks are run as scripts
        from sampling import open_run  # type: ignore[import-not-found]

        from imatgen_flows.config import CampaignConfig
        from imatgen_flows.jobs.candidate_table import novelty_classifier
        from imatgen_flows.jobs.hulls import load_hull

        self.model, self.start, data, self.limits = open_run(run)
        self.classifier = novelty_classifier(data["dataset"], data["references"])
        self.hull, self.seed = load_hull(data["references"]), seed
        self.potential = CampaignConfig.from_file(run / "campaign.yaml").labels.potential

    def logits(self, latent: Tensor) -> Tensor:
        """Return the classifier's logits (n,)."""
        return self.model.vae.stability(latent).detach()

    def process_bound(self, run: Path, kappa: float) -> Callable[[Tensor], Tensor]:
        """Fit a process to E_hull of the new crystals that the run relaxed, and return its lower confidence bound (n,)."""
        import numpy as np
        import pyarrow.parquet as pq
        from pymatgen.core import Structure
        from scipy.stats import spearmanr

        from imatgen_flows.candidates.acquisition import differentiable_bound
        from imatgen_flows.candidates.selection import fit_process
        from imatgen_flows.errors import InputError
        from imatgen_flows.run import Run

        model, points, targets = Run.open(run).model, [], []
        for row in pq.read_table(run / "candidates.parquet").to_pylist():
            if row["novelty"] == "new" and row["e_above_hull"] is not None:
                try:
                    structure = Structure.from_file(run / "structures" / f"{row['relaxed_id']}.cif")
                    points.append(model.encode([structure])[0])
                    targets.append(row["e_above_hull"])
                except InputError as error:  # it does not fit the images
                    print(error, file=sys.stderr)
        features, values = np.array(points), np.array(targets)
        ranks = []
        for seed in range(REPEATS):  # of a cross-validation
            order, guessed = np.random.default_rng(seed).permutation(len(values)), np.zeros(len(values))
            for part in np.array_split(order, FOLDS):
                others = np.setdiff1d(order, part)
                guessed[part] = fit_process(features[others], values[others]).predict(features[part])[0]
            ranks.append(spearmanr(guessed, values)[0])
        process = fit_process(features, values)
        print(f"{len(values)} relaxed: {process.regressor.kernel_}; Spearman, cross-validated: {np.mean(ranks):.2f}")
        return differentiable_bound(process, kappa)

    def e_hull(self, structures: list[Any], calculate: Callable[..., list[Any]]) -> tuple[list[float], list[Structure]]:
        """Calculate E_hull (eV/atom) of structures, with where they end; those that fail are left out."""
        results = [result for result in calculate(structures, self.potential, workers=1) if result.state == "relaxed"]
        ends = [result.structure for result in results]
        energies = [result.energy_per_atom for result in results]
        return [self.hull.e_above_hull(end.composition, e) for end, e in zip(ends, energies, strict=True)], ends

    def are_new(self, structures: list[Structure]) -> list[bool]:
        """Test whether structures equal nothing known, nothing substituted, and none before them in the list."""
        from imatgen_flows.candidates.classes import Novelty
        from imatgen_flows.matching.grouping import group_duplicates, primitive_cells

        cells = primitive_cells(structures, 1)
        firsts = [first == index for index, first in enumerate(group_duplicates(cells))]
        classes = self.classifier.classify_all(cells, 1)
        return [first and novelty is Novelty.NEW for first, (novelty, *_) in zip(firsts, classes, strict=True)]

    def measure(self, samples: Samples, single_points: int, relaxed: int) -> dict[str, Any]:
        """Decode samples, count what they give, and calculate energies of what is new."""
        from imatgen_flows.candidates.classes import Novelty
        from imatgen_flows.candidates.decode_samples import decode_samples
        from imatgen_flows.energetics.relax import relax_many
        from imatgen_flows.energetics.relax import single_points as calculate
        from imatgen_flows.matching.grouping import group_duplicates, primitive_cells

        latent, decoded = decode_samples(self.model, samples, self.limits.max_sites, self.limits.max_edge)
        valid = [item for item in decoded if item.is_valid and item.crystal is not None]
        decoded_structures = [item.crystal.structure() for item in valid if item.crystal is not None]
        cells = primitive_cells(decoded_structures, 1)
        firsts = [index for index, first in enumerate(group_duplicates(cells)) if first == index]
        classes = self.classifier.classify_all([cells[index] for index in firsts], 1)
        new = [index for index, (novelty, *_) in zip(firsts, classes, strict=True) if novelty is Novelty.NEW]
        starts = self.start.latent[[parents[0] for parents in samples.parents]]
        figures: dict[str, Any] = {
            "n": len(decoded),
            "valid": len(valid),
            "clean": sum(item.is_clean for item in valid),
            "unique": len(firsts),
            "new": len(new),
            "new and clean": sum(valid[index].is_clean for index in new),
            "logit of starts, as drawn, projected": [
                round(float(self.logits(vectors).median()), 2) for vectors in (starts, samples.latent, latent)
            ],
        }
        random.Random(self.seed).shuffle(new)
        structures = [decoded_structures[index] for index in new]
        if energies := self.e_hull(structures[:single_points], calculate)[0]:
            figures["E_hull unrelaxed, median"] = round(statistics.median(energies), 3)
        if chosen := structures[:relaxed]:
            results, ends = self.e_hull(chosen, relax_many)
            still = self.are_new(ends)
            figures["relaxed"], figures["still new"] = len(chosen), sum(still)
            figures["E_hull relaxed"] = sorted(round(value, 3) for value in results)
            for threshold in THRESHOLDS:
                within = [value <= threshold for value in results]
                figures[f"within {threshold:g}, and new"] = (
                    sum(within),
                    sum(a and b for a, b in zip(within, still, strict=True)),
                )
        return figures


def main() -> int:
    """Draw, decode and count; print a line for each way of drawing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="directory of a run")
    parser.add_argument("--samples", type=int, default=200, help="of each way")
    parser.add_argument("--radii", type=float, nargs="+", default=[1.0, 2.0, 2.5, 3.0, 4.0, 6.0])
    parser.add_argument("--ways", nargs="+", default=["random", "vector", "decoded"])
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--single-points", type=int, default=0, help="new crystals of each way")
    parser.add_argument("--relax", type=int, default=0, help="new crystals of each way")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--json", type=Path, help="write the figures here too")
    given = parser.parse_args()
    torch.set_num_threads(1)
    from imatgen_flows.models.ascent import sample_ascent
    from imatgen_flows.models.drawing import choose_starts, hull_weights, perturbation_width

    data = Comparison(given.run, given.seed)
    start, vae = data.start, data.model.vae
    starts = choose_starts(start.formulas, start.e_above_hull, start.seen.tolist(), start.balanced_only)
    generator = torch.Generator().manual_seed(given.seed)
    chosen = torch.multinomial(hull_weights(start, starts), given.samples, replacement=True, generator=generator)
    rows = [starts[index] for index in chosen.tolist()]
    width = perturbation_width(vae.settings, start)
    objectives = {
        "random": vae.stability,
        "vector": vae.stability,
        "decoded": lambda latent: vae.stability(vae.encode(vae.decode(latent))),
    }
    if "process" in given.ways:
        bound = data.process_bound(given.run, kappa=1.0)
        objectives["process"] = lambda latent: -bound(vae.encode(vae.decode(latent)))
    found = []
    for radius in given.radii:
        for way in given.ways:
            noise, steps = (radius, 0) if way == "random" else (radius / 2, given.steps)
            drawn = sample_ascent(
                start.latent[rows], given.seed, objectives[way], width, radius=radius, noise=noise, steps=steps
            )
            drawn.parents[:] = [(row,) for row in rows]
            figures = data.measure(drawn, given.single_points, given.relax)
            found.append({"way": way, "radius": radius, **figures})
            print(json.dumps(found[-1]), flush=True)
            if given.json:
                given.json.write_text(json.dumps(found, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())

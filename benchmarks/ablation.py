"""What each part of the generator is worth: one change at a time, on the dataset of a run, at equal numbers of steps.

Autoencoders are told apart by what comes back of structures that they saw and of templates that were held out. Generators
too, by how likely their prior finds held-out structures, and by their samples: valid, clean (counts as the image's mass says,
residual under 0.3, nothing repaired), new (unlike each other, the training structures and the known phases), and the new
ones' distance from the hull as they are. Samplers by their samples. Nothing is relaxed here; that is for
`imatgen evaluate generation`. Each network is kept in DIRECTORY, so that a further call goes on.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from torch import Tensor

    from imatgen_flows.jobs.samples import StartingPoints
    from imatgen_flows.models.crystal_model import CrystalModel, ImageCompressor
    from imatgen_flows.models.presets import Preset
    from imatgen_flows.models.sampling import Samples
    from imatgen_flows.representation import PackedCrystals

# what differs from `default`, the last
AUTOENCODERS: dict[str, dict[str, Any]] = {
    "output never zero, little noise in training": {"output": "sigmoid", "code_noise": 0.05, "jitter": 0.02},
    "output never zero, more noise on codes, more jitter of atoms": {"output": "sigmoid"},
    "output can be zero, the same noise and jitter": {},
}
GENERATORS: dict[str, dict[str, Any]] = {
    "64 numbers, 512 wide": {"latent": 64, "channels": 512},
    "256 numbers, 1024 wide": {},
}
COMPARED = list(AUTOENCODERS)[1:]  # autoencoders on which generators are compared
OURS = {"random": "prior", "slerp": "slerp"}  # samplers by which they are
MEASURED = 600  # structures of each kind that are sent through networks
REFINED = 200  # of these, with refined latent vectors
PASSES = (0, 1, 3)  # projections of a sample
LIMITS = {"max_sites": 20, "max_edge": 10.0}
STABLE = 0.5  # eV/atom


class Dataset:
    """What a run learnt from, as it left it: crystals, labels, hull, and what is known.

    Parameters
    ----------
    run : directory of the run
    seed : of the choice of templates that are held out here
    """

    def __init__(self, run: Path, seed: int) -> None:
        from imatgen_flows.io.artifacts import read_lines
        from imatgen_flows.jobs.candidates import novelty_classifier
        from imatgen_flows.jobs.documents import DatasetDocument, LabelDocument, ReferenceDocument
        from imatgen_flows.jobs.energies import load_hull
        from imatgen_flows.jobs.models import training_rows
        from imatgen_flows.jobs.samples import energies_of
        from imatgen_flows.representation import PackedCrystals

        def document(kind: Any, name: str) -> Any:
            return kind(**json.loads(min((run / "artifacts" / "documents").glob(f"{name}-*.json")).read_text()))

        dataset = document(DatasetDocument, "build_dataset")
        labels, references = document(LabelDocument, "label_dataset"), document(ReferenceDocument, "extend_hull")
        self.rows = read_lines(dataset.crystals)
        self.energies = energies_of(self.rows, labels, references)
        self.crystals = PackedCrystals.load(dataset.packed.path())
        self.seen: Tensor = training_rows(dataset, {"holdout": 0.1, "seed": seed})
        hidden = torch.ones(len(self.crystals), dtype=torch.bool)
        hidden[self.seen] = False
        self.hidden = hidden.nonzero()[:, 0]
        self.hull, self.potential = load_hull(references), labels.potential
        self.judge = novelty_classifier(dataset, references)

    def part(self, held_out: bool, n: int) -> PackedCrystals:
        """Take some structures, those that networks see or those that they do not."""
        rows = self.hidden if held_out else self.seen
        return self.crystals[rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(0))[:n]]]


def whole(crystals: PackedCrystals, images_of: Any, model: ImageCompressor) -> float:
    """Share of crystals that come back whole from the images that some way draws of them."""
    from imatgen_flows.metrics.reconstruction import compare, summarise

    errors = []
    for rows in torch.arange(len(crystals)).split(128):
        part = crystals[rows]
        errors += compare(part, model.codec.read_unchecked(images_of(part))[0])
    return summarise(errors)["fraction_fully_reconstructed"]


def autoencoder(
    name: str, steps: int, seed: int, data: Dataset, folder: Path
) -> tuple[ImageCompressor, dict[str, float]]:
    """Train one autoencoder and measure it."""
    from imatgen_flows.models.crystal_model import ImageCompressor
    from imatgen_flows.models.fitting import fit_basis_autoencoder, fit_cell_autoencoder
    from imatgen_flows.models.presets import get_preset

    preset = get_preset("default")
    basis = replace(preset.basis, **AUTOENCODERS[name], epochs=1, min_steps=steps)
    preset = replace(preset, basis=basis)
    cell, _ = fit_cell_autoencoder(data.crystals[data.seen], preset.cell, seed, folder / "cell")
    model, history = fit_basis_autoencoder(data.crystals[data.seen], basis, seed, folder / "basis")
    compressor = ImageCompressor(preset, data.crystals.elements, cell, model)
    random = torch.Generator().manual_seed(1)

    def again(part: PackedCrystals, noise: float = 0.0) -> Any:
        codes, _ = compressor.encode(part)
        codes[:, :-1] += noise * torch.randn(codes[:, :-1].shape, generator=random) * (codes[:, :-1] != 0)
        return compressor.decode(codes)

    return compressor, {
        "seconds": history[-1]["seconds"],
        "whole, training": whole(data.part(False, MEASURED), again, compressor),
        "whole, held-out templates": whole(data.part(True, MEASURED), again, compressor),
        "the same, noise 0.2 on codes": whole(data.part(True, MEASURED), lambda part: again(part, 0.2), compressor),
    }


def generator(
    name: str, epochs: float, seed: int, data: Dataset, compressor: ImageCompressor, folder: Path
) -> tuple[CrystalModel, dict[str, float]]:
    """Train one generator with its prior, on the codes of an autoencoder, and measure both."""
    from imatgen_flows.jobs.models import conditions
    from imatgen_flows.models.crystal_model import CrystalModel
    from imatgen_flows.models.fitting import fit_generator, fit_prior
    from imatgen_flows.models.inversion import invert_decoder
    from imatgen_flows.models.presets import get_preset

    preset = get_preset("default", epochs=epochs)
    preset = replace(preset, basis=compressor.preset.basis, generator=replace(preset.generator, **GENERATORS[name]))
    codes, present = compressor.encode(data.crystals)
    formation = torch.tensor([torch.nan if value is None else value for value in data.energies["formation_energy"]])
    stable = torch.where(formation.isnan(), formation, (formation <= STABLE).float())
    asked = conditions(data.crystals, formation, preset.max_elements)
    seen = data.seen
    vae, _ = fit_generator(codes[seen], present[seen], stable[seen], preset, seed, folder / "generator")
    fit_prior(vae, codes[seen], asked[seen], seed, folder / "prior")
    model = CrystalModel(compressor, vae)
    held_out = data.part(True, MEASURED)
    return model, {
        "whole, held-out templates": whole(held_out, lambda part: model.decode(model.encode(part)), compressor),
        "the same, refined": whole(
            held_out[:REFINED], lambda part: model.decode(invert_decoder(model, part)), compressor
        ),
        "loss of the prior, training": likelihood(model, data.crystals, asked, seen),
        "the same, held-out templates": likelihood(model, data.crystals, asked, data.hidden),
    }


def likelihood(model: CrystalModel, crystals: PackedCrystals, asked: Tensor, rows: Tensor) -> float:
    """Loss of the prior on structures; were the held-out ones as likely as the others, it would be the same."""
    prior = model.vae.prior
    assert prior is not None
    latent, random = model.encode(crystals[rows]), torch.Generator().manual_seed(0)
    with torch.no_grad():
        losses = [
            prior.loss(latent, asked[rows], torch.randn(latent.shape, generator=random),
                       torch.rand(len(latent), generator=random)).item()
            for _ in range(8)
        ]  # fmt: skip
    return sum(losses) / len(losses)


def worth(model: CrystalModel, samples: Samples, data: Dataset) -> dict[str, float]:
    """Shares of valid, clean and new samples, and how far the new ones lie from the hull before they are relaxed."""
    from pymatgen.core import Structure

    from imatgen_flows.candidates.novelty import Novelty
    from imatgen_flows.energetics.relax import single_points
    from imatgen_flows.jobs.candidates import _make
    from imatgen_flows.matching.grouping import group_duplicates

    _, made = _make(model, samples, LIMITS, workers=1)
    valid = [record for record in made if record.id]
    structures = [Structure.from_dict(record.structure) for record in valid]
    firsts = [index for index, first in enumerate(group_duplicates(structures)) if first == index]
    verdicts = data.judge.classify_all([structures[index] for index in firsts])
    new = [index for index, (novelty, *_) in zip(firsts, verdicts, strict=True) if novelty is Novelty.NEW]
    results = single_points([structures[index] for index in new], data.potential, workers=1)
    distances = [
        data.hull.e_above_hull(structures[index].composition, result.energy_per_atom)
        for index, result in zip(new, results, strict=True)
        if result.energy_per_atom is not None
    ]
    return {
        "valid": len(valid) / len(made),
        "clean": sum(record.is_clean for record in valid) / len(made),
        "duplicates": (len(valid) - len(firsts)) / len(made),
        "new": len(new) / len(made),
        "new and clean": sum(valid[index].is_clean for index in new) / len(made),
        "E_hull of new, unrelaxed, median": statistics.median(distances) if distances else torch.nan,
    }


def samplers(model: CrystalModel, start: StartingPoints, n: int, seed: int) -> dict[str, Samples]:
    """Samples of each sampler: the published ones, and ours."""
    from imatgen_flows.jobs.samples import draw_from_anchors, draw_ours
    from imatgen_flows.models.sampling import sample_gaussian

    sampling = dict.fromkeys(("slerp", "random", "perturb"), n)
    anchored, ours = (draw(model, start, sampling, seed) for draw in (draw_from_anchors, draw_ours))
    data = start.latent[start.seen]
    return {
        "Gaussian, one width a dimension": sample_gaussian(data, n, seed, full_covariance=False),
        "Gaussian, full covariance": anchored["random"],
        "prior, asked for contents and energy": ours["random"],
        "the same prior, nothing taken out": replace(ours["random"], contents=None),
        "slerp between 31 anchors": anchored["slerp"],
        "slerp between neighbours of the same atoms": ours["slerp"],
        "the same slerp, nothing taken out": replace(ours["slerp"], contents=None),
        "around anchors": ours["perturb"],
    }


def judged(model: CrystalModel, preset: Preset, samples: Samples) -> dict[str, float]:
    """Shares of valid and of clean samples after so many projections."""
    from imatgen_flows.jobs.candidates import _make

    found = {}
    for passes in PASSES:
        model.compressor.preset = replace(preset, projections=passes)
        _, made = _make(model, samples, LIMITS, workers=1)
        found[f"valid, {passes} projections"] = sum(bool(record.id) for record in made) / len(made)
        found[f"clean, {passes} projections"] = sum(record.is_clean for record in made) / len(made)
    return found


def main() -> int:
    """Train what is asked for, measure, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="directory of a run, for its dataset, labels and hull")
    parser.add_argument("directory", type=Path, help="for checkpoints")
    parser.add_argument("--steps", type=int, default=3000, help="of each autoencoder")
    parser.add_argument("--epochs", type=float, default=0.3, help="factor on those of the generators and their priors")
    parser.add_argument("--samples", type=int, default=300, help="of each sampler")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--json", type=Path, help="write the figures here too")
    given = parser.parse_args()
    torch.set_num_threads(1)
    from imatgen_flows.jobs.samples import StartingPoints, draw_ours

    data = Dataset(given.run, given.seed)
    table = []

    def add(name: str, figures: dict[str, float]) -> None:
        table.append({"name": name, "figures": {key: round(value, 3) for key, value in figures.items()}})
        print(f"{name:45}", "; ".join(f"{key} {value:.3g}" for key, value in figures.items()), flush=True)
        if given.json:
            settings = {
                key: str(value) for key, value in vars(given).items() if key not in ("run", "directory", "json")
            }
            given.json.write_text(json.dumps({"settings": settings, "rows": table}, indent=1))

    for number, name in enumerate(AUTOENCODERS):
        folder = given.directory / f"autoencoder-{number}"
        compressor, figures = autoencoder(name, given.steps, given.seed, data, folder)
        add(name, figures)
        for size, latent in enumerate(GENERATORS if name in COMPARED else ()):
            model, figures = generator(latent, given.epochs, given.seed, data, compressor, folder / f"{size}")
            start = StartingPoints(data.crystals, model.encode(data.crystals), data.rows, data.energies, data.seen)
            wanted = dict.fromkeys(OURS, given.samples) | {"perturb": 0}
            drawn = draw_ours(model, start, wanted, given.seed)
            for sampler, title in OURS.items():
                found = worth(model, drawn[sampler], data)
                figures |= {f"{title}: {key}": value for key, value in found.items()}
            add(f"{name}; {latent}", figures)
    for name, samples in samplers(model, start, given.samples, given.seed).items():
        add(name, judged(model, compressor.preset, samples))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Ablation of the networks: one change at a time, on the dataset of a run, at equal numbers of steps.

Autoencoders are compared by the reconstruction of structures of the training set and of held-out templates. VAEs too, by the
loss of their prior on held-out structures, and by their samples: valid, clean (atom counts as by the mass of the image,
residual under 0.3, nothing repaired), new (unlike each other, the training structures and the known phases), and E_hull of
the new ones before relaxation. Samplers are compared by their samples. Nothing is relaxed here; that is for
`imatgen evaluate baselines`. Each network is kept in DIRECTORY, so that a further call continues.
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
from sampling import open_data

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor

    from imatgen_flows.models.crystal_model import CrystalModel, ImageCompressor
    from imatgen_flows.models.drawing import StartingPoints
    from imatgen_flows.models.presets import Preset
    from imatgen_flows.models.sampling import Samples
    from imatgen_flows.representation import CrystalImages, PackedCrystals

# settings that differ from `default`, the last
AUTOENCODERS: dict[str, dict[str, Any]] = {
    "output never zero, little noise in training": {"output": "sigmoid", "code_noise": 0.05, "jitter": 0.02},
    "output never zero, more noise on codes, more jitter of atoms": {"output": "sigmoid"},
    "output can be zero, the same noise and jitter": {},
}
VAES: dict[str, dict[str, Any]] = {
    "64 numbers, 512 wide": {"latent": 64, "channels": 512},
    "256 numbers, 1024 wide": {},
}
COMPARED = list(AUTOENCODERS)[1:]  # autoencoders with which VAEs are compared
OURS = ("prior", "slerp")  # samplers by which VAEs are compared
MEASURED = 600  # structures of each kind that are reconstructed
INVERTED = 200  # of these, by latent inversion
PASSES = (0, 1, 3)  # projections of a sample
STABLE = 0.5  # eV/atom, largest formation energy of a structure that is labelled stable


class Dataset:
    """The dataset of the first round of a run: crystals, labels, hull, and all known and substituted structures.

    Parameters
    ----------
    run : directory of the run
    seed : of the choice of held-out templates
    """

    def __init__(self, run: Path, seed: int) -> None:
        from imatgen_flows.config import Model
        from imatgen_flows.io.artifacts import read_lines
        from imatgen_flows.jobs.candidate_table import novelty_classifier
        from imatgen_flows.jobs.dataset_rows import load_crystals, training_rows
        from imatgen_flows.jobs.hulls import load_hull

        self.data, self.settings = open_data(run), Model(holdout=0.1, seed=seed)
        dataset, labels, references = self.data["dataset"], self.data["labels"], self.data["references"]
        self.formation_energy = [row["formation_energy"] for row in read_lines(labels.labels)]
        self.crystals = load_crystals(dataset)
        self.seen: Tensor = training_rows(dataset, self.settings)
        held_out = torch.ones(len(self.crystals), dtype=torch.bool)
        held_out[self.seen] = False
        self.held_out = held_out.nonzero()[:, 0]
        self.hull, self.potential = load_hull(references), labels.potential
        self.classifier = novelty_classifier(dataset, references)

    def starting_points(self, model: CrystalModel) -> StartingPoints:
        """Return the training structures that samples can start from."""
        from imatgen_flows.jobs.sample_candidates import starting_points

        return starting_points(model, self.data, self.settings)

    def part(self, held_out: bool, n: int) -> PackedCrystals:
        """Draw some structures, of the training set or of the held-out set."""
        rows = self.held_out if held_out else self.seen
        return self.crystals[rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(0))[:n]]]


def whole(
    crystals: PackedCrystals, images_of: Callable[[PackedCrystals], CrystalImages], model: ImageCompressor
) -> float:
    """Return the share of crystals that are fully reconstructed from the images that a function makes of them."""
    from imatgen_flows.metrics.reconstruction import compare, summarise

    errors = []
    for rows in torch.arange(len(crystals)).split(128):
        part = crystals[rows]
        errors += compare(part, model.codec.read_unchecked(images_of(part))[0])
    return summarise(errors).fraction_fully_reconstructed or 0.0


def autoencoder(
    name: str, steps: int, seed: int, data: Dataset, folder: Path
) -> tuple[ImageCompressor, dict[str, float]]:
    """Train one autoencoder and measure its reconstruction."""
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

    def again(part: PackedCrystals, noise: float = 0.0) -> CrystalImages:
        codes, _ = compressor.encode(part)
        codes[:, :-1] += noise * torch.randn(codes[:, :-1].shape, generator=random) * (codes[:, :-1] != 0)
        return compressor.decode(codes)

    return compressor, {
        "seconds": history[-1]["seconds"],
        "whole, training": whole(data.part(False, MEASURED), again, compressor),
        "whole, held-out templates": whole(data.part(True, MEASURED), again, compressor),
        "the same, noise 0.2 on codes": whole(data.part(True, MEASURED), lambda part: again(part, 0.2), compressor),
    }


def train_vae(
    name: str, epochs: float, seed: int, data: Dataset, compressor: ImageCompressor, folder: Path
) -> tuple[CrystalModel, dict[str, float]]:
    """Train one VAE with its prior, on the codes of an autoencoder, and measure both."""
    from imatgen_flows.models.crystal_model import CrystalModel
    from imatgen_flows.models.drawing import prior_conditions
    from imatgen_flows.models.fitting import fit_prior, fit_vae
    from imatgen_flows.models.inversion import invert_decoder
    from imatgen_flows.models.presets import get_preset

    preset = get_preset("default", epochs=epochs)
    preset = replace(preset, basis=compressor.preset.basis, vae=replace(preset.vae, **VAES[name]))
    codes, present = compressor.encode(data.crystals)
    formation = torch.tensor([torch.nan if value is None else value for value in data.formation_energy])
    stable = torch.where(formation.isnan(), formation, (formation <= STABLE).float())
    conditions = prior_conditions(data.crystals, formation, preset.max_elements)
    seen = data.seen
    vae, _ = fit_vae(codes[seen], present[seen], stable[seen], preset, seed, folder / "vae")
    fit_prior(vae, codes[seen], conditions[seen], seed, folder / "prior")
    model = CrystalModel(compressor, vae)
    held_out = data.part(True, MEASURED)
    return model, {
        "whole, held-out templates": whole(held_out, lambda part: model.decode(model.encode(part)), compressor),
        "the same, inverted": whole(
            held_out[:INVERTED], lambda part: model.decode(invert_decoder(model, part)), compressor
        ),
        "loss of the prior, training": prior_loss(model, data.crystals, conditions, seen),
        "the same, held-out templates": prior_loss(model, data.crystals, conditions, data.held_out),
    }


def prior_loss(model: CrystalModel, crystals: PackedCrystals, conditions: Tensor, rows: Tensor) -> float:
    """Return the loss of the prior on structures; it is larger on the held-out ones where the prior overfits."""
    prior = model.vae.prior
    assert prior is not None
    latent, random = model.encode(crystals[rows]), torch.Generator().manual_seed(0)
    with torch.no_grad():
        losses = [
            prior.loss(latent, conditions[rows], torch.randn(latent.shape, generator=random),
                       torch.rand(len(latent), generator=random)).item()
            for _ in range(8)
        ]  # fmt: skip
    return sum(losses) / len(losses)


def measure_samples(model: CrystalModel, samples: Samples, data: Dataset) -> dict[str, float]:
    """Measure the shares of valid, clean and new samples, and E_hull of the new ones before relaxation."""
    from imatgen_flows.candidates.classes import Novelty
    from imatgen_flows.candidates.decode_samples import decode_samples
    from imatgen_flows.crystals.box import MAX_EDGE, MAX_SITES
    from imatgen_flows.energetics.relax import single_points
    from imatgen_flows.matching.grouping import group_duplicates

    _, decoded = decode_samples(model, samples, MAX_SITES, MAX_EDGE)
    valid = [item for item in decoded if item.is_valid]
    structures = [item.crystal.structure() for item in valid if item.crystal is not None]
    firsts = [index for index, first in enumerate(group_duplicates(structures)) if first == index]
    classes = data.classifier.classify_all([structures[index] for index in firsts])
    new = [index for index, (novelty, *_) in zip(firsts, classes, strict=True) if novelty is Novelty.NEW]
    results = single_points([structures[index] for index in new], data.potential, workers=1)
    energies = [
        data.hull.e_above_hull(structures[index].composition, result.energy_per_atom)
        for index, result in zip(new, results, strict=True)
        if result.energy_per_atom is not None
    ]
    return {
        "valid": len(valid) / len(decoded),
        "clean": sum(item.is_clean for item in valid) / len(decoded),
        "duplicates": (len(valid) - len(firsts)) / len(decoded),
        "new": len(new) / len(decoded),
        "new and clean": sum(valid[index].is_clean for index in new) / len(decoded),
        "E_hull of new, unrelaxed, median": statistics.median(energies) if energies else torch.nan,
    }


def samplers(model: CrystalModel, start: StartingPoints, n: int, seed: int) -> dict[str, Samples]:
    """Draw samples by each sampler, the published ones and ours."""
    from imatgen_flows.models.drawing import draw_from_anchors, draw_with_prior
    from imatgen_flows.models.registry import SAMPLERS
    from imatgen_flows.models.sampling import sample_gaussian

    numbers = dict.fromkeys(SAMPLERS.names, n)
    anchored, ours = (draw(model, start, numbers, seed) for draw in (draw_from_anchors, draw_with_prior))
    data = start.latent[start.seen]
    return {
        "Gaussian, one width a dimension": sample_gaussian(data, n, seed, full_covariance=False),
        "Gaussian, full covariance": anchored["prior"],
        "prior, conditioned on atom counts and energy": ours["prior"],
        "the same prior, without target atom counts": replace(ours["prior"], atom_counts=None),
        "slerp between 31 anchors": anchored["slerp"],
        "slerp between neighbours of the same atoms": ours["slerp"],
        "the same slerp, without target atom counts": replace(ours["slerp"], atom_counts=None),
        "perturbed anchors": ours["perturb"],
    }


def measure_projections(model: CrystalModel, preset: Preset, samples: Samples) -> dict[str, float]:
    """Measure the shares of valid and of clean samples after different numbers of projections."""
    from imatgen_flows.candidates.decode_samples import decode_samples
    from imatgen_flows.crystals.box import MAX_EDGE, MAX_SITES

    found = {}
    for passes in PASSES:
        model.compressor.preset = replace(preset, projections=passes)
        _, decoded = decode_samples(model, samples, MAX_SITES, MAX_EDGE)
        found[f"valid, {passes} projections"] = sum(item.is_valid for item in decoded) / len(decoded)
        found[f"clean, {passes} projections"] = sum(item.is_clean for item in decoded) / len(decoded)
    return found


def main() -> int:
    """Train all variants, measure them, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="directory of a run, for its dataset, labels and hull")
    parser.add_argument("directory", type=Path, help="for checkpoints")
    parser.add_argument("--steps", type=int, default=3000, help="of each autoencoder")
    parser.add_argument("--epochs", type=float, default=0.3, help="factor on those of the VAEs and their priors")
    parser.add_argument("--samples", type=int, default=300, help="of each sampler")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--json", type=Path, help="write the figures here too")
    given = parser.parse_args()
    torch.set_num_threads(1)
    from imatgen_flows.models.drawing import draw_with_prior
    from imatgen_flows.models.registry import SAMPLERS

    data = Dataset(given.run, given.seed)
    table = []

    def add(name: str, figures: Mapping[str, float]) -> None:
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
        for size, latent in enumerate(VAES if name in COMPARED else ()):
            model, figures = train_vae(latent, given.epochs, given.seed, data, compressor, folder / f"{size}")
            start = data.starting_points(model)
            numbers = {sampler: given.samples if sampler in OURS else 0 for sampler in SAMPLERS.names}
            drawn = draw_with_prior(model, start, numbers, given.seed)
            for sampler in OURS:
                found = measure_samples(model, drawn[sampler], data)
                figures |= {f"{sampler}: {key}": value for key, value in found.items()}
            add(f"{name}; {latent}", figures)
    for name, samples in samplers(model, start, given.samples, given.seed).items():
        add(name, measure_projections(model, compressor.preset, samples))
    return 0


if __name__ == "__main__":
    sys.exit(main())

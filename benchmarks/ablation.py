"""What each part of the generator is worth: one change at a time, on the dataset of a run, at equal numbers of steps.

Autoencoders are told apart by what comes back of structures that they saw and of templates that were held out; samplers by
their samples: valid, and clean (counts as the image's mass says, residual under 0.3, nothing repaired). Nothing is relaxed
here; energies are for `imatgen evaluate generation`. Each part is kept in DIRECTORY, so that a further call goes on.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from torch import Tensor

    from imatgen_flows.generator.crystal_generator import CrystalGenerator, ImageCompressor
    from imatgen_flows.generator.presets import Preset
    from imatgen_flows.generator.sampling import Samples
    from imatgen_flows.jobs.samples import StartingPoints
    from imatgen_flows.representation import PackedCrystals

PLAIN = {"code_noise": 0.05, "jitter": 0.02}
AUTOENCODERS = {
    "plain": PLAIN,
    "more noise on the code": PLAIN | {"code_noise": 0.25},
    "and more jitter of the atoms": {"code_noise": 0.1, "jitter": 0.12},
}
MEASURED = 600  # structures of each kind that are sent through an autoencoder
PASSES = (0, 1, 3)  # projections of a sample


def dataset_of(run: Path, generator: dict[str, Any]) -> tuple[PackedCrystals, Tensor, list[dict], dict[str, list]]:
    """Crystals of a run, the rows that networks see, what is known of each, and their energies."""
    from imatgen_flows.artifacts import read_lines
    from imatgen_flows.jobs.models import training_rows
    from imatgen_flows.jobs.samples import energies_of
    from imatgen_flows.representation import PackedCrystals
    from imatgen_flows.schemas import DatasetDocument, LabelDocument, ReferenceDocument

    def document(kind: Any, name: str) -> Any:
        return kind(**json.loads(min((run / "artifacts" / "stages").glob(f"{name}-*.json")).read_text()))

    dataset = document(DatasetDocument, "build_dataset")
    rows = read_lines(dataset.crystals)
    labels, references = document(LabelDocument, "label_dataset"), document(ReferenceDocument, "extend_hull")
    energies = energies_of(rows, labels, references)
    return PackedCrystals.load(dataset.packed.path()), training_rows(dataset, generator), rows, energies


def reconstructed(compressor: ImageCompressor, crystals: PackedCrystals, noise: float = 0.0) -> float:
    """Share of crystals that come back whole, with noise on the codes of their atoms."""
    from imatgen_flows.evaluation.reconstruction import compare, summarise

    codes, _ = compressor.encode(crystals)
    random, errors = torch.Generator().manual_seed(1), []
    for start in range(0, len(crystals), 128):
        here = slice(start, start + 128)
        part = codes[here].clone()
        part[:, :-1] += noise * torch.randn(part[:, :-1].shape, generator=random) * (part[:, :-1] != 0)
        errors += compare(crystals[here], compressor.codec.read(compressor.decode(part))[0])
    return summarise(errors)["fraction_fully_reconstructed"]


def autoencoder(
    name: str, steps: int, seed: int, crystals: PackedCrystals, seen: Tensor, folder: Path
) -> tuple[ImageCompressor, dict[str, float]]:
    """Train one autoencoder and measure it."""
    from imatgen_flows.generator.crystal_generator import ImageCompressor
    from imatgen_flows.generator.fitting import fit_basis_autoencoder, fit_cell_autoencoder
    from imatgen_flows.generator.presets import get_preset

    preset = get_preset("default")
    basis = replace(preset.basis, **AUTOENCODERS[name], epochs=1, min_steps=steps)
    preset = replace(preset, basis=basis)
    cell, _ = fit_cell_autoencoder(crystals[seen], preset.cell, seed, folder / "cell")
    model, history = fit_basis_autoencoder(crystals[seen], basis, seed, folder / "basis")
    compressor = ImageCompressor(preset, crystals.elements, cell, model)
    random = torch.Generator().manual_seed(0)
    hidden = torch.ones(len(crystals), dtype=torch.bool)
    hidden[seen] = False
    trained = crystals[seen[torch.randperm(len(seen), generator=random)[:MEASURED]]]
    held_out = crystals[hidden.nonzero()[:MEASURED, 0]]
    return compressor, {
        "seconds": history[-1]["seconds"],
        "whole, training": reconstructed(compressor, trained),
        "whole, held-out templates": reconstructed(compressor, held_out),
        "the same, noise 0.2 on codes": reconstructed(compressor, held_out, 0.2),
    }


def samplers(model: CrystalGenerator, start: StartingPoints, n: int, seed: int) -> dict[str, Samples]:
    """Samples of each sampler: the published ones, and ours."""
    from imatgen_flows.generator.sampling import sample_gaussian
    from imatgen_flows.jobs.samples import draw_from_anchors, draw_ours

    sampling = dict.fromkeys(("slerp", "random", "around_known"), n)
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
        "around anchors": ours["around_known"],
    }


def judged(model: CrystalGenerator, preset: Preset, samples: Samples) -> dict[str, float]:
    """Shares of valid and of clean samples after so many projections."""
    from imatgen_flows.jobs.candidates import _make

    found = {}
    for passes in PASSES:
        model.compressor.preset = replace(preset, projections=passes)
        _, made = _make(model, samples, {"max_sites": 20, "max_edge": 10.0}, workers=1)
        found[f"valid, {passes} projections"] = sum(bool(record.id) for record in made) / len(made)
        found[f"clean, {passes} projections"] = sum(record.is_clean for record in made) / len(made)
    return found


def likelihood(model: CrystalGenerator, crystals: PackedCrystals, asked: Tensor, rows: Tensor) -> float:
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


def main() -> int:
    """Train what is asked for, measure, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="directory of a run, for its dataset, labels and hull")
    parser.add_argument("directory", type=Path, help="for checkpoints")
    parser.add_argument("--steps", type=int, default=3000, help="of each autoencoder")
    parser.add_argument("--epochs", type=float, default=0.3, help="factor on those of the generator and its prior")
    parser.add_argument("--arms", nargs="+", default=list(AUTOENCODERS), choices=list(AUTOENCODERS))
    parser.add_argument(
        "--samples", type=int, default=300, help="of each sampler, through the last of the arms; 0: none"
    )
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--json", type=Path, help="write the figures here too")
    given = parser.parse_args()
    torch.set_num_threads(1)
    from imatgen_flows.generator.crystal_generator import CrystalGenerator
    from imatgen_flows.generator.fitting import fit_generator, fit_prior
    from imatgen_flows.generator.presets import get_preset
    from imatgen_flows.jobs.models import conditions
    from imatgen_flows.jobs.samples import StartingPoints

    generator = {"holdout": 0.1, "seed": given.seed}
    crystals, seen, rows, energies = dataset_of(given.run, generator)
    table = []

    def add(name: str, figures: dict[str, float]) -> None:
        table.append({"name": name, "figures": {key: round(value, 3) for key, value in figures.items()}})
        print(f"{name:45}", "; ".join(f"{key} {value:.3g}" for key, value in figures.items()), flush=True)

    for name in given.arms:
        folder = given.directory / f"{list(AUTOENCODERS).index(name)}"
        compressor, figures = autoencoder(name, given.steps, given.seed, crystals, seen, folder)
        add(name, figures)
    if given.samples:
        preset = get_preset("default", epochs=given.epochs)
        preset = replace(preset, basis=compressor.preset.basis)
        codes, present = compressor.encode(crystals)
        formation = torch.tensor([torch.nan if value is None else value for value in energies["formation_energy"]])
        stable = torch.where(formation.isnan(), formation, (formation <= 0.5).float())
        asked = conditions(crystals, formation, preset.max_elements)
        vae, _ = fit_generator(codes[seen], present[seen], stable[seen], preset, given.seed, folder / "generator")
        fit_prior(vae, codes[seen], asked[seen], given.seed, folder / "prior")
        model = CrystalGenerator(compressor, vae)
        hidden = torch.ones(len(crystals), dtype=torch.bool)
        hidden[seen] = False
        add("loss of the prior", {
            "training": likelihood(model, crystals, asked, seen),
            "held-out templates": likelihood(model, crystals, asked, hidden.nonzero()[:, 0]),
        })  # fmt: skip
        start = StartingPoints(crystals, model.encode(crystals), rows, energies, seen)
        drawn = samplers(model, start, given.samples, given.seed)
        for name, samples in drawn.items():
            add(name, judged(model, preset, samples))
    if given.json:
        settings = {name: str(value) for name, value in vars(given).items() if name not in ("run", "directory", "json")}
        given.json.write_text(json.dumps({"settings": settings, "rows": table}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())

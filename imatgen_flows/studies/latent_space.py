"""Latent study: the latent space with and without the stability classifier, and the diversity of structures in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from imatgen_flows.studies.latent_classifier import Separation, auc_lead, measure_separation
from imatgen_flows.studies.latent_diversity import Diversity, measure_diversity

if TYPE_CHECKING:
    from pymatgen.core import Structure

    from imatgen_flows.models.crystal_model import CrystalModel
    from imatgen_flows.models.presets import VAESettings
    from imatgen_flows.representation import PackedCrystals

WITH, WITHOUT = "with_classifier", "without_classifier"
SPACES = (WITH, WITHOUT)
ALL, PLANE = "all", "plane"  # all dimensions, and the first two principal components

Array = NDArray[np.float64]


@dataclass(frozen=True)
class LatentDataset:
    """The structures that a model was trained on, with those of its held-out set.

    Attributes
    ----------
    crystals : packed, in the order of the rows
    structures : of the rows
    ids : of the rows
    templates : of the rows; a published phase is a group of its own
    known : whether a row is a published phase
    stable : label of each row; None where the energy is unknown
    seen : rows that the networks saw
    elements : of the system
    stable_below : formation energy up to which a row is stable, eV/atom
    """

    crystals: PackedCrystals
    structures: list[Structure]
    ids: list[str]
    templates: list[str]
    known: list[bool]
    stable: list[bool | None]
    seen: list[int]
    elements: list[str]
    stable_below: float


@dataclass(frozen=True)
class LatentSpace:
    """One latent space of a dataset.

    Attributes
    ----------
    points : (n, latent)
    plane : (n, 2), first two principal components
    explained : shares of the variance along these
    separation : of stable and unstable structures, in all dimensions and in the plane; empty where it cannot be measured
    """

    points: Array
    plane: Array
    explained: list[float]
    separation: dict[str, Separation]


@dataclass(frozen=True)
class LatentStudy:
    """Result of a latent study.

    Attributes
    ----------
    dataset : that was encoded
    spaces : with and without the classifier
    diversity : of the structures
    lead : 95 % interval of the difference of the AUC with the classifier and without; None where it cannot be measured
    note : why the separation cannot be measured; empty where it can
    seed : of folds, draws and shuffling
    """

    dataset: LatentDataset
    spaces: dict[str, LatentSpace]
    diversity: Diversity
    lead: tuple[float, float] | None
    note: str
    seed: int

    def to_dict(self) -> dict[str, Any]:
        """Give plain values, for JSON."""
        dataset, seen = self.dataset, set(self.dataset.seen)
        return {
            "seed": self.seed,
            "stable_below": dataset.stable_below,
            "counts": {
                "training": len(seen),
                "unseen": len(dataset.ids) - len(seen),
                "stable": dataset.stable.count(True),
                "unstable": dataset.stable.count(False),
                "unknown": dataset.stable.count(None),
            },
            "note": self.note,
            "auc_lead": None if self.lead is None else list(self.lead),
            "diversity": {
                "fingerprint_explained": self.diversity.fingerprint_explained,
                "neighbours": self.diversity.neighbours,
                "properties": {
                    "fingerprint": "radial fingerprint, first component",
                    "volume": "volume per atom (Å³)",
                    "fraction": f"atomic fraction of {dataset.elements[-1]}",
                },
            },
            "spaces": {
                name: {
                    "explained": space.explained,
                    "separation": {kind: found.to_dict() for kind, found in space.separation.items()},
                    "diversity": self.diversity.spaces[name].to_dict(),
                    "places": space.plane.tolist(),
                }
                for name, space in self.spaces.items()
            },
            "training": [
                {
                    "id": dataset.ids[row],
                    "formula": structure.composition.reduced_formula,
                    "known": dataset.known[row],
                    "seen": row in seen,
                    "stable": dataset.stable[row],
                }
                | {key: values[row] for key, values in self.diversity.values.items()}
                for row, structure in enumerate(dataset.structures)
            ],
        }


def study_latent(
    model: CrystalModel,
    trained_with: VAESettings,
    dataset: LatentDataset,
    seed: int,
    scratch: Path,
    device: str = "cpu",
) -> LatentStudy:
    """Train the VAE again without the stability classifier, and measure both latent spaces.

    Parameters
    ----------
    model : trained networks
    trained_with : settings of its VAE in training
    dataset : that it was trained on
    seed : of the training, and of all that is measured
    scratch : directory of the checkpoint: an interrupted study continues from it, and a finished training is not repeated
    device : of the training
    """
    latents = encode_both(model, trained_with, dataset, seed, scratch, device)
    note = obstacle(dataset)
    spaces = {name: _measure(points, dataset, seed, not note) for name, points in latents.items()}
    labelled = [row for row in dataset.seen if dataset.stable[row] is not None]
    lead = None
    if not note:
        lead = auc_lead(
            spaces[WITH].separation[ALL].logits,
            spaces[WITHOUT].separation[ALL].logits,
            [bool(dataset.stable[row]) for row in labelled],
            [dataset.templates[row] for row in labelled],
            seed,
        )
    coordinates = {name: {ALL: space.points, PLANE: space.plane} for name, space in spaces.items()}
    diversity = measure_diversity(dataset.structures, dataset.elements, coordinates, dataset.templates, seed)
    return LatentStudy(dataset, spaces, diversity, lead, note, seed)


def encode_both(
    model: CrystalModel,
    trained_with: VAESettings,
    dataset: LatentDataset,
    seed: int,
    scratch: Path,
    device: str = "cpu",
) -> dict[str, Array]:
    """Encode a dataset by the VAE of a model, and by one that is trained alike without the classifier; see `study_latent`."""
    import torch

    from imatgen_flows.models.fitting import fit_vae

    codes, present = model.compressor.encode(dataset.crystals)
    stable = torch.tensor([float("nan") if label is None else float(label) for label in dataset.stable])
    plain = replace(model.compressor.preset, vae=replace(trained_with, classifier_weight=0.0))
    seen = torch.tensor(dataset.seen)
    other, _ = fit_vae(codes[seen], present[seen], stable[seen], plain, seed, scratch, device)
    with torch.no_grad():
        both = {WITH: model.vae.encode(codes), WITHOUT: other.cpu().encode(codes)}
    return {name: latent.double().numpy() for name, latent in both.items()}


def obstacle(dataset: LatentDataset) -> str:
    """Say why the separation of stable and unstable structures cannot be measured; empty where it can."""
    below = f"`labels.stable_below` ({dataset.stable_below:g} eV/atom)"
    for label, name, change in ((True, "stable", "raise"), (False, "unstable", "lower")):
        found = {dataset.templates[row] for row in dataset.seen if dataset.stable[row] is label}
        if len(found) < 2:
            how_many = "only one template gives training structures that are" if found else "no training structure is"
            return f"{how_many} {name}, so that there is nothing to separate: {change} {below} in the campaign."
    return ""


def _measure(points: Array, dataset: LatentDataset, seed: int, separates: bool) -> LatentSpace:
    from imatgen_flows.models.latent_map import principal_components

    components = principal_components(points)
    plane = components.transform(points)
    separation = {}
    if separates:
        labels: Sequence[bool | None] = dataset.stable
        separation = {
            kind: measure_separation(each, labels, dataset.templates, set(dataset.seen), seed)
            for kind, each in ((ALL, points), (PLANE, plane))
        }
    return LatentSpace(points, plane, components.explained, separation)

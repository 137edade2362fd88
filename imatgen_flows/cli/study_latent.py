"""The command `imatgen evaluate latent`: what the classifier does to the latent space, and what neighbours in it share."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from imatgen_flows.cli.evaluate import AsJson, Run, print_table, show_progress
from imatgen_flows.errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from imatgen_flows.config import CampaignConfig
    from imatgen_flows.io.artifacts import ArtifactStore
    from imatgen_flows.jobs.documents import DatasetDocument, ModelDocument

LATENT_FILE = "latent_classifier.json"  # latent.json is the run's own map
SPACES = {"with_classifier": "with the classifier", "without_classifier": "without"}


@dataclass(frozen=True)
class Trained:
    """What the first round of a run learnt, from what.

    Attributes
    ----------
    config, store : the campaign and its artifacts
    dataset, networks : documents; the networks by role
    rows : of the dataset
    stable : label of each row; None where the energy is unknown
    seen : rows that the networks saw
    """

    config: CampaignConfig
    store: ArtifactStore
    dataset: DatasetDocument
    networks: dict[str, ModelDocument]
    rows: list[dict[str, Any]]
    stable: list[bool | None]
    seen: list[int]

    @property
    def groups(self) -> list[str]:
        """Template of each row; a known phase is a group of its own."""
        return [row["template"] or row["id"] for row in self.rows]


def latent(run: Run, as_json: AsJson = False) -> None:
    """How the classifier parts stable from unstable in the latent space, beside one trained without; how structures lie."""
    from imatgen_flows.io.files import write_atomic
    from imatgen_flows.report.figures_latent import draw_latent

    show_progress()
    found = _look(run)
    write_atomic(run / LATENT_FILE, json.dumps(found, indent=1))
    figures = draw_latent(found, run / "figures")
    if as_json:
        typer.echo(json.dumps(found))
        return
    _print_latent(found)
    typer.echo(f"Each structure: {run / LATENT_FILE}; maps: {', '.join(map(str, figures))}")


def _look(run: Path) -> dict[str, Any]:
    """Train the generator again without the classifier, and measure both latent spaces."""
    from pymatgen.core import Structure

    from imatgen_flows.studies.latent_classifier import auc_lead, measure_separation, principal_components
    from imatgen_flows.studies.latent_diversity import measure_diversity

    trained = _open(run)
    seed, groups, seen = trained.config.model.seed, trained.groups, set(trained.seen)
    latents = _latents(trained)
    components = {name: principal_components(points) for name, points in latents.items()}
    spaces = {name: {"all": points, "plane": components[name].transform(points)} for name, points in latents.items()}
    note, lead = _note(trained), None
    parted: dict[str, dict[str, Any]] = {name: {} for name in spaces}
    if not note:
        scores = []
        for name, space in spaces.items():
            for where, points in space.items():
                numbers, found = measure_separation(points, trained.stable, groups, seen, seed)
                parted[name][where] = numbers
                if where == "all":
                    scores.append(found)
        labelled = [row for row in trained.seen if trained.stable[row] is not None]
        stable = [bool(trained.stable[row]) for row in labelled]
        lead = auc_lead(scores[0], scores[1], stable, [groups[row] for row in labelled], seed)
    structures = [Structure.from_dict(row["structure"]) for row in trained.rows]
    diversity = measure_diversity(structures, trained.config.system, spaces, groups, seed)
    values, measured = diversity.pop("values"), diversity.pop("spaces")
    return {
        "preset": trained.networks["generator"].preset,
        "epochs": trained.networks["generator"].epochs,
        "seed": seed,
        "stable_below": trained.config.labels.stable_below,
        "counts": {
            "training": len(trained.seen),
            "unseen": len(trained.rows) - len(trained.seen),
            "stable": trained.stable.count(True),
            "unstable": trained.stable.count(False),
            "unknown": trained.stable.count(None),
        },
        "note": note,
        "auc_lead": lead,
        "diversity": diversity | {"properties": _properties(trained.config.system[-1])},
        "spaces": {
            name: {
                "explained": components[name].explained,
                "separation": parted[name],
                "diversity": measured[name],
                "places": spaces[name]["plane"].tolist(),
            }
            for name in SPACES
        },
        "training": [
            {
                "id": row["id"],
                "formula": row["formula"],
                "known": row["known"],
                "seen": number in seen,
                "stable": stable,
            }
            | {key: value[number] for key, value in values.items()}
            for number, (row, stable) in enumerate(zip(trained.rows, trained.stable, strict=True))
        ],
    }


def _properties(element: str) -> dict[str, str]:
    """Name what structures are told apart by."""
    return {
        "fingerprint": "radial fingerprint, first component",
        "volume": "volume per atom (Å³)",
        "fraction": f"atomic fraction of {element}",
    }


def _open(run: Path) -> Trained:
    """Read what the first round was made of: later ones go on from its networks, and cannot be trained anew."""
    from imatgen_flows.config import CampaignConfig
    from imatgen_flows.io.artifacts import ArtifactStore, read_lines
    from imatgen_flows.jobs.documents import DatasetDocument, LabelDocument
    from imatgen_flows.jobs.model_files import networks_of
    from imatgen_flows.jobs.models import training_rows
    from imatgen_flows.jobs.provenance import finished_round, first_round, parent
    from imatgen_flows.report.run_directory import RunDirectory

    directory = RunDirectory.open(run)
    config = CampaignConfig.from_file(run / "campaign.yaml")
    if config.start.model is not None:
        raise InputError(
            f"{run}: its networks began as those of {config.start.model}, which had learnt with a classifier, so that none "
            "without it can be trained beside them. Run the campaign without `start.model`."
        )
    store = ArtifactStore(run / "artifacts")
    first = first_round(store, finished_round(store, directory.ledger))
    dataset = parent(store, first, DatasetDocument, "build_dataset")
    labels = parent(store, first, LabelDocument, "label_dataset")
    return Trained(
        config=config,
        store=store,
        dataset=dataset,
        networks=networks_of(store, first),
        rows=read_lines(dataset.crystals),
        stable=[row["stable"] for row in read_lines(labels.labels)],
        seen=training_rows(dataset, config.model.model_dump(mode="json")).tolist(),
    )


def _latents(trained: Trained) -> dict[str, np.ndarray]:
    """Encode the dataset with the run's generator, and with one that was trained in the same way without a classifier.

    Its checkpoint is kept in the run: an interrupted call continues it, and another one finds it finished.
    """
    import torch

    from imatgen_flows.io.artifacts import content_key
    from imatgen_flows.jobs.cached_job import CACHE_KEY_PACKAGES, versions_of
    from imatgen_flows.jobs.models import load_generator, use_device
    from imatgen_flows.models.fitting import fit_generator
    from imatgen_flows.models.presets import VAESettings
    from imatgen_flows.representation import PackedCrystals

    networks, section = trained.networks, trained.config.model.model_dump(mode="json")
    model = load_generator(trained.dataset, networks["cell"], networks["basis"], networks["generator"], section)
    codes, present = model.compressor.encode(PackedCrystals.load(trained.dataset.packed.path()))
    stable = torch.tensor([float("nan") if label is None else float(label) for label in trained.stable])
    # the settings that the run's own network was trained with, which the preset may have changed since
    settings = VAESettings(**networks["generator"].settings | {"classifier_weight": 0.0})
    plain = replace(model.compressor.preset, generator=settings)
    key = content_key(asdict(settings), networks["generator"].key, versions_of(CACHE_KEY_PACKAGES))
    scratch, seen, device = trained.store.scratch(f"latent-{key}"), torch.tensor(trained.seen), use_device()
    other, _ = fit_generator(codes[seen], present[seen], stable[seen], plain, section["seed"], scratch, device)
    with torch.no_grad():
        both = (model.vae.encode(codes), other.cpu().encode(codes))
    return {name: latent.double().numpy() for name, latent in zip(SPACES, both, strict=True)}


def _note(trained: Trained) -> str:
    """Say why nothing can be said of how stable and unstable part, where that is so."""
    below = f"`labels.stable_below` ({trained.config.labels.stable_below:g} eV/atom)"
    for label, name, change in ((True, "stable", "raise"), (False, "unstable", "lower")):
        found = {trained.groups[row] for row in trained.seen if trained.stable[row] is label}
        if len(found) < 2:
            how_many = "only one template gives training structures that are" if found else "no training structure is"
            return f"{how_many} {name}, so that there is nothing to part: {change} {below} in the campaign."
    return ""


def _print_latent(found: dict[str, Any]) -> None:
    counts, diversity = found["counts"], found["diversity"]
    if found["note"]:
        typer.echo(f"separation: {found['note']}")
    else:
        print_table(
            f"stable ({counts['stable']}) and unstable ({counts['unstable']}) in the latent space; seed {found['seed']}",
            ["generator", "in", "AUC", "balanced accuracy", "silhouette", "AUC, unseen templates"],
            [
                [title, where, *_numbers(part, "auc", "balanced_accuracy", "silhouette"), _unseen(part["unseen"])]
                for name, title in SPACES.items()
                for where, part in zip(
                    ("all dimensions", "two components"), found["spaces"][name]["separation"].values(), strict=True
                )
            ],
        )
        low, high = found["auc_lead"]
        typer.echo(
            "AUC and accuracy: logistic regression on the vectors, whole templates left out. The encoder itself has seen the "
            "labels of all but the unseen templates.\n"
            f"Lead of the AUC by the classifier: {low:+.3f} to {high:+.3f} (95 %, bootstrap over templates, one training)."
        )
    spaces = [found["spaces"][name]["diversity"] for name in SPACES]
    rows = [["nearest in structure too", *_shares([space["shared"] for space in spaces])]]
    rows += [
        [what, *_shares([space["explained"][key] for space in spaces])] for key, what in diversity["properties"].items()
    ]
    print_table(
        f"what the {diversity['neighbours']} nearest of other templates share or explain, with and without the classifier, "
        "in all dimensions and in the plane",
        ["", "with", "plane", "without", "plane", "shuffled"],
        rows,
    )


def _numbers(part: dict[str, float], *names: str) -> list[str]:
    return [f"{part[name]:.3f}" for name in names]


def _unseen(part: dict[str, float] | None) -> str:
    return f"{part['auc']:.3f} ({part['structures']:.0f} structures)" if part else ""


def _shares(parts: list[dict[str, float]]) -> list[str]:
    """Give the cells of both spaces; what is shuffled is much the same in both."""
    return [f"{part[which]:.0%}" for part in parts for which in ("all", "plane")] + [f"{parts[0]['shuffled']:.0%}"]

"""Energies of the training structures, and places on the hull."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from imatgen_flows.candidates.candidate import Energy
from imatgen_flows.errors import ImatgenError
from imatgen_flows.io.artifacts import ArtifactStore, read_lines
from imatgen_flows.jobs.cached_job import cached_job
from imatgen_flows.jobs.candidates import load_candidates
from imatgen_flows.jobs.documents import CandidatesDocument, DatasetDocument, LabelDocument, ReferenceDocument
from imatgen_flows.jobs.result_cache import single_points_cached

logger = logging.getLogger(__name__)


@cached_job(LabelDocument)
def label_dataset(
    store: ArtifactStore,
    scratch: Path,
    *,
    dataset: DatasetDocument,
    references: ReferenceDocument,
    potential: str,
    stable_below: float,
) -> dict[str, Any]:
    """Give each training structure its unrelaxed formation energy, and the label of the classifier.

    Raises
    ------
    ImatgenError
        Where the potential has an energy for none of them.
    """
    from pymatgen.core import Composition, Structure

    crystals = read_lines(dataset.crystals)
    structures = [Structure.from_dict(row["structure"]) for row in crystals]
    results = single_points_cached(scratch, [row["id"] for row in crystals], structures, potential)
    hull = load_hull(references)
    labels = []
    for row, result in zip(crystals, results, strict=True):
        energy = result["energy_per_atom"]
        label = {"id": row["id"], "energy_per_atom": energy, "formation_energy": None, "stable": None}
        label |= {"reason": result["reason"], "evaluations": result["evaluations"]}
        if energy is not None:
            formation = hull.formation_energy(Composition(row["formula"]), energy)
            label |= {"formation_energy": formation, "stable": formation <= stable_below}
        labels.append(label)
    if all(label["stable"] is None for label in labels):
        raise ImatgenError(
            f"{potential} has an energy for none of {len(labels)} training structures; the first failed with "
            f"`{labels[0]['reason']}`."
        )
    return {
        **_judged(labels, stable_below),
        "potential": potential,
        "labels": store.put_lines("labels", labels),
        "evaluations": {"labels": sum(result["evaluations"] for result in results)},
    }


@cached_job(LabelDocument)
def extend_labels(
    store: ArtifactStore,
    scratch: Path,
    *,
    dataset: DatasetDocument,
    labels: LabelDocument,
    candidates: CandidatesDocument,
    stable_below: float,
) -> dict[str, Any]:
    """Label the structures that a round added to the dataset with the energies that they were relaxed to.

    Nothing is evaluated: the screening, or DFT, has paid for them.
    """
    known = {label["id"]: label for label in read_lines(labels.labels)}
    for record in load_candidates(candidates):
        if record.energies:
            energy = record.energies[0]  # the potential's: labels share its scale, whatever DFT said
            known[f"found:{record.sample}"] = {
                "id": f"found:{record.sample}",
                "energy_per_atom": energy.energy_per_atom,
                "formation_energy": energy.formation_energy,
                "e_above_hull": (record.energies[-1].e_above_hull),
                "stable": energy.formation_energy <= stable_below,
                "reason": "",
                "evaluations": 0,
            }
    rows = [known[row["id"]] for row in read_lines(dataset.crystals)]
    return {**_judged(rows, stable_below), "potential": labels.potential, "labels": store.put_lines("labels", rows)}


def _judged(labels: list[dict[str, Any]], stable_below: float) -> dict[str, Any]:
    """Count labels, and note where they teach nothing."""
    known = [label for label in labels if label["stable"] is not None]
    stable = sum(label["stable"] for label in known)
    if note := one_class(known, stable_below):
        logger.warning("%s", note)
    return {"counts": {"labelled": len(known), "stable": stable, "failed": len(labels) - len(known)}, "note": note}


def one_class(labels: list[dict[str, Any]], stable_below: float) -> str:
    """Say that a classifier has nothing to learn, where all labels are alike; empty where they are not."""
    stable = sum(label["stable"] for label in labels)
    if 0 < stable < len(labels):
        return ""
    energies = [label["formation_energy"] for label in labels]
    return (
        f"all {len(labels):,} labelled structures are {'stable' if stable else 'unstable'} at `labels.stable_below` "
        f"{stable_below:g} eV/atom: the classifier has nothing to tell apart, and the stability that it gives a sample "
        f"means nothing. Formation energies are {min(energies):.2f} to {max(energies):.2f} eV/atom: a limit between parts "
        "them."
    )


def load_hull(references: ReferenceDocument) -> Any:
    """Read the hull of a reference document."""
    from imatgen_flows.energetics.hull import Hull
    from imatgen_flows.io.artifacts import read_json

    return Hull.from_dict(read_json(references.hull))


def energy_on(hull: Any, composition: Any, energy_per_atom: float, fmax: float, steps: int, note: str = "") -> Energy:
    """Record an energy (eV/atom) with its place on the hull of its scale."""
    return Energy(
        scale=hull.potential,
        energy_per_atom=energy_per_atom,
        formation_energy=hull.formation_energy(composition, energy_per_atom),
        e_above_hull=hull.e_above_hull(composition, energy_per_atom),
        decomposition=hull.decomposition(composition),
        fmax=fmax,
        steps=steps,
        note=note,
    )

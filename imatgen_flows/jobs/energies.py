"""Energies of the training structures, and places on the hull."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from imatgen_flows.artifacts import ArtifactStore, read_lines
from imatgen_flows.jobs.candidates import load_candidates
from imatgen_flows.jobs.pricing import price_named
from imatgen_flows.jobs.stage import stage
from imatgen_flows.schemas import CandidatesDocument, DatasetDocument, Energy, LabelDocument, ReferenceDocument


@stage(LabelDocument)
def label_dataset(
    store: ArtifactStore,
    scratch: Path,
    *,
    dataset: DatasetDocument,
    references: ReferenceDocument,
    potential: str,
    stable_below: float,
) -> dict[str, Any]:
    """Give each training structure its unrelaxed formation energy, and the label of the classifier."""
    from pymatgen.core import Composition, Structure

    crystals = read_lines(dataset.crystals)
    structures = [Structure.from_dict(row["structure"]) for row in crystals]
    results = price_named(scratch, [row["id"] for row in crystals], structures, potential)
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
    known = [label for label in labels if label["stable"] is not None]
    counts = {
        "labelled": len(known),
        "stable": sum(label["stable"] for label in known),
        "failed": len(labels) - len(known),
    }
    return {
        "potential": potential,
        "labels": store.put_lines("labels", labels),
        "counts": counts,
        "evaluations": {"labels": sum(result["evaluations"] for result in results)},
    }


@stage(LabelDocument)
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
    counts = labels.counts | {"labelled": sum(row["stable"] is not None for row in rows)}
    counts["stable"] = sum(bool(row["stable"]) for row in rows)
    return {"potential": labels.potential, "labels": store.put_lines("labels", rows), "counts": counts}


def load_hull(references: ReferenceDocument) -> Any:
    """Read the hull of a reference document."""
    from imatgen_flows.artifacts import read_json
    from imatgen_flows.energetics.hull import Hull

    return Hull.from_dict(read_json(references.hull))


def energy_on(hull: Any, composition: Any, energy_per_atom: float, fmax: float, steps: int, note: str = "") -> Energy:
    """Record an energy (eV/atom) with its place on the hull of its scale."""
    return Energy(
        scale=hull.potential,
        energy_per_atom=energy_per_atom,
        formation_energy=hull.formation_energy(composition, energy_per_atom),
        e_above_hull=hull.distance(composition, energy_per_atom),
        decomposition=hull.decomposition(composition),
        fmax=fmax,
        steps=steps,
        note=note,
    )

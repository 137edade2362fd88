"""The job that labels the training structures with their unrelaxed formation energies."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from imatgen_flows.errors import ImatgenError
from imatgen_flows.io.artifacts import ArtifactStore, read_lines
from imatgen_flows.jobs.cached_job import cached_job
from imatgen_flows.jobs.dataset_rows import structure_of
from imatgen_flows.jobs.documents import DatasetDocument, LabelDocument, ReferenceDocument
from imatgen_flows.jobs.hulls import load_hull
from imatgen_flows.jobs.result_cache import single_points_cached
from imatgen_flows.jobs.search_space import pressure_input
from imatgen_flows.profiles import Profile

logger = logging.getLogger(__name__)


@cached_job(LabelDocument, profile=Profile.GPU_RELAX, label="label dataset")
def label_dataset(
    store: ArtifactStore,
    scratch: Path,
    *,
    dataset: DatasetDocument,
    references: ReferenceDocument,
    potential: str,
    stable_below: float,
    pressure: float = 0.0,
) -> dict[str, Any]:
    """Compute the unrelaxed formation energy of each training structure, and the label of the classifier.

    At a pressure (GPa) it is the formation enthalpy of the structure compressed as a whole, its atoms unrelaxed.

    Raises
    ------
    ImatgenError
        Where the potential has an energy for none of them.
    """
    from pymatgen.core import Composition

    crystals = read_lines(dataset.crystals)
    results = single_points_cached(
        scratch,
        [row["id"] for row in crystals],
        [structure_of(row) for row in crystals],
        potential,
        **pressure_input(pressure),
    )
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
    return label_fields(store, labels, potential, stable_below) | {
        "evaluations": {"labels": sum(label["evaluations"] for label in labels)}
    }


def label_fields(
    store: ArtifactStore, labels: list[dict[str, Any]], potential: str, stable_below: float
) -> dict[str, Any]:
    """Store labels, count them, and note where all are alike; return the fields of their document."""
    known = [label for label in labels if label["stable"] is not None]
    stable = sum(label["stable"] for label in known)
    if note := note_one_class(known, stable_below):
        logger.warning("%s", note)
    return {
        "potential": potential,
        "labels": store.put_lines("labels", labels),
        "counts": {"labelled": len(known), "stable": stable, "failed": len(labels) - len(known)},
        "note": note,
    }


def note_one_class(labels: Sequence[dict[str, Any]], stable_below: float) -> str:
    """Say that the classifier has nothing to learn where all labels are alike; empty where they are not."""
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

"""The jobs between two rounds: what one round relaxed joins the dataset and the labels of the next."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from imatgen_flows.candidates.classes import Novelty
from imatgen_flows.config import Limits
from imatgen_flows.crystals.box import BOX
from imatgen_flows.io.artifacts import ArtifactStore, read_lines
from imatgen_flows.jobs.cached_job import cached_job
from imatgen_flows.jobs.candidate_records import load_candidates
from imatgen_flows.jobs.dataset_rows import crystal_row, put_packed, structure_of
from imatgen_flows.jobs.documents import CandidatesDocument, DatasetDocument, LabelDocument
from imatgen_flows.jobs.label_dataset import label_fields
from imatgen_flows.profiles import Profile


@cached_job(DatasetDocument, profile=Profile.LIGHT, label="extend dataset")
def extend_dataset(
    store: ArtifactStore,
    scratch: Path,
    *,
    dataset: DatasetDocument,
    candidates: CandidatesDocument,
    limits: dict[str, Any],
) -> dict[str, Any]:
    """Add the new structures that a round relaxed to the training structures of the next.

    All that was relaxed counts as found from now on, as DFT left it where it was validated. Those of them that are new and
    still fit the images are trained on.
    """
    relaxed = [record for record in load_candidates(candidates) if record.relaxed is not None]
    found = [{"id": find_id(record.sample), "structure": record.validated or record.relaxed} for record in relaxed]
    rows, exclusions = read_lines(dataset.crystals), read_lines(dataset.exclusions)
    max_edge = Limits.model_validate(limits).max_edge
    for record, item in zip(relaxed, found, strict=True):
        name, structure = find_id(record.sample), structure_of(item)
        if record.novelty != Novelty.NEW.value:
            exclusions.append({"id": name, "reason": record.novelty, "detail": record.novelty_match})
        elif not _fits(structure, max_edge):
            detail = f"edges {', '.join(f'{edge:.1f}' for edge in structure.lattice.abc)} A"
            exclusions.append({"id": name, "reason": "edge_too_long", "detail": detail})
        else:
            rows.append(crystal_row(name, structure, template=name) | {"round_find": True})
    finds = sum(row.get("round_find", False) for row in rows)
    return {
        "elements": dataset.elements,
        "crystals": store.put_lines("crystals", rows),
        "packed": put_packed(store, rows, dataset.elements),
        "exclusions": store.put_lines("exclusions", exclusions),
        "held_out": dataset.held_out,
        "found": store.put_lines("found", (read_lines(dataset.found) if dataset.found else []) + found),
        "counts": dataset.counts | {"round finds": finds, "kept": len(rows)},
    }


@cached_job(LabelDocument, profile=Profile.LIGHT, label="extend labels")
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
            known[find_id(record.sample)] = {
                "id": find_id(record.sample),
                "energy_per_atom": energy.energy_per_atom,
                "formation_energy": energy.formation_energy,
                "e_above_hull": record.energies[-1].e_above_hull,
                "stable": energy.formation_energy <= stable_below,
                "reason": "",
                "evaluations": 0,
            }
    rows = [known[row["id"]] for row in read_lines(dataset.crystals)]
    return label_fields(store, rows, labels.potential, stable_below)


def find_id(sample: str) -> str:
    """Name the crystal that a sample was relaxed to, as a row of a dataset."""
    return f"found:{sample}"


def _fits(structure: Any, max_edge: float) -> bool:
    from imatgen_flows.crystals.standard import extent

    return max(structure.lattice.abc) <= max_edge and extent(structure) <= BOX

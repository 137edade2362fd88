"""The jobs between two rounds: what one round relaxed joins the dataset and the labels of the next."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from imatgen_flows.candidates.classes import Novelty
from imatgen_flows.candidates.states import Geometry
from imatgen_flows.config import Limits
from imatgen_flows.crystals.box import BOX
from imatgen_flows.io.artifacts import ArtifactStore, read_lines
from imatgen_flows.jobs.cached_job import cached_job
from imatgen_flows.jobs.candidate_table import candidate_rows, candidate_structures
from imatgen_flows.jobs.dataset_rows import crystal_row, put_packed
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
    table = candidates.candidates
    latest = candidate_structures(table, Geometry.RELAXED) | candidate_structures(table, Geometry.VALIDATED)
    relaxed = candidate_rows(table, ["novelty", "novelty_match", "energy_per_atom"], latest)
    found = [
        {
            "id": find_id(str(row["sample"])),
            "structure": latest[str(row["sample"])].as_dict(),
            "energy_per_atom": row["energy_per_atom"],
        }
        for row in relaxed
    ]
    rows, exclusions = read_lines(dataset.crystals), read_lines(dataset.exclusions)
    max_edge = Limits.model_validate(limits).max_edge
    for row in relaxed:
        name, structure = find_id(str(row["sample"])), latest[str(row["sample"])]
        excluded = {"section": "rounds", "id": name}
        if row["novelty"] != Novelty.NEW:
            exclusions.append(excluded | {"reason": row["novelty"], "detail": row["novelty_match"]})
        elif not _fits(structure, max_edge):
            detail = f"edges {', '.join(f'{edge:.1f}' for edge in structure.lattice.abc)} A"
            exclusions.append(excluded | {"reason": "edge_too_long", "detail": detail})
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
    # energies of the potential, whose scale the labels share, whatever DFT said; but DFT's place on the hull, if there is one
    columns = ("energy_per_atom", "formation_energy", "e_above_hull", "validated_e_above_hull")
    for row in candidate_rows(candidates.candidates, columns):
        if row["energy_per_atom"] is not None:
            by_dft = row["validated_e_above_hull"]
            name = find_id(str(row["sample"]))
            known[name] = {
                "id": name,
                "energy_per_atom": row["energy_per_atom"],
                "formation_energy": row["formation_energy"],
                "e_above_hull": row["e_above_hull"] if by_dft is None else by_dft,
                "stable": cast("float", row["formation_energy"]) <= stable_below,
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

"""Screening of structures from elsewhere on a finished run: relaxed as its candidates, on its hull, beside what it knows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from imatgen_flows.candidates.candidate import place_relaxation
from imatgen_flows.candidates.classes import Novelty
from imatgen_flows.candidates.schema import Row
from imatgen_flows.candidates.states import Geometry, State
from imatgen_flows.candidates.table import KEY, join, table_part
from imatgen_flows.config import CampaignConfig
from imatgen_flows.errors import InputError
from imatgen_flows.io.artifacts import ArtifactStore
from imatgen_flows.jobs.build_dataset import build_dataset
from imatgen_flows.jobs.candidate_table import candidate_structures, novelty_classifier
from imatgen_flows.jobs.documents import DatasetDocument, ReferenceDocument
from imatgen_flows.jobs.evaluators import evaluators, hull_of
from imatgen_flows.jobs.extend_dataset import extend_dataset
from imatgen_flows.jobs.provenance import finished_round, parent
from imatgen_flows.jobs.references import extend_hull

if TYPE_CHECKING:
    import pyarrow
    from pymatgen.core import Structure

# columns of the candidate table that a screening fills
COLUMNS = (
    "relaxed_id", "state", "rejected_stage", "rejected_reason", "rejected_detail", "formula", "nsites", "energy_per_atom",
    "formation_energy", "e_above_hull", "decomposition", "scale", "spacegroup", "spacegroup_number", "novelty",
    "novelty_match", "evaluations", "steps", "fmax", "volume_per_atom",
)  # fmt: skip


def screen_structures(run: Path, structures: Sequence[Structure]) -> tuple[pyarrow.Table, list[Structure | None]]:
    """Relax structures and place them on the hull of a run.

    Parameters
    ----------
    run : the directory of a finished run
    structures : of its system

    Returns
    -------
    `COLUMNS` with a row for each structure, and the relaxed structures; None where one is rejected

    Raises
    ------
    InputError
        Where a structure has an element that is not of the system, or the run's energies are of another scale.
    """
    from imatgen_flows.candidates.novelty import classify_relaxed

    config = CampaignConfig.from_file(run / "campaign.yaml")
    store, finished = ArtifactStore(run / "artifacts"), finished_round(run)
    _refuse_foreign(structures, config.system, run)
    references = parent(store, finished, ReferenceDocument, extend_hull)
    dataset = parent(store, finished, DatasetDocument, build_dataset, extend_dataset)
    hull, (relax, _) = hull_of(references, config.screen, run), evaluators(store, config.screen)
    names = [str(number) for number in range(len(structures))]
    relaxations = relax(dict(zip(names, structures, strict=True)))
    classifier = novelty_classifier(dataset, references, candidate_structures(finished.candidates, Geometry.RELAXED))
    rows: list[Row] = []
    relaxed: list[Structure | None] = []
    for name, given in zip(names, structures, strict=True):
        placed, structure = place_relaxation(relaxations[name], hull)
        rows.append({KEY: name, "formula": given.composition.reduced_formula, "nsites": len(given), **placed})
        relaxed.append(structure)
    found = {place: structure for place, structure in enumerate(relaxed) if structure is not None}
    lowest_first = sorted(found, key=lambda place: cast("float", rows[place]["e_above_hull"]))
    labels = [f"structure {place}" for place in lowest_first]
    novelties = classify_relaxed([found[place] for place in lowest_first], labels, classifier)
    for place, novelty in zip(lowest_first, novelties, strict=True):
        row = rows[place]
        row |= novelty
        if novelty["novelty"] == Novelty.NEW and cast("float", row["e_above_hull"]) <= config.screen.threshold:
            row["state"] = State.SHORTLISTED.value
    return join([table_part(rows)], COLUMNS).select(COLUMNS), relaxed


def _refuse_foreign(structures: Sequence[Structure], system: Sequence[str], run: Path) -> None:
    for number, structure in enumerate(structures):
        if foreign := sorted({element.symbol for element in structure.composition} - set(system)):
            raise InputError(
                f"structure {number} ({structure.composition.reduced_formula}) has {', '.join(foreign)}; {run} is a run of "
                f"{'-'.join(system)}."
            )

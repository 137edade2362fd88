"""Screening of structures from elsewhere on a finished run: relaxed as its candidates, on its hull, beside what it knows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imatgen_flows.candidates.candidate import place_relaxation
from imatgen_flows.candidates.classes import Novelty
from imatgen_flows.candidates.states import Geometry, State
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
    from pymatgen.core import Structure


def screen_structures(run: Path, structures: Sequence[Structure]) -> list[dict[str, Any]]:
    """Relax structures and place them on the hull of a run.

    Parameters
    ----------
    run : the directory of a finished run
    structures : of its system

    Returns
    -------
    for each structure columns of the candidate table, and the relaxed `structure`

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
    rows: list[dict[str, Any]] = []
    for name in names:
        placed, structure = place_relaxation(relaxations[name], hull)
        rows.append({**placed, "structure": structure})
    lowest_first = [place for place, row in enumerate(rows) if row["structure"] is not None]
    lowest_first.sort(key=lambda place: rows[place]["e_above_hull"])
    relaxed = [rows[place]["structure"] for place in lowest_first]
    found = classify_relaxed(relaxed, [f"structure {place}" for place in lowest_first], classifier)
    for place, novelty in zip(lowest_first, found, strict=True):
        record = rows[place]
        record |= novelty
        if novelty["novelty"] == Novelty.NEW and record["e_above_hull"] <= config.screen.threshold:
            record["state"] = State.SHORTLISTED.value
    return rows


def _refuse_foreign(structures: Sequence[Structure], system: Sequence[str], run: Path) -> None:
    for number, structure in enumerate(structures):
        if foreign := sorted({element.symbol for element in structure.composition} - set(system)):
            raise InputError(
                f"structure {number} ({structure.composition.reduced_formula}) has {', '.join(foreign)}; {run} is a run of "
                f"{'-'.join(system)}."
            )

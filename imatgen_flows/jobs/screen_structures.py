"""Screening of crystals from elsewhere on a finished run: relaxed as its candidates, on its hull, beside what it knows."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from imatgen_flows.candidates.candidate import place_relaxation
from imatgen_flows.candidates.states import Geometry
from imatgen_flows.candidates.table import count_by, join, table_part
from imatgen_flows.config import CampaignConfig
from imatgen_flows.io.artifacts import ArtifactStore
from imatgen_flows.jobs.build_dataset import build_dataset
from imatgen_flows.jobs.candidate_table import candidate_structures, novelty_classifier
from imatgen_flows.jobs.documents import DatasetDocument, ReferenceDocument
from imatgen_flows.jobs.evaluators import evaluators, hull_of, structure_key
from imatgen_flows.jobs.extend_dataset import extend_dataset
from imatgen_flows.jobs.provenance import finished_round, parent
from imatgen_flows.jobs.references import extend_hull

if TYPE_CHECKING:
    import pyarrow
    from pymatgen.core import Structure

    from imatgen_flows.candidates.ledger import Ledger
    from imatgen_flows.candidates.schema import Row
    from imatgen_flows.crystals.raw_crystal import RawCrystal

# columns of the candidate table that a screening fills
COLUMNS = (
    "id", "relaxed_id", "state", "rejected_stage", "rejected_reason", "rejected_detail", "formula", "nsites",
    "charge_balanced", "energy_per_atom", "formation_energy", "e_above_hull", "decomposition", "scale", "spacegroup",
    "spacegroup_number", "novelty", "novelty_match", "evaluations", "steps", "fmax", "volume_per_atom",
)  # fmt: skip

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Screening:
    """What became of crystals that were screened.

    Attributes
    ----------
    table : `sample` (the id of the crystal) and `COLUMNS`, with a row for each crystal, in order
    structures : the relaxed structures, in the same order; None where a crystal was rejected
    ledger : crystals by state and by reason, which add up to those that were given, and the evaluations spent
    """

    table: pyarrow.Table
    structures: list[Structure | None]
    ledger: Ledger


def screen_structures(run: Path, crystals: Sequence[RawCrystal], cache: ArtifactStore) -> Screening:
    """Relax crystals, place them on the hull of a run, and class their novelty as the run does.

    Parameters
    ----------
    run : the directory of a finished run; it is read only
    crystals : each with an id of its own; what cannot be relaxed is rejected with the reason
    cache : where each relaxation is written when it ends, and found again by the structure itself

    Raises
    ------
    InputError
        Where the run's energies are of another scale than that of the potential that is installed.
    """
    from imatgen_flows.candidates.given import examine_given
    from imatgen_flows.candidates.novelty import shortlist_relaxed

    config = CampaignConfig.from_file(run / "campaign.yaml")
    store, finished = ArtifactStore(run / "artifacts"), finished_round(run)
    references = parent(store, finished, ReferenceDocument, extend_hull)
    dataset = parent(store, finished, DatasetDocument, build_dataset, extend_dataset)
    pressure = config.search.pressure
    hull, (relax, _) = (
        hull_of(references, config.screen, run, pressure),
        evaluators(cache, config.screen, pressure),
    )
    rows: dict[str, Row] = {}
    valid: dict[str, Structure] = {}
    for raw in crystals:
        rows[raw.id], structure = examine_given(raw, config.system, config.validity.charge)
        if structure is not None:
            valid[raw.id] = structure
    logger.info("crystals to relax: %d of %d", len(valid), len(crystals))
    relaxed: dict[str, Structure] = {}
    spent: dict[str, int] = {}  # by structure: a repeated one is relaxed once
    for name, relaxation in relax(valid).items():
        placed, structure = place_relaxation(relaxation, hull)
        rows[name] |= placed
        spent[structure_key(valid[name])] = relaxation.evaluations
        if structure is not None:
            relaxed[name] = structure
    classifier = novelty_classifier(dataset, references, candidate_structures(finished.candidates, Geometry.RELAXED))
    shortlist_relaxed(rows, relaxed, {name: name for name in relaxed}, classifier, config.screen.threshold)
    table = join([table_part(list(rows.values()), COLUMNS)], COLUMNS)
    return Screening(table, [relaxed.get(raw.id) for raw in crystals], _ledger(table, len(crystals), spent))


def _ledger(table: pyarrow.Table, entered: int, spent: dict[str, int]) -> Ledger:
    """Count every crystal that entered into its one state."""
    from imatgen_flows.candidates.ledger import Ledger

    ledger = Ledger(samples=entered)
    for (state, stage, reason), number in count_by(table, "state", "rejected_stage", "rejected_reason").items():
        ledger.count(state, stage, reason, number)
    ledger.spend("screen", sum(spent.values()))
    ledger.check()
    return ledger

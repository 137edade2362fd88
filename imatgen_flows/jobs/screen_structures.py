"""Screening of crystals from elsewhere: relaxed as the candidates of a run, on a hull, beside what is known."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imatgen_flows.candidates.candidate import place_relaxation
from imatgen_flows.candidates.classes import Novelty
from imatgen_flows.candidates.states import State
from imatgen_flows.candidates.table import count_by, join, table_part
from imatgen_flows.io.artifacts import ArtifactStore
from imatgen_flows.jobs.comparison import Comparison, ComparisonSource
from imatgen_flows.jobs.evaluators import evaluators, structure_key

if TYPE_CHECKING:
    import pyarrow
    from pymatgen.core import Structure

    from imatgen_flows.candidates.ledger import Ledger
    from imatgen_flows.candidates.novelty import NoveltyClassifier
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
    comparison : what they were compared with
    """

    table: pyarrow.Table
    structures: list[Structure | None]
    ledger: Ledger
    comparison: Comparison


def screen_structures(source: ComparisonSource, crystals: Sequence[RawCrystal], cache: ArtifactStore) -> Screening:
    """Relax crystals, place them on a hull, and class their novelty.

    Parameters
    ----------
    source : of the hull, the settings and what is not new
    crystals : each with an id of its own; what cannot be relaxed is rejected with the reason
    cache : where each relaxation is written when it ends, and found again by the structure itself

    Raises
    ------
    ImatgenError
        Where there is no hull; see `ComparisonSource.load`.
    """
    from imatgen_flows.candidates.given import examine_given
    from imatgen_flows.candidates.novelty import shortlist_relaxed

    comparison = source.load(cache)
    relax, _ = evaluators(cache, comparison.screen, comparison.pressure)
    rows: dict[str, Row] = {}
    valid: dict[str, Structure] = {}
    for raw in crystals:
        rows[raw.id], structure = examine_given(raw, comparison.system, comparison.validity.charge)
        if structure is not None:
            valid[raw.id] = structure
    logger.info("crystals to relax: %d of %d", len(valid), len(crystals))
    relaxed: dict[str, Structure] = {}
    spent: dict[str, int] = {}  # by structure: a repeated one is relaxed once
    for name, relaxation in relax(valid).items():
        placed, structure = place_relaxation(relaxation, comparison.hull)
        rows[name] |= placed
        spent[structure_key(valid[name])] = relaxation.evaluations
        if structure is not None:
            relaxed[name] = structure
    threshold = comparison.screen.threshold
    shortlist_relaxed(rows, relaxed, {name: name for name in relaxed}, comparison.classifier, threshold)
    _take_back_known(rows, {name: valid[name] for name in relaxed}, comparison.classifier)
    table = join([table_part(list(rows.values()), COLUMNS)], COLUMNS)
    ledger = _ledger(table, len(crystals), {**comparison.evaluations, "screen": sum(spent.values())})
    return Screening(table, [relaxed.get(raw.id) for raw in crystals], ledger, comparison)


def _take_back_known(rows: Mapping[str, Row], given: Mapping[str, Structure], classifier: NoveltyClassifier) -> None:
    """Class what was known or substituted before it was relaxed as such, wherever it relaxed to, as a campaign does."""
    for name, (novelty, match, _) in zip(given, classifier.classify_all(list(given.values())), strict=True):
        row = rows[name]
        if novelty != Novelty.NEW and row["novelty"] == Novelty.NEW.value:
            row |= {"novelty": novelty.value, "novelty_match": match, "state": State.SCREENED.value}


def _ledger(table: pyarrow.Table, entered: int, evaluations: Mapping[str, int]) -> Ledger:
    """Count every crystal that entered into its one state, and the evaluations by purpose."""
    from imatgen_flows.candidates.ledger import Ledger

    ledger = Ledger(samples=entered)
    for (state, stage, reason), number in count_by(table, "state", "rejected_stage", "rejected_reason").items():
        ledger.count(state, stage, reason, number)
    for purpose, number in evaluations.items():
        ledger.spend(purpose, number)
    ledger.check()
    return ledger

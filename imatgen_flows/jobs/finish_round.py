"""The job at the end of a round: the ledger, checked, and the tables of the run directory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from imatgen_flows.candidates.candidate import Candidate
from imatgen_flows.candidates.classes import Novelty
from imatgen_flows.candidates.states import State
from imatgen_flows.io.artifacts import ArtifactStore, read_json, read_lines
from imatgen_flows.jobs.cached_job import cached_job
from imatgen_flows.jobs.candidate_records import load_candidates
from imatgen_flows.jobs.documents import (
    CampaignData,
    CandidatesDocument,
    JobDocument,
    ModelDocument,
    ReconstructionDocument,
    RoundDocument,
)
from imatgen_flows.jobs.round_tables import hull_table, metrics_table
from imatgen_flows.profiles import Profile

if TYPE_CHECKING:
    from imatgen_flows.candidates.ledger import Ledger, LedgerTable


@cached_job(RoundDocument, profile=Profile.LIGHT, label="finish round")
def finish_round(
    store: ArtifactStore,
    scratch: Path,
    *,
    samples: int,
    data: CampaignData,
    models: list[ModelDocument],
    reconstruction: ReconstructionDocument,
    candidates: CandidatesDocument,
    previous: RoundDocument | None = None,
) -> dict[str, Any]:
    """Check the ledger of this round and of all so far, and collect what the run directory shows.

    Labels and references are paid for in the first round; `previous` holds what the rounds before this one came to.
    """
    from imatgen_flows.candidates.ledger import Ledger

    records, labels = load_candidates(candidates), data["labels"]
    number = previous.round + 1 if previous else 0
    once: list[JobDocument | None] = [data["dataset"], data["published"], labels, data["references"]]
    once = [] if previous else [*once, data.get("calculated")]
    ledger = _ledger(records, samples, [*models, reconstruction, candidates, *once])
    ledger.check(evaluations=_evaluations_on_record(records, data, is_first=previous is None))
    gain = _gain(records, number, ledger)
    history, rows = [], [record.model_dump(mode="json") for record in records]
    if previous:
        history = read_json(previous.tables["rounds"])["rounds"]
        rows = read_lines(previous.candidates) + rows
        ledger = Ledger.from_dict(cast("LedgerTable", previous.ledger)).merge(ledger)
        ledger.check(total=sum(row["evaluations"] for row in (*history, gain)))
        records = [Candidate(**row) for row in rows]
    exclusions = read_lines(data["dataset"].exclusions)
    tables: dict[str, Any] = {
        "metrics": metrics_table(models, reconstruction, records) | {"notes": [labels.note] if labels.note else []},
        "hull": hull_table(data["references"]),
        "dataset": {"counts": data["dataset"].counts, "labels": labels.counts, "exclusions": exclusions},
        "rounds": {"rounds": [*history, gain]},
    }
    return {
        "round": number,
        "candidates": store.put_lines("candidates", rows),
        "ledger": ledger.to_dict(),
        "tables": {name: store.put_json(name, table) for name, table in tables.items()}
        | {"latent": candidates.extra["latent_map"]},
        "seed": candidates.seed,
    }


def _ledger(records: list[Candidate], samples: int, documents: list[JobDocument | None]) -> Ledger:
    """Count every sample into its one state, and every evaluation to its purpose as the jobs report it."""
    from imatgen_flows.candidates.ledger import Ledger

    ledger = Ledger(samples=samples)
    for record in records:
        rejection = record.rejection
        ledger.count(record.state.value, *((rejection.stage.value, rejection.reason) if rejection else ()))
    for document in documents:
        for purpose, number in document.evaluations.items() if document else ():
            ledger.spend(purpose, number)
    return ledger


def _gain(records: list[Candidate], number: int, ledger: Ledger) -> dict[str, Any]:
    """Count what a round has brought, and what it cost."""
    relaxed = [record for record in records if record.energies]
    # the potential's: DFT's are on another scale, and only a few have them
    distances = sorted(record.energies[0].e_above_hull for record in relaxed if record.novelty == Novelty.NEW)
    return {
        "round": number,
        "samples": len(records),
        "relaxed": len(relaxed),
        "new": len(distances),
        "shortlisted": sum(record.state in (State.SHORTLISTED, State.VALIDATED) for record in records),
        "within_0.1": sum(distance <= 0.1 for distance in distances),
        "best_e_above_hull": distances[0] if distances else None,
        "evaluations": ledger.evaluations.total(),
    }


def _evaluations_on_record(records: list[Candidate], data: CampaignData, is_first: bool) -> dict[str, int]:
    """Count the evaluations a second time, from the records of what they were spent on."""
    counted = {
        "screen": sum(record.evaluations for record in records),
        "validate": sum(record.validation_evaluations for record in records),
    }
    if is_first:
        counted["labels"] = sum(row["evaluations"] for row in read_lines(data["labels"].labels))
        counted["references"] = sum(row["evaluations"] for row in read_lines(data["references"].phases))
        if calculated := data.get("calculated"):
            counted["validate references"] = sum(row["evaluations"] for row in read_lines(calculated.phases))
    return counted

"""The job at the end of a round: the ledger, checked, and the tables of the run directory."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from imatgen_flows.candidates.classes import Novelty
from imatgen_flows.candidates.ledger import SPENT
from imatgen_flows.candidates.states import State
from imatgen_flows.candidates.table import count_by
from imatgen_flows.io.artifacts import ArtifactStore, read_json, read_lines
from imatgen_flows.jobs.cached_job import cached_job
from imatgen_flows.jobs.candidate_table import read_candidates
from imatgen_flows.jobs.documents import (
    CampaignData,
    CandidatesDocument,
    JobDocument,
    ModelDocument,
    ReconstructionDocument,
    RoundDocument,
)
from imatgen_flows.jobs.round_tables import committee_table, hull_table, metrics_table, phonons_table
from imatgen_flows.profiles import Profile
from imatgen_flows.sources.registry import GENERATOR

if TYPE_CHECKING:
    import pyarrow

    from imatgen_flows.candidates.ledger import Ledger, LedgerTable

# columns that a ledger and the gain of a round are counted from
COUNTED = (
    "source", "sampler", "state", "rejected_stage", "rejected_reason", "clean", "novelty", "e_above_hull", *SPENT,
    "elsewhere",
)  # fmt: skip


@cached_job(RoundDocument, profile=Profile.LIGHT, label="finish round")
def finish_round(
    store: ArtifactStore,
    scratch: Path,
    *,
    samples: int,
    data: CampaignData,
    models: list[ModelDocument],
    reconstruction: ReconstructionDocument | None,
    candidates: CandidatesDocument,
    previous: RoundDocument | None = None,
) -> dict[str, Any]:
    """Check the ledger of this round and of all so far, and collect what the run directory shows.

    Labels and references are paid for in the first round; `previous` holds what the rounds before this one came to.
    """
    from imatgen_flows.candidates.ledger import Ledger

    drawn, labels = read_candidates(candidates.candidates, COUNTED), data["labels"]
    number = previous.round + 1 if previous else 0
    once: list[JobDocument | None] = [data["dataset"], data["published"], labels, data["references"]]
    once = [] if previous else [*once, data.get("calculated")]
    allocation = read_json(candidates.extra["allocation"])
    ledger = _ledger(drawn, _made(samples, allocation), [*models, reconstruction, candidates, *once])
    ledger.check(evaluations=_evaluations_on_record(drawn, data, candidates, is_first=previous is None))
    gain = _gain(drawn, number, ledger)
    history, table = [], candidates.candidates
    if previous:
        history = read_json(previous.tables["rounds"])["rounds"]
        allocation = read_json(previous.tables["allocation"])["batches"] + allocation
        table = previous.candidates + table
        ledger = Ledger.from_dict(cast("LedgerTable", previous.ledger)).merge(ledger)
        ledger.check(total=sum(row["evaluations"] for row in (*history, gain)))
        drawn = read_candidates(table, COUNTED)
    exclusions = read_lines(data["dataset"].exclusions)
    tables: dict[str, Any] = {
        "metrics": metrics_table(models, reconstruction, drawn) | {"notes": _notes(data, drawn)},
        "hull": hull_table(data["references"]),
        "dataset": {"counts": data["dataset"].counts, "labels": labels.counts, "exclusions": exclusions},
        "rounds": {"rounds": [*history, gain]},
        "allocation": {"batches": allocation},
    }
    if "committee" in candidates.extra:
        tables["committee"] = committee_table(candidates, previous)
    if "phonons" in candidates.extra:
        tables["phonons"] = phonons_table(candidates, previous)
    latent_map = candidates.extra.get("latent_map")  # none where the generator is no source
    return {
        "round": number,
        "candidates": table,
        "ledger": ledger.to_dict(),
        "tables": {name: store.put_json(name, table) for name, table in tables.items()}
        | {"latent": latent_map or store.put_json("latent-map", {"explained": [], "training": []})},
        "seed": candidates.seed,
    }


def _notes(data: CampaignData, drawn: pyarrow.Table) -> list[str]:
    """Collect what a reader of the report should know of the data that a round started from, and of silent providers."""
    import pyarrow.compute as pc

    from imatgen_flows.candidates.known_words import silent_providers

    calculated = data.get("calculated")
    notes = [data["labels"].note]
    if calculated and calculated.database:
        notes.append(
            f"The hull of the validation holds {calculated.counts['phases']:,} energies that were read and not computed: "
            f"{calculated.database}, on the scale {calculated.potential}."
        )
    asked = drawn.filter(pc.greater(pc.list_value_length(drawn["elsewhere"]), 0))["elsewhere"].to_pylist()
    for provider, number in silent_providers(asked).items():
        notes.append(f"`{provider}` has not answered about {number:,} candidates: what it holds of them is not known.")
    return [note for note in notes if note]


def _made(samples: int, allocation: list[dict[str, Any]]) -> dict[str, int]:
    """Count the candidates that each source made, as it reports them: the generator's samples, and the proposals."""
    made = Counter({GENERATOR: samples})
    for row in allocation:
        made[row["source"]] += row["made"]
    return {source: number for source, number in made.items() if number or source != GENERATOR}


def _ledger(drawn: pyarrow.Table, made: dict[str, int], documents: list[JobDocument | None]) -> Ledger:
    """Count every sample into its one state, and every evaluation to its purpose as the jobs report it."""
    from imatgen_flows.candidates.ledger import Ledger

    ledger = Ledger(samples=sum(made.values()))
    ledger.sources = {source: Ledger(samples=number) for source, number in made.items()}
    for (source, state, stage, reason), count in count_by(
        drawn, "source", "state", "rejected_stage", "rejected_reason"
    ).items():
        ledger.count(state, stage, reason, count)
        ledger.sources[source or GENERATOR].count(state, stage, reason, count)
    spent_on = [(column, "sum") for column in SPENT]
    for row in drawn.group_by("source").aggregate(spent_on).to_pylist():
        of_source = ledger.sources[row["source"] or GENERATOR]  # a run from before there were others names none
        for column, purpose in SPENT.items():
            if row[f"{column}_sum"] or column == "evaluations":
                of_source.spend(purpose, row[f"{column}_sum"])
    for document in documents:
        for purpose, number in document.evaluations.items() if document else ():
            ledger.spend(purpose, number)
    return ledger


def _gain(drawn: pyarrow.Table, number: int, ledger: Ledger) -> dict[str, Any]:
    """Count what a round has brought, and what it cost."""
    import pyarrow.compute as pc

    # the potential's distances: DFT's are on another scale, and only a few have them
    relaxed = drawn.filter(pc.is_valid(drawn["e_above_hull"]))
    distances = sorted(relaxed.filter(pc.equal(relaxed["novelty"], Novelty.NEW.value))["e_above_hull"].to_pylist())
    states = Counter(drawn["state"].to_pylist())
    return {
        "round": number,
        "samples": len(drawn),
        "relaxed": len(relaxed),
        "new": len(distances),
        "shortlisted": states[State.SHORTLISTED.value] + states[State.VALIDATED.value],
        "within_0.1": sum(distance <= 0.1 for distance in distances),
        "best_e_above_hull": distances[0] if distances else None,
        "evaluations": ledger.evaluations.total(),
    }


def _evaluations_on_record(
    drawn: pyarrow.Table, data: CampaignData, candidates: CandidatesDocument, is_first: bool
) -> dict[str, int]:
    """Count the evaluations a second time, from the records of what they were spent on."""
    counted = {purpose: sum(drawn[column].to_pylist()) for column, purpose in SPENT.items()}
    if is_first:
        counted["labels"] = sum(row["evaluations"] for row in read_lines(data["labels"].labels))
        counted["references"] = sum(row["evaluations"] for row in read_lines(data["references"].phases))
        if calculated := data.get("calculated"):
            counted["validate references"] = sum(row["evaluations"] for row in read_lines(calculated.phases))
        if committee := candidates.extra.get("committee"):
            counted["committee references"] = sum(row["evaluations"] for row in read_json(committee)["members"])
    return counted

"""The jobs of the committee: each potential relaxes references and shortlist, and places the shortlist on its own hull."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from imatgen_flows.candidates.states import Geometry, State
from imatgen_flows.errors import ImatgenError
from imatgen_flows.io.artifacts import ArtifactStore, read_json, read_lines
from imatgen_flows.jobs.cached_job import cached_job, potential_versions
from imatgen_flows.jobs.candidate_table import (
    candidate_rows,
    candidate_structures,
    candidates_fields,
    extend_table,
    samples_in,
)
from imatgen_flows.jobs.dataset_rows import structure_of
from imatgen_flows.jobs.documents import (
    BatchDocument,
    CandidatesDocument,
    MemberDocument,
    MemberDocuments,
    ReferenceDocument,
    RelaxInputs,
)
from imatgen_flows.jobs.references import build_hull
from imatgen_flows.jobs.result_cache import names_of_crystals, relax_cached, relaxation_of, shared_scratch
from imatgen_flows.profiles import Profile

if TYPE_CHECKING:
    from pymatgen.core import Structure

    from imatgen_flows.candidates.committee import Vote
    from imatgen_flows.energetics.hull import Hull

logger = logging.getLogger(__name__)

RELAXATION = ("state", "reason", "energy_per_atom", "fmax", "steps", "evaluations")  # of a row of a reference phase


@cached_job(MemberDocument, profile=Profile.GPU_RELAX, label="references by {member}")
def relax_member_references(
    store: ArtifactStore, scratch: Path, *, member: str, references: ReferenceDocument, relax: RelaxInputs
) -> dict[str, Any]:
    """Relax the phases of the hull with another potential, from where the first one left them.

    A potential that does not know one of the elements, or fails for all phases, has no hull, and loses its votes.
    """
    phases = [row for row in read_lines(references.phases) if row["state"] == "relaxed"]
    results = relax_cached(
        scratch,
        [row["name"] for row in phases],
        [structure_of(row) for row in phases],
        RelaxInputs(**relax | {"potential": member}),
        fixed_cell=[row["molecule"] for row in phases],
    )
    rows = [
        row | {name: result[name] for name in RELAXATION} | {"structure": result["structure"] or row["structure"]}
        for row, result in zip(phases, results, strict=True)
    ]
    failed = [row["name"] for row in rows if row["state"] != "relaxed"]
    note, hull = f"without {', '.join(failed)}, which did not relax" if failed else "", None
    try:
        hull = store.put_json("hull", build_hull(rows, member, relax.get("pressure", 0.0)).to_dict())
    except ImatgenError as error:
        note = f"it has no hull: {error}"
    if note:
        logger.warning("%s: %s", member, note)
    return {
        "potential": member,
        "hull": hull,
        "phases": store.put_lines("phases", rows),
        "counts": {"relaxed": len(rows) - len(failed), "failed": len(failed)},
        "note": note,
        "evaluations": {"committee references": sum(row["evaluations"] for row in rows)},
    }


@cached_job(BatchDocument, profile=Profile.GPU_RELAX, label="shortlist by {member}")
def relax_member_shortlist(
    store: ArtifactStore,
    scratch: Path,
    *,
    member: str,
    candidates: CandidatesDocument,
    references: MemberDocument,
    at_most: int,
    relax: RelaxInputs,
) -> dict[str, Any]:
    """Relax the lowest candidates of the shortlist with another potential, from where the first one left them.

    The results lie in a folder of the run, as those of phonons do: none is computed twice.
    """
    samples = lowest_shortlisted(candidates, at_most) if references.hull else []
    structures = candidate_structures(candidates.candidates, Geometry.RELAXED, samples)
    inputs = RelaxInputs(**relax | {"potential": member})
    relaxed_before = shared_scratch(store, "committee", inputs, potential_versions(member))
    names = names_of_crystals({sample: structures[sample] for sample in samples})
    results = relax_cached(relaxed_before, list(names.values()), [structures[sample] for sample in samples], inputs)
    rows = [{"sample": sample} | result for sample, result in zip(samples, results, strict=True)]
    relaxed = sum(row["state"] == "relaxed" for row in rows)
    return {
        "relaxations": store.put_lines("relaxations", rows),
        "counts": {"relaxed": relaxed, "failed": len(rows) - relaxed},
        "evaluations": {"committee": sum(row["evaluations"] for row in rows)},
    }


@cached_job(CandidatesDocument, profile=Profile.LIGHT, label="take votes")
def take_votes(
    store: ArtifactStore,
    scratch: Path,
    *,
    candidates: CandidatesDocument,
    potential: str,
    members: dict[str, MemberDocuments],
    at_most: int,
    threshold: float,
    is_first_round: bool,
) -> dict[str, Any]:
    """Give each candidate that the committee was asked about its verdict.

    The references of its members are paid for in the first round.
    """
    from imatgen_flows.candidates.committee import Vote, decide
    from imatgen_flows.energetics.potentials import describe_shared_training

    samples = lowest_shortlisted(candidates, at_most)
    structures = candidate_structures(candidates.candidates, Geometry.RELAXED, samples)
    first = {
        str(row["sample"]): cast("float", row["e_above_hull"])
        for row in candidate_rows(candidates.candidates, ["e_above_hull"], samples)
    }
    votes = {sample: [Vote(potential, first[sample])] for sample in samples}
    spent, described = dict.fromkeys(samples, 0), []
    for name, made in members.items():
        batch = made["relaxations"]
        relaxed = {row["sample"]: row for row in read_lines(batch.relaxations)} if batch else {}
        member = _Member(name, made["hull"])
        for sample in samples:
            votes[sample].append(member.vote(relaxed.get(sample), structures[sample]))
            spent[sample] += relaxed[sample]["evaluations"] if sample in relaxed else 0
        described.append(member.to_dict())
    decisions = {sample: decide(votes[sample], threshold) for sample in samples}
    counts = Counter(decision.verdict.value for decision in decisions.values())
    said = ", ".join(f"{number} {verdict}" for verdict, number in counts.items())
    logger.info("the committee on %d candidates: %s", len(samples), said or "none")
    if shared := describe_shared_training([potential, *members]):
        logger.info("%s", shared)
    rows = [
        {"sample": sample, "committee_evaluations": spent[sample]} | decisions[sample].to_row() for sample in samples
    ]
    fields = candidates_fields(extend_table(store, candidates.candidates, rows), candidates)
    taken = [{"sample": sample} | asdict(vote) for sample in samples for vote in votes[sample]]
    record = store.put_json("committee", {"threshold": threshold, "members": described, "votes": taken})
    evaluations = {"committee": _spent(members, "relaxations", "committee")}
    if is_first_round:
        evaluations["committee references"] = _spent(members, "hull", "committee references")
    return fields | {
        "extra": candidates.extra | {"committee": record},
        "evaluations": candidates.evaluations | evaluations,
    }


def _spent(members: dict[str, MemberDocuments], kind: Literal["hull", "relaxations"], purpose: str) -> int:
    """Add up the evaluations that documents of one kind report."""
    documents = [made[kind] for made in members.values()]
    return sum(document.evaluations[purpose] for document in documents if document)


def lowest_shortlisted(candidates: CandidatesDocument, at_most: int) -> list[str]:
    """List the shortlisted candidates of lowest E_hull."""
    shortlist = samples_in(candidates.candidates, State.SHORTLISTED)
    rows = candidate_rows(candidates.candidates, ["e_above_hull"], shortlist)
    rows.sort(key=lambda row: (cast("float", row["e_above_hull"]), str(row["sample"])))
    return [str(row["sample"]) for row in rows[:at_most]]


class _Member:
    """A potential with its hull, which turns its relaxations into votes."""

    def __init__(self, name: str, document: MemberDocument | None) -> None:
        from imatgen_flows.energetics.hull import Hull

        self.name, self.document = name, document
        self.note = document.note if document else "its references were lost with their job"
        self.hull: Hull | None = Hull.from_dict(read_json(document.hull)) if document and document.hull else None

    def to_dict(self) -> dict[str, Any]:
        """Describe its hull for the report; the evaluations are counted from the records of the phases."""
        rows = read_lines(self.document.phases) if self.document else []
        return {
            "potential": self.name,
            "scale": self.hull.potential if self.hull else "",
            "counts": self.document.counts if self.document else {},
            "note": self.note,
            "evaluations": sum(row["evaluations"] for row in rows),
        }

    def vote(self, row: Mapping[str, Any] | None, start: Structure) -> Vote:
        """Place a relaxation on the hull; `row` is None where there is none, `start` what was relaxed."""
        from imatgen_flows.candidates.candidate import place_relaxation
        from imatgen_flows.candidates.committee import OTHER_STRUCTURE, Vote

        if self.hull is None or row is None:
            return Vote(self.name, None, "its relaxation was lost with its job" if self.hull else "it has no hull")
        placed, end = place_relaxation(relaxation_of(row), self.hull)
        if end is None:
            return Vote(self.name, None, str(placed["rejected_reason"]).replace("_", " "))
        changed = "" if _is_same([start, end]) else OTHER_STRUCTURE
        return Vote(self.name, cast("float", placed["e_above_hull"]), changed)


def _is_same(structures: Sequence[Structure]) -> bool:
    from imatgen_flows.matching.grouping import group_duplicates

    return len(set(group_duplicates(structures))) == 1

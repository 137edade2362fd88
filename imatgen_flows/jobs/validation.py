"""The jobs that start the validation by DFT: they choose what is calculated, of the references and of the shortlist."""

from __future__ import annotations

from typing import Any

from jobflow import Flow, Maker, Response

from imatgen_flows.candidates.committee import most_trusted_first
from imatgen_flows.candidates.states import Geometry, State
from imatgen_flows.config import Validate
from imatgen_flows.io.artifacts import ArtifactStore, read_lines
from imatgen_flows.jobs.cached_job import dynamic_job
from imatgen_flows.jobs.calculations import calculate
from imatgen_flows.jobs.candidate_table import candidate_rows, candidate_structures, samples_in
from imatgen_flows.jobs.dataset_rows import structure_of
from imatgen_flows.jobs.documents import CandidatesDocument, ReferenceDocument
from imatgen_flows.jobs.place_calculations import (
    ANTIFERRO,
    f_element_of,
    place_candidates,
    place_references,
    refuse_other_scale,
)
from imatgen_flows.jobs.search_space import pressure_input
from imatgen_flows.profiles import Profile


@dynamic_job(profile=Profile.LIGHT, label="validate references")
def validate_references(
    root: str,
    *,
    references: ReferenceDocument,
    system: list[str],
    validate: dict[str, Any],
    maker: Maker,
    pressure: float = 0.0,
) -> Response:
    """Replace this job by calculations of the published phases, and the hull that they make."""
    settings = Validate.model_validate(validate)
    rows = []
    for row in read_lines(references.phases):
        # of more elements than two, substitution stands for the compounds within that nobody published
        within = len(structure_of(row).composition) < len(system)
        if row["state"] == "relaxed" and (row["kind"] != "substituted" or within):
            # as many starts as a candidate has: the lower of two must not compete with the first of one
            rows += _starts(row["name"], row["structure"], settings, fixed_cell=row["molecule"])
    subjects = ArtifactStore(root).put_lines("subjects", rows if settings.references == "computed" else [])
    at = pressure_input(pressure)
    calculated = calculate(root, subjects=subjects, maker=maker, rules=_rules(settings) | at)
    hull = place_references(root, calculations=calculated.output, system=system, validate=validate, **at)
    return Response(replace=Flow([calculated, hull], output=hull.output, name="validate references"))


@dynamic_job(profile=Profile.LIGHT, label="validate")
def validate_shortlist(
    root: str,
    *,
    candidates: CandidatesDocument,
    references: ReferenceDocument,
    validate: dict[str, Any],
    maker: Maker,
    pressure: float = 0.0,
) -> Response:
    """Replace this job by calculations of the best candidates, and their places on the hull."""
    settings = Validate.model_validate(validate)
    refuse_other_scale(references, settings, pressure)
    table = candidates.candidates
    shortlist = samples_in(table, State.SHORTLISTED)
    structures = candidate_structures(table, Geometry.RELAXED, shortlist)
    ranked = sorted(candidate_rows(table, ["e_above_hull", "committee"], shortlist), key=most_trusted_first)
    samples = [str(row["sample"]) for row in ranked]
    allowed = [sample for sample in samples if not f_element_of(structures[sample], settings)]
    rows = []
    for sample in allowed[: settings.at_most]:
        rows += _starts(sample, structures[sample].as_dict(), settings)
    subjects = ArtifactStore(root).put_lines("subjects", rows)
    at = pressure_input(pressure)
    calculated = calculate(root, subjects=subjects, maker=maker, rules=_rules(settings) | at)
    placed = place_candidates(
        root, candidates=candidates, calculations=calculated.output, references=references, validate=validate, **at
    )
    return Response(replace=Flow([calculated, placed], output=placed.output, name="calculate and place"))


def _starts(name: str, structure: Any, validate: Validate, **more: Any) -> list[dict[str, Any]]:
    """List the starts of one structure: as it is and, where wanted and possible, antiferromagnetic."""
    from pymatgen.core import Structure

    from imatgen_flows.energetics.magnetism import antiferromagnetic

    rows = [{"name": name, "structure": structure, **more}]
    second = antiferromagnetic(Structure.from_dict(structure)) if validate.antiferro else None
    if second is not None:
        rows.append({"name": name + ANTIFERRO, "structure": second.as_dict(), **more})
    return rows


def _rules(validate: Validate) -> dict[str, Any]:
    return validate.model_dump(include={"backend", "fmax", "attempts"})

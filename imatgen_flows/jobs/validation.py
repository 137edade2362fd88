"""DFT of the shortlist: what is calculated, on which hull it stands, and what became of each candidate."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jobflow import Flow, Maker, Response, job

from imatgen_flows.candidates.candidate import Candidate
from imatgen_flows.candidates.states import Stage, State
from imatgen_flows.errors import InputError
from imatgen_flows.io.artifacts import ArtifactStore, read_lines
from imatgen_flows.jobs.cached_job import cached_job
from imatgen_flows.jobs.calculations import calculate
from imatgen_flows.jobs.candidates import candidates_document, load_candidates, spacegroup_of
from imatgen_flows.jobs.documents import CalculationsDocument, CandidatesDocument, ReferenceDocument
from imatgen_flows.jobs.energies import energy_on, load_hull
from imatgen_flows.settings import get_settings

ANTIFERRO = " antiferro"  # at the end of the name of a second start


@job(name="validate references")
def validate_references(
    root: str, *, references: ReferenceDocument, system: list[str], validate: dict[str, Any], maker: Maker
) -> Response:
    """Replace this job by calculations of the published phases, and the hull that they make."""
    rows = []
    for row in read_lines(references.phases):
        # of more elements than two, substitution stands for the compounds within that nobody published
        within = len(_composition(row)) < len(system)
        if row["state"] == "relaxed" and (row["kind"] != "substituted" or within):
            # as many starts as a candidate has: the lower of two must not compete with the first of one
            rows += _starts(row["name"], row["structure"], validate, fixed_cell=row["molecule"])
    subjects = ArtifactStore(root).put_lines("subjects", rows if validate["references"] == "computed" else [])
    calculated = calculate(root, subjects=subjects, maker=maker, rules=_rules(validate))
    hull = place_references(root, calculations=calculated.output, system=system, validate=validate)
    return Response(replace=Flow([calculated, hull], output=hull.output, name="validate references"))


@job(name="validate")
def validate_shortlist(
    root: str, *, candidates: CandidatesDocument, references: ReferenceDocument, validate: dict[str, Any], maker: Maker
) -> Response:
    """Replace this job by calculations of the best candidates, and their places on the hull."""
    _refuse_other_scale(references, validate)
    best = [
        record
        for record in load_candidates(candidates)
        if record.state is State.SHORTLISTED and not _fault(record, validate)
    ]
    best.sort(key=lambda record: (record.energies[-1].e_above_hull, record.sample))
    rows = []
    for record in best[: validate["at_most"]]:
        rows += _starts(record.sample, record.relaxed or {}, validate)
    subjects = ArtifactStore(root).put_lines("subjects", rows)
    calculated = calculate(root, subjects=subjects, maker=maker, rules=_rules(validate))
    placed = place_candidates(
        root, candidates=candidates, calculations=calculated.output, references=references, validate=validate
    )
    return Response(replace=Flow([calculated, placed], output=placed.output, name="calculate and place"))


@cached_job(ReferenceDocument)
def place_references(
    store: ArtifactStore,
    scratch: Path,
    *,
    calculations: CalculationsDocument,
    system: list[str],
    validate: dict[str, Any],
) -> dict[str, Any]:
    """Build the hull that validated candidates stand on, from phases on the same scale alone."""
    from imatgen_flows.energetics.hull import Hull, HullEntry
    from imatgen_flows.energetics.mp_scale import fetch_mp_entries

    scale = scale_of(validate)
    rows = read_lines(calculations.calculations)
    starts = _by_name(rows)
    if validate["references"] == "mp":
        entries = fetch_mp_entries(system, get_settings().cache_dir, os.environ.get("MP_API_KEY"))
    else:
        entries = []
        for name, row in starts.items():
            if row["state"] == "accepted":
                energy, row["note"] = _scaled(row, scale)
                entries.append(HullEntry(name, _composition(row), energy, "computed as the candidates are"))
    failed = [f"{name}: {row['reason']}" for name, row in starts.items() if row["state"] != "accepted"]
    missing = set(system) - {entry.composition.elements[0].symbol for entry in entries if len(entry.composition) == 1}
    if missing:
        raise InputError(
            f"the hull of {scale} has no phase of {', '.join(sorted(missing))}; refused: {', '.join(failed) or 'none'}. "
            "Mend what failed, then `imatgen run --resume`, or `imatgen submit` again: what is finished is not repeated."
        )
    hull = Hull(entries, potential=scale)
    return {
        "potential": scale,
        "hull": store.put_json("hull", hull.to_dict()),
        "phases": store.put_lines("phases", rows),
        "counts": {"phases": len(entries), "refused": len(failed)},
        "evaluations": {"validate references": calculations.spent},
    }


@cached_job(CandidatesDocument)
def place_candidates(
    store: ArtifactStore,
    scratch: Path,
    *,
    candidates: CandidatesDocument,
    calculations: CalculationsDocument,
    references: ReferenceDocument,
    validate: dict[str, Any],
) -> dict[str, Any]:
    """Give each calculated candidate its energy on the hull, or its one reason why it has none."""
    from pymatgen.core import Structure

    from imatgen_flows.crystals.standard import standardise

    _refuse_other_scale(references, validate)
    hull = load_hull(references)
    records = load_candidates(candidates)
    for record in records:
        if record.state is State.SHORTLISTED and (fault := _fault(record, validate)):
            record.reject(Stage.VALIDATE, "f_element", fault)
    by_sample = {record.sample: record for record in records}
    rows = read_lines(calculations.calculations)
    for row in rows:
        by_sample[row["name"].removesuffix(ANTIFERRO)].validation_evaluations += row["evaluations"]
    for sample, row in _by_name(rows).items():
        record = by_sample[sample]
        if row["state"] != "accepted":
            record.reject(Stage.VALIDATE, row["reason"], row["detail"])
            continue
        try:
            energy, note = _scaled(row, hull.potential)
            structure = standardise(Structure.from_dict(row["structure"]))
        except (InputError, ValueError) as error:
            record.reject(
                Stage.VALIDATE, "off_the_scale" if isinstance(error, InputError) else "no_standard_cell", str(error)
            )
            continue
        note = "; ".join(filter(None, (_stand_in(validate), note)))
        composition = _composition(row)
        record.energies.append(energy_on(hull, composition, energy, row["fmax"], row["evaluations"], note))
        record.validated, record.spacegroup = structure.as_dict(), spacegroup_of(structure)
        record.state = State.VALIDATED
    spent = candidates.evaluations | {"validate": calculations.spent}
    return candidates_document(store, records, seed=candidates.seed, **candidates.extra) | {"evaluations": spent}


def _stand_in(validate: Mapping[str, Any]) -> str:
    """Say who calculated, where the settings let a program that only plays VASP do it."""
    allowed = get_settings().stand_in and validate["backend"].startswith("vasp")
    return "a program that plays VASP may have calculated this" if allowed else ""


def scale_of(validate: Mapping[str, Any]) -> str:
    """Name the energy scale of a back end."""
    from imatgen_flows.energetics.mp_scale import MP2020, R2SCAN

    scales = {"vasp-mp-gga": MP2020, "vasp-mp24": R2SCAN}
    return scales.get(validate["backend"], f"{validate['force_field']} by atomate2")


def _refuse_other_scale(references: ReferenceDocument, validate: Mapping[str, Any]) -> None:
    if references.potential != scale_of(validate):
        raise InputError(
            f"the hull holds energies of {references.potential}, but `validate.backend: {validate['backend']}` gives "
            f"those of {scale_of(validate)}: they do not compare. Compute the references with the same back end."
        )


def _fault(record: Candidate, validate: Mapping[str, Any]) -> str:
    """Say why a candidate is not worth a calculation; empty if it is."""
    from pymatgen.core import Structure

    from imatgen_flows.energetics.mp_scale import SCALES, f_element_fault

    if scale_of(validate) not in SCALES:
        return ""
    return f_element_fault(Structure.from_dict(record.relaxed or {}))


def _starts(name: str, structure: Any, validate: Mapping[str, Any], **more: Any) -> list[dict[str, Any]]:
    """List what is calculated of one structure: as it is and, where asked for and possible, antiferromagnetic."""
    from pymatgen.core import Structure

    from imatgen_flows.energetics.magnetism import antiferromagnetic

    rows = [{"name": name, "structure": structure, **more}]
    second = antiferromagnetic(Structure.from_dict(structure)) if validate["antiferro"] else None
    if second is not None:
        rows.append({"name": name + ANTIFERRO, "structure": second.as_dict(), **more})
    return rows


def _by_name(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Choose of each structure's starts the lowest that was accepted, or the first where none was."""
    chosen: dict[str, dict[str, Any]] = {}
    for row in rows:
        name = row["name"].removesuffix(ANTIFERRO)
        best = chosen.setdefault(name, row)
        lower = best["state"] != "accepted" or row.get("energy_per_atom", 0.0) < best["energy_per_atom"]
        if row["state"] == "accepted" and lower:
            chosen[name] = row
    return chosen


def _rules(validate: Mapping[str, Any]) -> dict[str, Any]:
    return {name: validate[name] for name in ("backend", "fmax", "attempts")}


def _composition(row: Mapping[str, Any]) -> Any:
    from pymatgen.core import Structure

    return Structure.from_dict(row["structure"]).composition


def _scaled(row: Mapping[str, Any], scale: str) -> tuple[float, str]:
    """Put the energy of an accepted calculation on its scale, eV/atom, and say what a reader must know of it."""
    from dataclasses import fields

    from pymatgen.core import Structure

    from imatgen_flows.energetics.dft import DFTResult
    from imatgen_flows.energetics.mp_scale import SCALES, noted_energy

    if scale not in SCALES:
        return row["energy_per_atom"], ""
    values = {field.name: row[field.name] for field in fields(DFTResult)}
    values |= {"structure": Structure.from_dict(row["structure"]), "potcar_spec": tuple(row["potcar_spec"])}
    return noted_energy(DFTResult(**values), scale)

"""The jobs that end the validation by DFT: the hull of the references, and the candidates' places on it."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imatgen_flows.candidates.candidate import VALIDATED, describe_crystal, place_on_hull, rejection
from imatgen_flows.candidates.schema import Row
from imatgen_flows.candidates.states import Geometry, Stage, State
from imatgen_flows.config import Validate
from imatgen_flows.energetics.backends import BACKENDS
from imatgen_flows.energetics.pressure import scale_at
from imatgen_flows.errors import InputError
from imatgen_flows.io.artifacts import ArtifactStore, read_lines
from imatgen_flows.jobs.cached_job import cached_job
from imatgen_flows.jobs.candidate_table import candidate_structures, candidates_fields, extend_table, samples_in
from imatgen_flows.jobs.dataset_rows import structure_of
from imatgen_flows.jobs.documents import CalculationsDocument, CandidatesDocument, ReferenceDocument
from imatgen_flows.jobs.hulls import load_hull
from imatgen_flows.profiles import Profile
from imatgen_flows.settings import get_settings

if TYPE_CHECKING:
    from pymatgen.core import Structure

    from imatgen_flows.energetics.hull import Hull

ANTIFERRO = " antiferro"  # at the end of the name of a second start


@cached_job(ReferenceDocument, profile=Profile.LIGHT, label="place references")
def place_references(
    store: ArtifactStore,
    scratch: Path,
    *,
    calculations: CalculationsDocument,
    system: list[str],
    validate: dict[str, Any],
    pressure: float = 0.0,
) -> dict[str, Any]:
    """Build the hull of the validation from phases whose energies are on the scale of the candidates."""
    from imatgen_flows.energetics.hull import Hull, HullEntry
    from imatgen_flows.energetics.mp_entries import fetch_mp_entries

    settings = Validate.model_validate(validate)
    scale = scale_of(settings, pressure)
    rows = read_lines(calculations.calculations)
    starts = _best_starts(rows)
    if settings.references == "mp":
        entries = fetch_mp_entries(system, get_settings().cache_dir, os.environ.get("MP_API_KEY"))
        database = entries[0].source
    else:
        entries, database = [], ""
        for name, row in starts.items():
            if row["state"] == "accepted":
                energy, row["note"] = _scaled_energy(row, settings)
                composition = structure_of(row).composition
                entries.append(HullEntry(name, composition, energy, "computed as the candidates are"))
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
        "database": database,
        "evaluations": {"validate references": calculations.spent},
    }


@cached_job(CandidatesDocument, profile=Profile.LIGHT, label="place candidates")
def place_candidates(
    store: ArtifactStore,
    scratch: Path,
    *,
    candidates: CandidatesDocument,
    calculations: CalculationsDocument,
    references: ReferenceDocument,
    validate: dict[str, Any],
    pressure: float = 0.0,
) -> dict[str, Any]:
    """Give each calculated candidate its energy on the hull, or its one reason why it has none."""
    from imatgen_flows.crystals.arrays import CrystalArrays

    settings = Validate.model_validate(validate)
    refuse_other_scale(references, settings, pressure)
    hull, table = load_hull(references), candidates.candidates
    rows: dict[str, Row] = {}
    for sample, structure in candidate_structures(
        table, Geometry.RELAXED, samples_in(table, State.SHORTLISTED)
    ).items():
        if fault := f_element_of(structure, settings):
            rows[sample] = rejection(Stage.VALIDATE, "f_element", fault) | {"sample": sample}
    calculated = read_lines(calculations.calculations)
    steps: Counter[str] = Counter()
    for row in calculated:
        steps[row["name"].removesuffix(ANTIFERRO)] += row["evaluations"]
    crystals, orders = [], _magnetic_orders(calculated)
    for sample, row in _best_starts(calculated).items():
        rows[sample], validated = _place(row, hull, settings)
        rows[sample] |= {"sample": sample, "validation_evaluations": steps[sample]}
        rows[sample]["validated_magnetic_order"] = orders.get(sample, "")
        if validated is not None:
            crystals.append((sample, CrystalArrays.of(validated)))
    table = extend_table(store, table, list(rows.values()), crystals, Geometry.VALIDATED)
    spent = candidates.evaluations | {"validate": calculations.spent}
    return candidates_fields(table, candidates) | {"evaluations": spent}


def scale_of(validate: Validate, pressure: float = 0.0) -> str:
    """Name the energy scale of a back end, at a pressure in GPa."""
    return scale_at(BACKENDS[validate.backend].scale or f"{validate.force_field} by atomate2", pressure)


def refuse_other_scale(references: ReferenceDocument, validate: Validate, pressure: float = 0.0) -> None:
    """Refuse a hull whose energies are on another scale than those of the back end, at a pressure in GPa."""
    if references.potential != scale_of(validate, pressure):
        raise InputError(
            f"the hull holds energies of {references.potential}, but `validate.backend: {validate.backend}` gives "
            f"those of {scale_of(validate, pressure)}: they do not compare. Compute the references with the same back end."
        )


def f_element_of(structure: Structure, validate: Validate) -> str:
    """Say which f element keeps a structure from a calculation by this back end; empty where none does."""
    from imatgen_flows.energetics.mp_settings import f_element_fault

    if not BACKENDS[validate.backend].scale:
        return ""
    return f_element_fault(structure)


def _place(row: Mapping[str, Any], hull: Hull, validate: Validate) -> tuple[Row, Structure | None]:
    """Write the place of a calculation on the hull, and return its structure; or write why it has none."""
    from imatgen_flows.crystals.identity import structure_id
    from imatgen_flows.crystals.standard import standardise

    if row["state"] != "accepted":
        return rejection(Stage.VALIDATE, row["reason"], row["detail"]), None
    try:
        energy, note = _scaled_energy(row, validate)
        structure = standardise(structure_of(row))
    except InputError as error:
        return rejection(Stage.VALIDATE, "off_the_scale", str(error)), None
    except ValueError as error:
        return rejection(Stage.VALIDATE, "no_standard_cell", str(error)), None
    stand_in = get_settings().stand_in and BACKENDS[validate.backend].is_vasp
    notes = ("a program that plays VASP may have calculated this" if stand_in else "", note)
    placed: Row = {
        "state": State.VALIDATED.value,
        "validated_id": structure_id(structure),
        "validated_fmax": row["fmax"],
        "validated_note": "; ".join(filter(None, notes)),
    }
    placed |= place_on_hull(hull, structure_of(row).composition, energy, VALIDATED)
    return placed | describe_crystal(structure), structure


def _best_starts(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Choose of each structure's starts the lowest that was accepted, or the first where none was."""
    chosen: dict[str, dict[str, Any]] = {}
    for row in rows:
        name = row["name"].removesuffix(ANTIFERRO)
        best = chosen.setdefault(name, row)
        lower = best["state"] != "accepted" or row.get("energy_per_atom", 0.0) < best["energy_per_atom"]
        if row["state"] == "accepted" and lower:
            chosen[name] = row
    return chosen


def _magnetic_orders(rows: list[dict[str, Any]]) -> dict[str, str]:
    """Say of each structure that was accepted from two magnetic starts which one is lower, by name.

    A calculation mostly keeps the order that it starts with; which order it ended with is not read from it.
    """
    energies = {row["name"]: row["energy_per_atom"] for row in rows if row["state"] == "accepted"}
    found = {}
    for name, ferro in energies.items():
        antiferro = energies.get(f"{name}{ANTIFERRO}")
        if antiferro is not None:
            lower, other = ("antiferromagnetic", "ferromagnetic")[:: 1 if antiferro < ferro else -1]
            found[name] = f"{lower} start, {abs(antiferro - ferro):.3f} eV/atom below the {other} one"
    return found


def _scaled_energy(row: Mapping[str, Any], validate: Validate) -> tuple[float, str]:
    """Correct the energy of an accepted calculation to its scale, eV/atom; return it with a note for its reader.

    Enthalpies are corrected as energies are: the scheme adds an energy for each atom, whatever the volume.
    """
    from imatgen_flows.energetics.dft_result import DFTResult
    from imatgen_flows.energetics.mp_corrections import corrected_energy

    scale = BACKENDS[validate.backend].scale
    if not scale:
        return row["energy_per_atom"], ""
    values = {field.name: row[field.name] for field in fields(DFTResult)}
    values |= {"structure": structure_of(row), "potcar_spec": tuple(row["potcar_spec"])}
    return corrected_energy(DFTResult(**values), scale)

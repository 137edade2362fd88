"""The job that computes phonons of the best of the shortlist."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from imatgen_flows.candidates.committee import most_trusted_first
from imatgen_flows.candidates.schema import Row
from imatgen_flows.candidates.states import Geometry, State
from imatgen_flows.io.artifacts import ArtifactStore
from imatgen_flows.jobs.cached_job import cached_job, potential_versions
from imatgen_flows.jobs.candidate_table import (
    candidate_rows,
    candidate_structures,
    candidates_fields,
    extend_table,
    samples_in,
)
from imatgen_flows.jobs.documents import CandidatesDocument, CandidateTable, PhononInputs
from imatgen_flows.jobs.potentials import installed_potential
from imatgen_flows.jobs.result_cache import names_of_crystals, shared_scratch
from imatgen_flows.jobs.soft_modes import evaluations_of, follow_cached, lower_structures, soft_mode_columns
from imatgen_flows.jobs.spectra import phonons_cached
from imatgen_flows.profiles import Profile

# eV/atom, by which the tight relaxation must lower a candidate for its note to say so: that it relaxed into something else
RELAXED_FURTHER = 0.01

logger = logging.getLogger(__name__)


@cached_job(CandidatesDocument, profile=Profile.GPU_RELAX, label="compute phonons")
def compute_phonons(
    store: ArtifactStore, scratch: Path, *, candidates: CandidatesDocument, at_most: int, phonons: PhononInputs
) -> dict[str, Any]:
    """Relax the best of the shortlist tightly, and compute their phonons; each result is on disk as soon as it is there.

    They lie in a folder of the run: where another committee or another number chooses other candidates, those that were
    computed are not computed again.

    State and energies of the candidates stay as they are. Bands, densities of states and the structures as relaxed lie in an
    artifact, as well as the lower structures to which imaginary modes lead, where these are followed.
    """
    from imatgen_flows.crystals.arrays import CrystalArrays

    table = candidates.candidates
    chosen = choose_for_phonons(table, at_most)
    found = candidate_structures(table, Geometry.RELAXED, chosen)
    structures = {sample: found[sample] for sample in chosen}
    inputs = {key: value for key, value in phonons.items() if key != "follow"}
    computed = shared_scratch(store, "phonons", inputs, potential_versions(phonons["potential"]))
    names = names_of_crystals(structures)
    by_crystal = phonons_cached(computed, {names[sample]: one for sample, one in structures.items()}, phonons)
    results = {sample: by_crystal[name] for sample, name in names.items()}
    modes = follow_cached(computed, by_crystal, phonons) if phonons.get("follow") else {}
    followed = {sample: modes[name] for sample, name in names.items() if name in modes}
    columns = ["energy_per_atom", "e_above_hull", "scale"]
    before = {str(row["sample"]): row for row in candidate_rows(table, columns, chosen)}
    rows, spectra = [], []
    for sample in chosen:
        result, mode = results[sample], followed.get(sample)
        rows.append(phonon_columns(sample, result, mode, before[sample], phonons))
        spectra.append({"sample": sample, "potential": phonons["potential"], "followed": mode} | result)
    stable, count = sum(row["dynamically_stable"] is True for row in rows), len(rows)
    logger.info("phonons of %d candidates: %d dynamically stable", count, stable)
    crystals = [(sample, CrystalArrays.of(structure)) for sample, structure in lower_structures(followed).items()]
    table = extend_table(store, table, rows, crystals or None, Geometry.FOLLOWED)
    spent = {"phonons": sum(result["evaluations"] for result in results.values())}
    if followed:
        spent["soft modes"] = sum(map(evaluations_of, followed.values()))
    return candidates_fields(table, candidates) | {
        "extra": candidates.extra | {"phonons": store.put_lines("phonons", spectra)},
        "evaluations": candidates.evaluations | spent,
    }


def choose_for_phonons(table: CandidateTable, at_most: int) -> list[str]:
    """Choose shortlisted candidates: those on which a committee has agreed first, then by E_hull."""
    rows = candidate_rows(table, ["committee", "e_above_hull"], samples_in(table, State.SHORTLISTED))
    return [str(row["sample"]) for row in sorted(rows, key=most_trusted_first)[:at_most]]


def phonon_columns(
    sample: str, result: dict[str, Any], mode: dict[str, Any] | None, before: Row, phonons: PhononInputs
) -> Row:
    """Write the columns of one candidate.

    Parameters
    ----------
    sample : of the candidate
    result, mode : its phonons and its followed mode as plain values; None where none was followed
    before : its columns `energy_per_atom`, `e_above_hull` and `scale`, as it was screened
    phonons : settings
    """
    row: Row = {
        "sample": sample,
        "dynamically_stable": result["is_stable"],
        "lowest_frequency": result["lowest_frequency"],
        "lowest_interpolated": result["lowest_interpolated"],
        "free_energy": result["free_energy"],
        "phonon_note": "; ".join(filter(None, _notes(result, mode, before, phonons))),
        "phonon_evaluations": result["evaluations"],
    }
    if mode:
        row |= soft_mode_columns(mode, before if before["scale"] == _scale(phonons) else {})
    return row


def _scale(phonons: PhononInputs) -> str:
    """Name the energy scale of the phonons."""
    from imatgen_flows.energetics.pressure import scale_at

    return scale_at(installed_potential(phonons["potential"]).scale, phonons.get("pressure", 0.0))


def _notes(result: dict[str, Any], mode: dict[str, Any] | None, before: Row, phonons: PhononInputs) -> list[str]:
    """Say why there are no phonons, or what must be known of them."""
    if result["state"] != "computed":
        return [f"{result['reason'].replace('_', ' ')}: {result['detail']}"]
    notes = [result["detail"]]
    if (scale := _scale(phonons)) != before["scale"]:
        notes.append(f"by {scale}")
    elif isinstance(energy := before["energy_per_atom"], float) and result["energy_per_atom"] is not None:
        lowered = energy - result["energy_per_atom"]
        if lowered > RELAXED_FURTHER:
            notes.append(f"the tight relaxation before the phonons lowered it by {1000 * lowered:.0f} meV/atom")
    if mode:
        led = mode["detail"] if mode["state"] != "rejected" else f"{mode['reason'].replace('_', ' ')}: {mode['detail']}"
        notes.append(f"its softest mode, followed: {led}")
    return notes

"""The job that computes phonons of the best of the shortlist."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
from imatgen_flows.jobs.device import relaxation_resources
from imatgen_flows.jobs.documents import CandidatesDocument, CandidateTable, PhononInputs
from imatgen_flows.jobs.potentials import installed_potential
from imatgen_flows.jobs.result_cache import ResultCache, fill_cache, names_of_crystals, shared_scratch
from imatgen_flows.profiles import Profile

if TYPE_CHECKING:
    from imatgen_flows.energetics.phonon_cells import PhononSettings
    from imatgen_flows.energetics.soft_mode import SoftMode

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
    table = candidates.candidates
    chosen = choose_for_phonons(table, at_most)
    structures = candidate_structures(table, Geometry.RELAXED, chosen)
    inputs = {key: value for key, value in phonons.items() if key != "follow"}
    computed = shared_scratch(store, "phonons", inputs, potential_versions(phonons["potential"]))
    names = names_of_crystals({sample: structures[sample] for sample in chosen})
    by_crystal = phonons_cached(computed, list(names.values()), [structures[sample] for sample in chosen], phonons)
    results = {sample: by_crystal[name] for sample, name in names.items()}
    modes = _follow_cached(computed, by_crystal, phonons) if phonons.get("follow") else {}
    followed = {sample: modes[name] for sample, name in names.items() if name in modes}
    before = {str(row["sample"]): row for row in candidate_rows(table, ["energy_per_atom", "scale"], chosen)}
    rows, spectra = [], []
    for sample in chosen:
        result, mode = results[sample], followed.get(sample)
        rows.append(phonon_columns(sample, result, mode, before[sample], phonons))
        spectra.append({"sample": sample, "potential": phonons["potential"], "followed": mode} | result)
    stable, count = sum(row["dynamically_stable"] is True for row in rows), len(rows)
    logger.info("phonons of %d candidates: %d dynamically stable", count, stable)
    spent = {
        "phonons": sum(result["evaluations"] for result in results.values()),
        "soft modes": sum(mode["evaluations"] for mode in followed.values()),
    }
    fields_of_document = candidates_fields(extend_table(store, table, rows), candidates)
    fields_of_document["extra"] = candidates.extra | {"phonons": store.put_lines("phonons", spectra)}
    counted = {purpose: number for purpose, number in spent.items() if number or purpose == "phonons"}
    return fields_of_document | {"evaluations": candidates.evaluations | counted}


def choose_for_phonons(table: CandidateTable, at_most: int) -> list[str]:
    """Choose shortlisted candidates: those on which a committee has agreed first, then by E_hull."""
    rows = candidate_rows(table, ["committee", "e_above_hull"], samples_in(table, State.SHORTLISTED))
    return [str(row["sample"]) for row in sorted(rows, key=most_trusted_first)[:at_most]]


def phonons_cached(
    scratch: Path, names: list[str], structures: list[Any], phonons: PhononInputs
) -> dict[str, dict[str, Any]]:
    """Compute phonons by name; an interrupted job continues with those that are missing.

    Returns
    -------
    by name, `energetics.phonons.PhononResult` as plain values, without its time
    """
    from imatgen_flows.energetics.phonons import phonons_of_many

    def work(places: list[int], add: Callable[[int, Any], None]) -> None:
        wanted = [structures[place] for place in places]
        potential = installed_potential(phonons["potential"])
        phonons_of_many(wanted, potential, settings_of(phonons), on_result=add, **relaxation_resources())

    rows = fill_cache(ResultCache(scratch), names, work, _row, "phonons computed")
    return dict(zip(names, rows, strict=True))


def settings_of(phonons: PhononInputs) -> PhononSettings:
    """Return the settings of phonons that a campaign asks for."""
    from imatgen_flows.energetics.phonon_cells import PhononSettings

    known = {field.name for field in fields(PhononSettings)}
    return PhononSettings(**{name: value for name, value in phonons.items() if name in known})  # type: ignore[arg-type]


def phonon_columns(
    sample: str, result: dict[str, Any], mode: dict[str, Any] | None, before: Row, phonons: PhononInputs
) -> Row:
    """Write the columns of one candidate.

    Parameters
    ----------
    sample : of the candidate
    result, mode : its phonons and its followed mode as plain values; None where none was followed
    before : its columns `energy_per_atom` and `scale`, as it was screened
    phonons : settings
    """
    return {
        "sample": sample,
        "dynamically_stable": result["is_stable"],
        "lowest_frequency": result["lowest_frequency"],
        "lowest_interpolated": result["lowest_interpolated"],
        "free_energy": result["free_energy"],
        "phonon_note": "; ".join(filter(None, _notes(result, mode, before, phonons))),
        "phonon_evaluations": result["evaluations"],
        "soft_mode_evaluations": mode["evaluations"] if mode else 0,
    }


def _notes(result: dict[str, Any], mode: dict[str, Any] | None, before: Row, phonons: PhononInputs) -> list[str]:
    """Say why there are no phonons, or what must be known of them."""
    from imatgen_flows.energetics.pressure import scale_at

    if result["state"] != "computed":
        return [f"{result['reason'].replace('_', ' ')}: {result['detail']}"]
    notes = [result["detail"]]
    scale = scale_at(installed_potential(phonons["potential"]).scale, phonons.get("pressure", 0.0))
    if scale != before["scale"]:
        notes.append(f"by {scale}")
    elif isinstance(energy := before["energy_per_atom"], float) and result["energy_per_atom"] is not None:
        lowered = energy - result["energy_per_atom"]
        if lowered > RELAXED_FURTHER:
            notes.append(f"the tight relaxation before the phonons lowered it by {1000 * lowered:.0f} meV/atom")
    if mode:
        led = mode["detail"] if mode["state"] != "rejected" else f"{mode['reason'].replace('_', ' ')}: {mode['detail']}"
        notes.append(f"its softest mode, followed: {led}")
    return notes


def _follow_cached(
    scratch: Path, results: dict[str, dict[str, Any]], phonons: PhononInputs
) -> dict[str, dict[str, Any]]:
    """Follow the soft modes that were found, by sample."""
    from imatgen_flows.energetics.soft_mode import follow_soft_modes

    modes = {sample: _mode_of(result["soft_mode"]) for sample, result in results.items() if result["soft_mode"]}
    folder = scratch / "soft-modes"
    folder.mkdir(exist_ok=True)
    names = list(modes)

    def work(places: list[int], add: Callable[[int, Any], None]) -> None:
        wanted = [modes[names[place]] for place in places]
        potential = installed_potential(phonons["potential"])
        follow_soft_modes(wanted, potential, settings_of(phonons), on_result=add, **relaxation_resources())

    rows = fill_cache(ResultCache(folder), names, work, _row, "soft modes followed")
    return dict(zip(names, rows, strict=True))


def _mode_of(values: dict[str, Any]) -> SoftMode:
    from pymatgen.core import Structure

    from imatgen_flows.energetics.soft_mode import SoftMode

    return SoftMode(**values | {"cell": Structure.from_dict(values["cell"])})


def _row(result: Any) -> dict[str, Any]:
    row: dict[str, Any] = _plain(asdict(result))
    return row


def _plain(value: Any) -> Any:
    """Turn structures into dictionaries, and NumPy's numbers into Python's."""
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "as_dict"):
        return value.as_dict()
    return value.item() if hasattr(value, "item") else value

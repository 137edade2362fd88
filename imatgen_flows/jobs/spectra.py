"""Phonons of crystals within a job; each result is on disk as soon as it is there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imatgen_flows.jobs.device import relaxation_resources
from imatgen_flows.jobs.documents import PhononInputs
from imatgen_flows.jobs.potentials import installed_potential
from imatgen_flows.jobs.result_cache import ResultCache, fill_cache

if TYPE_CHECKING:
    from pymatgen.core import Structure

    from imatgen_flows.energetics.phonon_cells import PhononSettings


def phonons_cached(
    scratch: Path, structures: Mapping[str, Structure], phonons: PhononInputs
) -> dict[str, dict[str, Any]]:
    """Compute phonons by name; an interrupted job continues with those that are missing.

    Returns
    -------
    by name, `energetics.phonons.PhononResult` as plain values, without its time
    """
    from imatgen_flows.energetics.phonons import phonons_of_many

    return compute_cached(scratch, structures, phonons, phonons_of_many, "phonons computed")


def compute_cached(
    scratch: Path, items: Mapping[str, Any], phonons: PhononInputs, compute: Callable[..., Any], verb: str
) -> dict[str, dict[str, Any]]:
    """Compute by name what a potential says of items, where it is not on disk yet.

    Parameters
    ----------
    scratch : where results are kept
    items : by name
    phonons : potential and settings
    compute : called as ``compute(items, potential, settings, on_result=..., device=..., workers=...)``
    verb : what is done, for the log

    Returns
    -------
    by name, the results as plain values, without their time
    """
    names = list(items)

    def work(places: list[int], add: Callable[[int, Any], None]) -> None:
        wanted = [items[names[place]] for place in places]
        potential = installed_potential(phonons["potential"])
        compute(wanted, potential, _settings(phonons), on_result=add, **relaxation_resources())

    rows = fill_cache(ResultCache(scratch), names, work, _plain_row, verb)
    return dict(zip(names, rows, strict=True))


def _settings(phonons: PhononInputs) -> PhononSettings:
    """Return the settings of phonons that a campaign asks for."""
    from imatgen_flows.energetics.phonon_cells import PhononSettings

    known = {field.name for field in fields(PhononSettings)}
    return PhononSettings(**{name: value for name, value in phonons.items() if name in known})  # type: ignore[arg-type]


def _plain_row(result: Any) -> dict[str, Any]:
    """Turn a result, a dataclass, into plain values: structures into dictionaries, NumPy's numbers into Python's."""
    row: dict[str, Any] = _plain(asdict(result))
    return row


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "as_dict"):
        return value.as_dict()
    return value.item() if hasattr(value, "item") else value

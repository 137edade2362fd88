"""Screening of files of crystals, into a directory of its own in which a killed screening goes on."""

from __future__ import annotations

import errno
import json
import logging
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, cast

from imatgen_flows.candidates.schema import FILE_COLUMNS, arrow_schema, columns_of
from imatgen_flows.candidates.states import State
from imatgen_flows.candidates.table import KEY, csv_text, rows_of, write_part
from imatgen_flows.energetics.optimisers import OPTIMISER
from imatgen_flows.errors import InputError
from imatgen_flows.io.artifacts import ArtifactStore
from imatgen_flows.io.files import file_hash, write_atomic, writing
from imatgen_flows.io.lock import locked
from imatgen_flows.jobs.cached_job import CACHE_KEY_PACKAGES, potential_versions, versions_of
from imatgen_flows.jobs.comparison import Comparison, ComparisonSource, FinishedRunSource
from imatgen_flows.jobs.provenance import PROVENANCE_FILE
from imatgen_flows.jobs.screen_structures import COLUMNS, Screening, screen_structures
from imatgen_flows.parallel import core_count
from imatgen_flows.settings import get_settings

if TYPE_CHECKING:
    from imatgen_flows.candidates.schema import Column, Row
    from imatgen_flows.crystals.raw_crystal import RawCrystal

INPUTS_FILE = "screening.json"  # what is screened in a directory, and on which hull
NAMED = 3  # files or elements that a message names

logger = logging.getLogger(__name__)


def screened_columns() -> list[Column]:
    """List the columns of `screened.parquet`: the name of a crystal, where it was read, and what a screening finds."""
    key, *others = columns_of({KEY, *COLUMNS})
    return [key, *FILE_COLUMNS, *others]


def screen_files(source: ComparisonSource, paths: Sequence[Path], directory: Path) -> Screening:
    """Screen the crystals of files and folders; see `screen_structures`.

    All that is written lies in the directory: `screened.parquet`, `screened.csv`, `ledger.json`, `hull.json`,
    `provenance.json`, `structures/` with a CIF of each relaxed crystal, and the relaxations by structure, those of a hull
    of its own included, so that a screening that was killed repeats none of them.

    Parameters
    ----------
    source : of the hull, the settings and what is not new
    paths : of files and folders of any format that is read; files in `directory` are no input
    directory : made where it does not exist; it may hold this screening, finished or not

    Returns
    -------
    the screening, with the columns `file` and `origin` besides; shortlisted crystals first, then the other relaxed ones,
    each lowest E_hull first, then those that were rejected

    Raises
    ------
    InputError
        Where a path does not exist, the files hold no crystal, or none of the system; where the directory cannot be
        written to, holds something else, or is at work in another process.
    """
    from imatgen_flows.crystals.exclusion import Exclusion
    from imatgen_flows.crystals.structure_files import list_files, read_files

    _check_directory(directory, source)
    own = directory.resolve()
    files = [file for file in list_files(paths) if own not in (file.parent.resolve() / file.name).parents]
    inputs = source.identity() | {"files": {os.path.abspath(file): _hash(file) for file in files}}
    _refuse_another(directory, inputs)
    found = _with_hydrogen(read_files(files, get_settings().n_workers))
    excluded = sum(isinstance(raw.crystal, Exclusion) for _, raw in found)
    logger.info("%d files: %d crystals, and %d that cannot be read", len(files), len(found) - excluded, excluded)
    _refuse_foreign([raw for _, raw in found], source)
    _make_directory(directory)
    with locked(directory, f"{directory} is at work in another process. {_WAIT}"):
        _refuse_another(directory, inputs)  # another process may have begun since
        _write_inputs(directory, inputs)
        screening = screen_structures(source, [raw for _, raw in found], ArtifactStore(directory / "artifacts"))
        ordered = _order(screening, found)
        _write(directory, ordered)
    return ordered


_WAIT = "Wait for its end, or give another directory."


def _check_directory(directory: Path, source: ComparisonSource) -> None:
    if isinstance(source, FinishedRunSource) and source.path.resolve() in (
        directory.resolve(),
        *directory.resolve().parents,
    ):
        raise InputError(
            f"{directory} is the run, or lies in it; a screening leaves the run as it is. Give another directory."
        )
    if directory.exists() and not directory.is_dir():
        raise InputError(f"{directory} is a file; give the name of a directory to write to.")
    if not directory.is_dir() or (directory / INPUTS_FILE).is_file():
        return
    if any(not path.name.startswith(".") for path in directory.iterdir()):
        raise InputError(f"{directory} is not empty and holds no screening. Give another directory.")


def _hash(file: Path) -> str:
    """Hash the content of a file; nothing of what cannot be read, which is excluded later with the reason."""
    try:
        return file_hash(file) if file.is_file() else ""  # to open a pipe would wait for ever
    except OSError:
        return ""


def _refuse_another(directory: Path, inputs: Mapping[str, object]) -> None:
    """Refuse a directory that holds the screening of other files, or on another hull."""
    path = directory / INPUTS_FILE
    if not path.is_file():
        return
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
        held, on = dict(before["files"]), str(before.get("run") or "-".join(before["system"]))
        same = all(before.get(name) == inputs[name] for name in inputs if name not in _MAY_DIFFER)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise InputError(f"{path} cannot be read: {error}. Delete {directory}, or give another directory.") from error
    cure = "Give another directory, or delete this one."
    if not same:
        raise InputError(
            f"{directory} holds a screening on another run or system, or on an earlier state or with other settings of it: "
            f"{on}. {cure}"
        )
    given = cast("dict[str, str]", inputs["files"])
    if different := sorted(name for name in held.keys() | given.keys() if held.get(name) != given.get(name)):
        named = ", ".join(different[:NAMED]) + (f" and {len(different) - NAMED} more" if different[NAMED:] else "")
        raise InputError(
            f"{directory} holds a screening of other files; added, missing or changed since: {named}. {cure}"
        )


_MAY_DIFFER = ("run", "files")  # a run may have been moved; files are compared one by one


def _with_hydrogen(found: Sequence[tuple[Path, RawCrystal]]) -> list[tuple[Path, RawCrystal]]:
    """Read deuterium and tritium as hydrogen, as the run did."""
    from imatgen_flows.crystals.isotopes import read_isotopes_as_elements

    crystals = read_isotopes_as_elements(raw for _, raw in found)
    return [(file, raw) for (file, _), raw in zip(found, crystals, strict=True)]


def _refuse_foreign(crystals: Sequence[RawCrystal], source: ComparisonSource) -> None:
    """Refuse input of which nothing can be screened: no crystal at all, or none of the system."""
    from imatgen_flows.crystals.exclusion import Exclusion
    from imatgen_flows.crystals.known_phases import exclude_foreign

    faults = [raw.crystal for raw in crystals if isinstance(raw.crystal, Exclusion)]
    if len(faults) == len(crystals):
        first = f" The first fault: {faults[0].detail}." if faults else ""
        raise InputError(f"the files hold no crystal that can be read.{first}")
    foreign = [exclude_foreign(raw, set(source.system)) for raw in crystals if not isinstance(raw.crystal, Exclusion)]
    if all(foreign):
        first_foreign = cast("Exclusion", foreign[0])
        raise InputError(
            f"{source.statement}, and none of the {len(foreign):,} crystals has only these elements: "
            f"{first_foreign.id} {first_foreign.detail}. Give the system of the files, or a run of it."
        )


def _make_directory(directory: Path) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        if not os.access(directory, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise InputError(f"cannot write to {directory}: {error.strerror}. Give another directory.") from error


def _write_inputs(directory: Path, inputs: Mapping[str, object]) -> None:
    """Write what is screened, and on what, where it is not written yet."""
    path = directory / INPUTS_FILE
    if not path.is_file():
        write_atomic(path, json.dumps(inputs, indent=1))


def _order(screening: Screening, found: Sequence[tuple[Path, RawCrystal]]) -> Screening:
    """Add the file and the origin of each crystal, and put the shortlist first."""
    import pyarrow

    rows: list[Row] = [
        row | {"file": str(file), "origin": raw.source}
        for row, (file, raw) in zip(rows_of(screening.table), found, strict=True)
    ]
    order = sorted(range(len(rows)), key=lambda place: _rank(rows[place]))
    table = pyarrow.Table.from_pylist([rows[place] for place in order], schema=arrow_schema(screened_columns()))
    structures = [screening.structures[place] for place in order]
    return replace(screening, table=table, structures=structures)


def _rank(row: Row) -> tuple[int, float]:
    """Sort key: shortlisted, relaxed, rejected; by E_hull. Equal ones keep the order in which they were read."""
    states = [State.SHORTLISTED.value, State.SCREENED.value, State.REJECTED.value]
    return states.index(str(row["state"])), cast("float", row["e_above_hull"] or 0.0)


def _write(directory: Path, screening: Screening) -> None:
    """Write the table, the CIFs and the ledger, each whole or not at all."""
    structures = directory / "structures"
    structures.mkdir(exist_ok=True)
    rows = rows_of(screening.table)
    # crystals that differ by less than the id tells apart share a file: the one that comes first in the table has it
    for row, structure in reversed(list(zip(rows, screening.structures, strict=True))):
        if structure is not None:
            write_atomic(structures / f"{row['relaxed_id']}.cif", structure.to(fmt="cif"))
    with writing(directory / "screened.parquet") as temporary:
        write_part(temporary, screening.table)
    write_atomic(directory / "screened.csv", csv_text(screening.table.column_names, rows))
    write_atomic(directory / "ledger.json", json.dumps(screening.ledger.to_dict(), indent=1))
    write_atomic(directory / "hull.json", json.dumps(screening.comparison.phases, indent=1))
    write_atomic(directory / PROVENANCE_FILE, json.dumps(_provenance(directory, screening.comparison), indent=1))


def _provenance(directory: Path, comparison: Comparison) -> dict[str, object]:
    """Say how, when and with which versions the crystals were screened."""
    started = datetime.fromtimestamp((directory / INPUTS_FILE).stat().st_mtime, UTC)  # it is written once, at first
    return {
        "system": comparison.system,
        "potential": comparison.screen.potential,
        "meaning_of_new": comparison.meaning_of_new,
        "settings": comparison.settings(),
        "started": started.isoformat(timespec="seconds"),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "hardware": f"{platform.processor() or platform.machine()}, {core_count()} cores",
        "optimiser": OPTIMISER,
        "versions": versions_of(CACHE_KEY_PACKAGES)
        | potential_versions(comparison.screen.potential)
        | {"python": platform.python_version()},
    }

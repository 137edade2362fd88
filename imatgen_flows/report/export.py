"""Export of a run's candidates to files that other programs read."""

from __future__ import annotations

import io
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow
from pyarrow import parquet

from imatgen_flows.candidates.schema import COLUMNS, Column, arrow_schema, column_names
from imatgen_flows.candidates.table import csv_text
from imatgen_flows.errors import InputError
from imatgen_flows.io.files import write_atomic
from imatgen_flows.report.choice import choose_candidates
from imatgen_flows.report.documents import RelaxedRow
from imatgen_flows.report.drawing import DrawingError, read_cif
from imatgen_flows.report.result_directory import crystal_id
from imatgen_flows.report.run_directory import RunDirectory

if TYPE_CHECKING:
    from ase import Atoms

FORMATS = ("cif", "poscar", "extxyz", "csv", "parquet")
STRUCTURE = Column("structure", "text", "Structure", "Latest structure, as CIF.")  # the last column, in parquet only


def export_run(
    run_dir: str | Path,
    format: str = "cif",  # noqa: A002  the name of the command's option
    destination: str | Path | None = None,
    only: str = "new",
    *,
    max_e_hull: float | None = None,
    top: int | None = None,
) -> list[Path]:
    """Write the relaxed candidates of a run, lowest E_hull first.

    Parameters
    ----------
    run_dir : a finished run directory
    format : `cif` or `poscar` (one file each, named after the id of the crystal in it; POSCARs end in `.vasp`), `extxyz`
        (one file, energies in eV/atom in its headers), `csv` or `parquet` (one table without, or with, the structures as CIF)
    destination : directory to write to; `RUN/export` by default
    only, max_e_hull, top : see `choose_candidates`

    Returns
    -------
    the files written; none where there is no such candidate

    Raises
    ------
    InputError
        Where the format is unknown, the destination is named like a file or cannot be written to, the directory is no
        finished run, or a structure is missing or cannot be read.
    """
    if format not in FORMATS:
        raise InputError(f"unknown export format `{format}`. Known: {', '.join(FORMATS)}.")
    if destination is not None and Path(destination).suffix.lower().removeprefix(".") in FORMATS:
        raise InputError(
            f"{destination}: named like a file, but the destination is a directory; the files in it get names of their own. "
            "Give the name of a directory."
        )
    run = RunDirectory.open(run_dir)
    rows = choose_candidates(run, only, max_e_hull, top)
    if not rows:
        return []
    folder = Path(destination) if destination is not None else run.path / "export"
    writers = {"cif": _cif, "poscar": _poscar, "extxyz": _extxyz, "csv": _csv, "parquet": _parquet}
    contents = writers[format](run, rows, only)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            write_atomic(folder / name, content)
    except OSError as error:
        raise InputError(f"{folder}: cannot be written to: {error.strerror or error}.") from error
    return [folder / name for name in contents]


def _cif(run: RunDirectory, rows: list[RelaxedRow], only: str) -> dict[str, bytes]:
    return {f"{name}.cif": run.cif(row).encode() for name, row in _file_names(rows).items()}


def _poscar(run: RunDirectory, rows: list[RelaxedRow], only: str) -> dict[str, bytes]:
    from ase.io import write

    files = {}
    for name, row in _file_names(rows).items():
        buffer = io.StringIO()
        write(buffer, _atoms(run, row), format="vasp", direct=True, sort=True)
        _, rest = buffer.getvalue().split("\n", 1)  # ASE has its own first line, which is free
        files[f"{name}.vasp"] = f"{row['formula']} {crystal_id(row)}\n{rest}".encode()
    return files


def _extxyz(run: RunDirectory, rows: list[RelaxedRow], only: str) -> dict[str, bytes]:
    from ase.io import write

    crystals = []
    for row in rows:
        atoms = _atoms(run, row)
        for name in list(atoms.arrays):
            if name not in ("numbers", "positions"):
                del atoms.arrays[name]
        values = dict(row)
        atoms.info = {
            column.name: value
            for column in COLUMNS
            if column.in_header and (value := values[column.name]) not in (None, "")
        }
        crystals.append(atoms)
    buffer = io.StringIO()
    write(buffer, crystals, format="extxyz")
    return {f"candidates_{only}.extxyz": buffer.getvalue().encode()}


def _file_names(rows: list[RelaxedRow]) -> dict[str, RelaxedRow]:
    """Name rows by the id of their crystal, and by their sample too where several have the same."""
    shared = Counter(crystal_id(row) for row in rows)
    return {crystal_id(row) + (f"-{row['sample']}" if shared[crystal_id(row)] > 1 else ""): row for row in rows}


def _atoms(run: RunDirectory, row: RelaxedRow) -> Atoms:
    try:
        return read_cif(run.cif(row))
    except DrawingError as error:
        raise InputError(f"candidate {crystal_id(row)} ({row['sample']}): {error}") from error


def _csv(run: RunDirectory, rows: list[RelaxedRow], only: str) -> dict[str, bytes]:
    return {f"candidates_{only}.csv": csv_text(column_names(), rows).encode()}


def _parquet(run: RunDirectory, rows: list[RelaxedRow], only: str) -> dict[str, bytes]:
    schema = arrow_schema([*COLUMNS, STRUCTURE])
    table = pyarrow.Table.from_pylist([row | {"structure": run.cif(row)} for row in rows], schema=schema)
    buffer = io.BytesIO()
    parquet.write_table(table, buffer)
    return {f"candidates_{only}.parquet": buffer.getvalue()}

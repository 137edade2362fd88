"""Export of a run's candidates to files that other programs read."""

from __future__ import annotations

import csv
import io
from collections import Counter
from pathlib import Path

from imatgen_flows.candidates.schema import COLUMNS, arrow_schema
from imatgen_flows.errors import InputError
from imatgen_flows.io.files import write_atomic
from imatgen_flows.report.documents import RelaxedRow
from imatgen_flows.report.drawing import DrawingError, read_cif
from imatgen_flows.report.run_directory import RunDirectory

FORMATS = ("cif", "extxyz", "csv", "parquet")


def export_run(
    run_dir: str | Path,
    format: str = "cif",  # noqa: A002  the name of the command's option
    destination: str | Path | None = None,
    only: str = "new",
) -> list[Path]:
    """Write the relaxed candidates of a run, lowest E_hull first.

    Parameters
    ----------
    run_dir : a finished run directory
    format : `cif` (one file each, named after the candidate), `extxyz` (one file, energies in eV/atom in its headers),
        `csv` or `parquet` (one table without, or with, the structures as CIF)
    destination : directory to write to; `RUN/export` by default
    only : `new` for the new ones, `all` for every relaxed candidate

    Returns
    -------
    the files written; none where there is no such candidate

    Raises
    ------
    InputError
        Where the format is unknown, the directory is no finished run or cannot be written to, or a structure is
        missing or cannot be read.
    """
    if format not in FORMATS:
        raise InputError(f"unknown export format `{format}`. Known: {', '.join(FORMATS)}.")
    if only not in ("new", "all"):
        raise InputError(f"`{only}` is not a choice of candidates. Known: new, all.")
    run = RunDirectory.open(run_dir)
    rows = run.new if only == "new" else run.relaxed
    if not rows:
        return []
    folder = Path(destination) if destination is not None else run.path / "export"
    writers = {"cif": _cif, "extxyz": _extxyz, "csv": _csv, "parquet": _parquet}
    contents = writers[format](rows, only)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            write_atomic(folder / name, content)
    except OSError as error:
        raise InputError(f"{folder}: cannot be written to: {error.strerror or error}.") from error
    return [folder / name for name in contents]


def _cif(rows: list[RelaxedRow], only: str) -> dict[str, bytes]:
    shared = Counter(row["id"] for row in rows)
    names = [row["id"] if shared[row["id"]] == 1 else f"{row['id']}-{row['sample']}" for row in rows]
    return {f"{name}.cif": _structure(row).encode() for name, row in zip(names, rows, strict=True)}


def _extxyz(rows: list[RelaxedRow], only: str) -> dict[str, bytes]:
    from ase.io import write

    crystals = []
    for row in rows:
        try:
            atoms = read_cif(_structure(row))
        except DrawingError as error:
            raise InputError(f"candidate {row['id']} ({row['sample']}): {error}") from error
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


def _csv(rows: list[RelaxedRow], only: str) -> dict[str, bytes]:
    buffer = io.StringIO()
    columns = [column for column in COLUMNS if column.name != "structure"]
    writer = csv.writer(buffer)
    writer.writerow([column.name for column in columns])
    for row in rows:
        values = dict(row)
        writer.writerow([_cell(values[column.name]) for column in columns])
    return {f"candidates_{only}.csv": buffer.getvalue().encode()}


def _cell(value: object) -> object:
    return " ".join(map(str, value)) if isinstance(value, list) else value


def _parquet(rows: list[RelaxedRow], only: str) -> dict[str, bytes]:
    import pyarrow
    import pyarrow.parquet

    buffer = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(list(rows), schema=arrow_schema()), buffer)
    return {f"candidates_{only}.parquet": buffer.getvalue()}


def _structure(row: RelaxedRow) -> str:
    if not row["structure"]:
        raise InputError(f"candidate {row['id']} ({row['sample']}) has no structure in candidates.parquet.")
    return str(row["structure"])

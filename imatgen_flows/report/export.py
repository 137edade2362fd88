"""Structures and numbers of a run, in the forms that other programs read."""

from __future__ import annotations

import csv
import io
from collections import Counter
from pathlib import Path

from imatgen_flows.errors import InputError
from imatgen_flows.report.drawing import DrawingError, read_cif
from imatgen_flows.report.run_directory import COLUMNS, Row, RunDirectory, write_whole

FORMATS = ("cif", "extxyz", "csv", "parquet")
_INFO = ("id", "sample", "method", "formula", "spacegroup", "novelty", "novelty_match", "scale")
_INFO_NUMBERS = ("energy_per_atom", "formation_energy", "e_above_hull", "volume_per_atom", "spacegroup_number", "seed")


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
            write_whole(folder / name, content)
    except OSError as error:
        raise InputError(f"{folder}: cannot be written to: {error.strerror or error}.") from error
    return [folder / name for name in contents]


def _cif(rows: list[Row], only: str) -> dict[str, bytes]:
    shared = Counter(row["id"] for row in rows)
    names = [row["id"] if shared[row["id"]] == 1 else f"{row['id']}-{row['sample']}" for row in rows]
    return {f"{name}.cif": _structure(row).encode() for name, row in zip(names, rows, strict=True)}


def _extxyz(rows: list[Row], only: str) -> dict[str, bytes]:
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
        atoms.info = {name: row[name] for name in _INFO if row[name]}
        atoms.info |= {name: row[name] for name in _INFO_NUMBERS if row[name] is not None}
        crystals.append(atoms)
    buffer = io.StringIO()
    write(buffer, crystals, format="extxyz")
    return {f"candidates_{only}.extxyz": buffer.getvalue().encode()}


def _csv(rows: list[Row], only: str) -> dict[str, bytes]:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, [name for name in COLUMNS if name != "structure"], extrasaction="ignore")
    writer.writeheader()
    for row in rows:
        writer.writerow({**row, "parents": " ".join(row["parents"] or [])})
    return {f"candidates_{only}.csv": buffer.getvalue().encode()}


def _parquet(rows: list[Row], only: str) -> dict[str, bytes]:
    import pyarrow
    import pyarrow.parquet

    buffer = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), buffer)
    return {f"candidates_{only}.parquet": buffer.getvalue()}


def _structure(row: Row) -> str:
    if not row["structure"]:
        raise InputError(f"candidate {row['id']} ({row['sample']}) has no structure in candidates.parquet.")
    return str(row["structure"])

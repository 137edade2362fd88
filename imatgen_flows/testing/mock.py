"""Reference data for atomate2's mock VASP, made from finished runs of the stand-in.

A reference holds `inputs/` (INCAR, KPOINTS, POSCAR, POTCAR.spec), against which the mock checks what a flow writes,
and `outputs/`, which it copies instead of running VASP. A run of a few atoms takes about 20 kB.
"""

from __future__ import annotations

import gzip
from pathlib import Path

from imatgen_flows.errors import InputError
from imatgen_flows.testing.inputs import VaspError, read_potcar

INPUTS = ("INCAR", "KPOINTS", "POSCAR")
OUTPUTS = ("INCAR", "KPOINTS", "POSCAR", "CONTCAR", "OUTCAR", "OSZICAR", "vasprun.xml", "CHGCAR", "WAVECAR")


def make_reference(job: Path, reference: Path) -> Path:
    """Convert the directory of a finished VASP job into a reference.

    Parameters
    ----------
    job : directory of the job, compressed or not
    reference : directory to write; "json" must not occur in its path, since atomate2 takes such a path for an archive

    Returns
    -------
    `reference`

    Raises
    ------
    InputError
        Where the job lacks a file that the mock needs, or the path will not do.
    """
    if "json" in str(reference).lower():
        raise InputError(f"{reference}: a reference must not have `json` in its path. Choose another one.")
    for folder in ("inputs", "outputs"):
        (reference / folder).mkdir(parents=True, exist_ok=True)
    for name in INPUTS:
        # as written, before custodian changed it
        content = _find(job, f"{name}.orig")
        content = _find(job, name) if content is None else content
        if content is None and name != "KPOINTS":
            raise InputError(f"{job}: {name} is missing. Is the job finished?")
        if content is not None:
            _pack(reference / "inputs" / name, content)
    for name in OUTPUTS:
        content = _find(job, name)
        if content is None and name in ("vasprun.xml", "OUTCAR", "CONTCAR"):
            raise InputError(f"{job}: {name} is missing. Is the job finished?")
        if content is not None:
            _pack(reference / "outputs" / name, content)
    symbols = _symbols(job)
    for folder in ("inputs", "outputs"):
        (reference / folder / "POTCAR.spec").write_text(symbols)
    return reference


def _symbols(job: Path) -> str:
    content = _find(job, "POTCAR")
    if content is None:
        raise InputError(f"{job}: POTCAR is missing. Is the job finished?")
    try:
        return "\n".join(item.title.split()[1] for item in read_potcar(content.decode()))
    except VaspError as error:
        raise InputError(f"{job}: {error}") from error


def _find(job: Path, name: str) -> bytes | None:
    if (job / name).is_file():
        return (job / name).read_bytes()
    if (job / f"{name}.gz").is_file():
        return gzip.decompress((job / f"{name}.gz").read_bytes())
    return None


def _pack(path: Path, content: bytes) -> None:
    # mtime=0: equal content gives equal files
    path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(content, mtime=0))

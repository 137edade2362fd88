"""Installation of the stand-in for atomate2: three commands and a directory of stub POTCARs."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

from imatgen_flows.errors import InputError
from imatgen_flows.testing.potcars import write_potcars

ENGINES = ("toy", "chgnet")
VARIANTS = ("std", "gam", "ncl")
MODULE = "imatgen_flows.testing.vasp"


@dataclass(frozen=True)
class Installed:
    """An installation of the stand-in."""

    directory: Path

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables with which pymatgen and atomate2 use it."""
        return {
            "PMG_VASP_PSP_DIR": str(self.directory / "potcars"),
            "ATOMATE2_VASP_CMD": shlex.quote(str(self.directory / "vasp_std")),
            "ATOMATE2_VASP_GAMMA_CMD": shlex.quote(str(self.directory / "vasp_gam")),
            "ATOMATE2_VASP_NCL_CMD": shlex.quote(str(self.directory / "vasp_ncl")),
        }

    @property
    def exports(self) -> list[str]:
        """Shell lines that set these variables."""
        return [f"export {name}={shlex.quote(value)}" for name, value in self.environment.items()]


def install(directory: Path, engine: str = "toy", idle_seconds: float = 600.0) -> Installed:
    """Write the commands and the POTCARs, in place of those of an earlier installation.

    Parameters
    ----------
    directory : made where it does not exist
    engine : ``toy`` or ``chgnet``
    idle_seconds : how long the process that holds CHGNet outlives its last user

    Raises
    ------
    InputError
        Where the engine is not known, the directory cannot be written, or a VASP that is not ours lies there.
    """
    if engine not in ENGINES:
        raise InputError(f"the stand-in has no engine `{engine}`. Known: {', '.join(ENGINES)}.")
    directory = directory.absolute()
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for variant in VARIANTS:
            _refuse_other(directory / f"vasp_{variant}")
        for variant in VARIANTS:
            options = f"--variant {variant} --engine {engine} --idle-seconds {idle_seconds:g}"
            _write_command(directory / f"vasp_{variant}", options)
        write_potcars(directory / "potcars")
    except OSError as error:
        raise InputError(f"cannot install into {directory}: {error.strerror}. Choose another directory.") from error
    return Installed(directory)


def _refuse_other(path: Path) -> None:
    if path.exists() and MODULE.encode() not in path.read_bytes():
        raise InputError(f"{path} is there and is not the stand-in. Choose another directory.")


def _write_command(path: Path, options: str) -> None:
    # -P: the job's directory must not be searched for modules
    line = f"exec {shlex.quote(sys.executable)} -P -m {MODULE} {options}"
    threads = "OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1"
    path.write_text(f"#!/bin/sh\n# A stand-in for VASP, for tests: no DFT.\nexport {threads}\n{line}\n")
    path.chmod(0o755)

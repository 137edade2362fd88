"""Faults of the stand-in, requested in the INCAR: `SYSTEM = anything fault:brmix@1`.

`fault:NAME@ATTEMPT`, or `fault:NAME@ATTEMPT/STEP`: in which attempt in a directory (custodian restarts VASP in the same
one; `all` for every attempt) and after which ionic step (2 where none is given; in a static run the first). Case does
not matter, since pymatgen changes it.

A workflow engine that reruns a job takes a new directory, where the count begins anew. Where `STANDIN_ATTEMPTS` names a
directory, attempts are counted there, one count for each text of SYSTEM, so that `fault:sigkill@1` strikes once.
"""

from __future__ import annotations

import hashlib
import os
import re
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from imatgen_flows.testing.inputs import VaspError

ATTEMPTS = ".standin_attempts"
SLOW_SECONDS = 0.5  # of a step, under the fault `slow`
HANG_SECONDS = 86400.0  # longer than the walltime of any test

# fault: the message that custodian looks for, and whether VASP stops by itself after it
MESSAGES = {
    "zbrent": ("ZBRENT: fatal error in bracketing", True),
    "brmix": ("BRMIX: very serious problems", True),
    "subspace": ("WARNING: Sub-Space-Matrix is not hermitian in DAV", False),
    "edddav": ("Error EDDDAV: Call to ZHEGV failed", True),
    "zpotrf": ("LAPACK: Routine ZPOTRF failed", True),
    "symprec": ("inverse of rotation matrix was not found (increase SYMPREC)", True),
}
OTHERS = {
    "scf": "no electronic loop converges within NELM",
    "nsw": "the relaxation never converges",
    "metal": "the band gap is zero",
    "slow": f"each ionic step takes {SLOW_SECONDS} s more",
    "hang": "nothing happens any more",
    "sigkill": "the process is killed",
    "crash": "a segmentation fault before the first step",
    "oom": "memory runs out, said on stderr",
    "truncate": "vasprun.xml ends early, and yet the exit status is 0",
    "emptycontcar": "CONTCAR is left empty, as by a kill while it is written, and yet the exit status is 0",
    "diskfull": "neither VASP nor custodian can write any more",
}
NAMES = (*MESSAGES, *OTHERS)


@dataclass(frozen=True)
class Fault:
    """A fault planned for one attempt; `name` is empty where there is none."""

    name: str = ""
    step: int = 2

    def __bool__(self) -> bool:
        return bool(self.name)


def plan_fault(system: str, attempt: int) -> Fault:
    """Find the fault that SYSTEM requests for an attempt.

    Raises
    ------
    VaspError
        Where a fault is not known.
    """
    planned = Fault()
    for name, when, step in re.findall(r"fault:(\w+)@(\d+|all)(?:/(\d+))?", system, re.IGNORECASE):
        if name.lower() not in NAMES:
            raise VaspError(f"SYSTEM asks for the fault {name!r}. Known: {', '.join(NAMES)}.")
        if not planned and (when.lower() == "all" or int(when) == attempt):
            planned = Fault(name.lower(), int(step or 2))
    return planned


def count_attempt(directory: Path, system: str) -> int:
    """Count the starts of VASP in a directory, this one included."""
    path = directory / ATTEMPTS
    if common := os.environ.get("STANDIN_ATTEMPTS"):
        path = Path(common) / hashlib.sha256(system.lower().encode()).hexdigest()[:16]
        path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as stream:
        stream.write(b".")
        return stream.tell()


def apply_fault(fault: Fault, is_announced: bool) -> bool:
    """Carry out a fault after its ionic step; return whether its message has been printed.

    All files must have been flushed: some faults end the process on the spot.
    """
    if fault.name in MESSAGES:
        message, fatal = MESSAGES[fault.name]
        if not is_announced:
            print(f" {message}", flush=True)
        if fatal:
            sys.exit(1)
        return True
    if fault.name == "sigkill":
        os.kill(os.getpid(), signal.SIGKILL)
    if fault.name == "hang":
        time.sleep(HANG_SECONDS)
    if fault.name == "diskfull":
        log = Path("custodian.json")  # of the process that started us
        log.unlink(missing_ok=True)
        log.symlink_to("/dev/full")
        print("forrtl: No space left on device", file=sys.stderr, flush=True)
        sys.exit(1)
    if fault.name == "oom":
        print("Allocation would exceed memory limit", file=sys.stderr, flush=True)
        sys.exit(1)
    return is_announced


def crash() -> NoReturn:
    """End the process as after a segmentation fault."""
    print("forrtl: severe (174): SIGSEGV, segmentation fault occurred", flush=True)
    sys.exit(174)

"""Other Pythons in which a potential runs whose package cannot stand beside ours: what they have, and what they lack."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from imatgen_flows.errors import InputError
from imatgen_flows.parallel import worker_environment
from imatgen_flows.version import __version__

PATIENCE = 300.0  # s, to import from a cold file system
ANSWER = "imatgen-interpreter:"  # begins the line of the answer: packages print when they are imported

# run by the other Python, which may be too old for this program: no syntax that is younger than Python 3.6
QUESTION = """
import importlib.util, importlib.metadata, json, sys
module, package = sys.argv[1:3]
found = {"python": sys.version.split()[0], "has": importlib.util.find_spec(module) is not None, "version": "", "fault": ""}
try:
    found["version"] = importlib.metadata.version(package) if package else ""
except importlib.metadata.PackageNotFoundError:
    pass
try:
    import imatgen_flows.energetics.relax
    from imatgen_flows.version import __version__
    found["ours"] = __version__
except Exception as error:
    found["ours"], found["fault"] = "", "{}: {}".format(type(error).__name__, error)
print(sys.argv[3] + json.dumps(found))
"""


@dataclass(frozen=True)
class Interpreter:
    """What another Python answers.

    Attributes
    ----------
    path : of its executable
    module : that was asked for
    python : its version; empty where it could not be run
    has : whether it can import the module
    version : of the package of the module; empty where it is not known
    ours : version of this program that it imports; empty where it can import none
    fault : why it could not be run, or cannot import this program
    """

    path: str
    module: str
    python: str = ""
    has: bool = False
    version: str = ""
    ours: str = ""
    fault: str = ""

    def refuse_faults(self, what: str, package: str) -> None:
        """Refuse a Python that cannot be run, lacks the package, or cannot import this version of this program.

        Parameters
        ----------
        what : that is to run in it, for the message
        package : the distribution that has the module; empty where it is a module of the user's

        Raises
        ------
        InputError
            Where it is so; the message says what to do.
        """
        where = f"{what} is to run in {self.path} (setting `interpreters`)"
        if not self.python:
            raise InputError(f"{where}: {self.fault} Give the path of a Python, such as /path/to/venv/bin/python.")
        if not self.has:
            cure = f"`{self.path} -m pip install {package}`" if package else "put its folder on PYTHONPATH"
            raise InputError(f"{where}, which lacks the Python package `{self.module}`: {cure}.")
        if not self.ours:
            raise InputError(
                f"{where}, which cannot import this program ({self.fault}): "
                f"`{self.path} -m pip install --no-deps CLONE`, with the clone or wheel of this program, and what it "
                "then says is missing."
            )
        if self.ours != __version__:
            raise InputError(
                f"{where}, which has version {self.ours} of this program; here it is {__version__}. Install the same in both."
            )


@lru_cache  # one answer takes a second or two, and a job asks several times
def inspect_interpreter(path: str, module: str, package: str = "") -> Interpreter:
    """Ask another Python whether it has a module and this program; a fault is part of the answer.

    Parameters
    ----------
    path : of its executable, or of a script that starts it
    module : the importable name, for example ``mace``
    package : the distribution on PyPI that has it, whose version is asked for
    """
    if not Path(path).is_file():
        return Interpreter(path, module, fault="there is no such file.")
    command = [path, "-P", "-c", QUESTION, module, package, ANSWER]
    try:
        done = subprocess.run(
            command, env=worker_environment(path), capture_output=True, text=True, timeout=PATIENCE, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return Interpreter(path, module, fault=f"it cannot be run ({error}).")
    answers = [line.removeprefix(ANSWER) for line in done.stdout.splitlines() if line.startswith(ANSWER)]
    if not answers:
        said = (done.stderr.strip().splitlines() or ["it printed nothing"])[-1][:200]
        return Interpreter(path, module, fault=f"it does not answer as Python 3.11 or newer does ({said}).")
    return Interpreter(path, module, **json.loads(answers[-1]))

"""Checks of what a validation by VASP needs: its command, its pseudopotentials, and settings for the elements."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

from imatgen_flows.config import CampaignConfig
from imatgen_flows.energetics.backends import BACKENDS, Backend
from imatgen_flows.managers.checks import Check
from imatgen_flows.registry import load_object


def check_dft(config: CampaignConfig) -> list[Check]:
    """Check what the validation of a campaign needs, in the environment of this shell.

    On a cluster that is the environment of `env.sh`, which runs the same lines as jobs do.
    """
    backend = BACKENDS[config.validation.backend]
    if not backend.is_vasp:
        return []
    return [_check_command(), *check_dft_elements(config), *_check_potcars(config.system, backend)]


def check_dft_elements(config: CampaignConfig) -> list[Check]:
    """Check that the validation of a campaign has settings for its elements, whatever this machine has installed."""
    return [_check_system(config.system)] if BACKENDS[config.validation.backend].is_vasp else []


def _check_command() -> Check:
    from atomate2 import SETTINGS

    command = SETTINGS.VASP_CMD
    words = [word for word in shlex.split(command) if not word.startswith("-")]
    program = words[-1] if words else ""
    if program and shutil.which(program):
        return Check("VASP", True, command)
    return Check(
        "VASP",
        False,
        f"`{command}`: no program `{program}` on PATH. Set `vasp` in cluster.yaml, with the module that brings it in "
        "`setup`, or ATOMATE2_VASP_CMD without a cluster.",
    )


def _check_system(system: list[str]) -> Check:
    from pymatgen.core import Composition

    from imatgen_flows.energetics.mp_settings import f_element_fault

    fault = f_element_fault(Composition("".join(system)))
    return Check("DFT settings", not fault, fault or f"the Materials Project has some for {'-'.join(system)}")


def _check_potcars(system: list[str], backend: Backend) -> Iterator[Check]:
    from pymatgen.core import SETTINGS

    place = SETTINGS.get("PMG_VASP_PSP_DIR")
    if not place or not Path(place).is_dir():
        where = f"PMG_VASP_PSP_DIR is {place}, which is no directory" if place else "PMG_VASP_PSP_DIR is not set"
        cure = "Set `potcars` in cluster.yaml, or the variable; `pmg config -p` sorts what VASP ships"
        yield Check("POTCARs", False, f"{where}. {cure}.")
        return
    faults = [fault for element in system if (fault := _potcar_fault(element, backend))]
    yield Check("POTCARs", not faults, "; ".join(faults) or str(place))


def _potcar_fault(element: str, backend: Backend) -> str:
    """Describe the fault of the pseudopotential of an element; empty where there is none."""
    import warnings

    from pymatgen.io.vasp.inputs import PotcarSingle

    symbol = load_object(backend.input_set).CONFIG["POTCAR"].get(element)
    if symbol is None:
        return f"the input set has no pseudopotential for {element}"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pymatgen warns of a POTCAR that it does not know
            found = PotcarSingle.from_symbol_and_functional(symbol, backend.functional)
    except (OSError, ValueError, KeyError, IndexError) as error:
        return f"no {backend.functional} POTCAR {symbol}: {error}"
    title = str(found.TITEL)
    return (
        "" if title.startswith("PAW_PBE") else f"the POTCAR {symbol} is of another functional: its title is `{title}`"
    )

"""Documents of finished VASP calculations, built by emmet from numbers that a test chooses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from emmet.core.tasks import TaskDoc
from pymatgen.core import Structure

from imatgen_flows.energetics.backends import BACKENDS
from imatgen_flows.energetics.dft_result import DFTResult
from imatgen_flows.energetics.mp_settings import prescribed_u
from imatgen_flows.energetics.references import reference_phases

DATES = {"V_pv": "07Sep2000", "O": "08Apr2002", "N": "08Apr2002", "Fe_pv": "06Sep2000", "Mn_pv": "07Sep2000"}
POTCARS = {"V": "V_pv", "Fe": "Fe_pv", "Mn": "Mn_pv"}


@pytest.fixture(scope="session")
def phases() -> dict[str, Structure]:
    """Published phases of V and O, for example V2O5, by name."""
    return {phase.name: phase.structure for phase in reference_phases(["V", "O"])}


@pytest.fixture(scope="session")
def vasp_document() -> Callable[..., TaskDoc]:
    return _document


@pytest.fixture(scope="session")
def dft_result() -> Callable[..., DFTResult]:
    """The result of such a document, which is accepted."""

    def accept(
        structure: Structure, energy_per_atom: float = -8.0, backend: str = "vasp-mp-gga", **changes
    ) -> DFTResult:
        if backend == "vasp-mp24":
            changes = {"parameters": {"GGA": "--", "METAGGA": "R2SCAN"}, "hubbards": {}, **changes}
        result = BACKENDS[backend].check_document(_document(structure, energy_per_atom, **changes), fmax=0.05)
        assert isinstance(result, DFTResult), result
        return result

    return accept


@pytest.fixture
def results(phases, dft_result):
    """Elements and three oxides, at energies that VASP might give."""
    energies = {
        "V2O3 corundum": -8.0,
        "VO2 rutile": -8.1,
        "V2O5": -7.7,
        "V bcc": -9.08,
        "O2 molecule": -4.95,
    }
    return {name: dft_result(phases[name], energy) for name, energy in energies.items()}


def _document(
    structure: Structure,
    energy_per_atom: float = -8.0,
    *,
    force: tuple[float, float, float] = (0.0, 0.0, 0.01),
    hubbards: dict[str, float] | None = None,
    titles: list[str] | None = None,
    parameters: dict[str, Any] | None = None,
    steps: int = 3,
    stopped: bool = False,
    corrections: tuple[str, ...] = (),
    state: str = "successful",
    version: str = "6.4.2",
) -> TaskDoc:
    """Document of a relaxation with the settings of the Materials Project, but for the given changes."""
    symbols = [element.symbol for element in structure.composition.elements]
    u = prescribed_u(structure.composition) if hubbards is None else hubbards
    if titles is None:
        titles = [f"PAW_PBE {(name := POTCARS.get(s, s))} {DATES.get(name, '01Jan2001')}" for s in symbols]
    energy = energy_per_atom * len(structure)
    last = {"forces": [list(force)] * len(structure), "stress": [[0.5, 0, 0], [0, 0.5, 0], [0, 0, 0.5]]}
    step = {"e_fr_energy": energy, "e_wo_entrp": energy, "e_0_energy": energy, "electronic_steps": [], **last}
    ldau = {"LDAU": True, "LDAUU": [u.get(s, 0.0) for s in symbols], "LDAUJ": [0.0] * len(symbols)} if u else {}
    calculation = {
        "dir_name": "/scratch/run-1",
        "vasp_version": version,
        "has_vasp_completed": state,
        "task_name": "standard",
        "completed_at": "2026-01-01 00:00:00",
        "input": {
            "incar": {"NSW": 99, "IBRION": 2, "ISIF": 3, **ldau},
            "parameters": {"GGA": "--", "METAGGA": "--", "LDAU": bool(u)} if parameters is None else parameters,
            "potcar_spec": [{"titel": title} for title in titles],
            "structure": structure,
            "is_hubbard": bool(u),
            "hubbards": {s: u.get(s, 0.0) for s in symbols} if u else {},
        },
        "output": {
            "energy": energy,
            "energy_per_atom": energy_per_atom,
            "bandgap": 0.6,
            "structure": structure,
            "outcar": {
                "@module": "pymatgen.io.vasp.outputs",
                "@class": "Outcar",
                "is_stopped": stopped,
                "total_magnetization": 2.0,
            },
            "ionic_steps": [{**step, "structure": structure} for _ in range(steps)],
            "num_electronic_steps": [5] * steps,
        },
    }
    output = {"structure": structure, "energy": energy, "energy_per_atom": energy_per_atom, "bandgap": 0.6, **last}
    return TaskDoc.from_structure(
        meta_structure=structure,
        structure=structure,
        dir_name="node7:/scratch/run-1",
        calcs_reversed=[calculation],
        output=output,
        state=state,
        vasp_version=version,
        custodian=[{"corrections": [{"errors": [error], "actions": None} for error in corrections], "job": {}}],
        completed_at="2026-01-01 00:00:00",
        last_updated="2026-01-01 00:00:00",
    )

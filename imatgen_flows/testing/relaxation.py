"""Relaxation of ions and cell under ISIF and IBRION, with the convergence criterion EDIFFG."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from imatgen_flows.testing.engines import Evaluation
from imatgen_flows.testing.inputs import Crystal
from imatgen_flows.testing.settings import RunSettings

# ISIF: whether ions move, whether the shape of the cell changes, whether its volume does
FREEDOM = {
    **dict.fromkeys((0, 1, 2), (True, False, False)),
    3: (True, True, True),
    4: (True, True, False),
    5: (False, True, False),
    6: (False, True, True),
    7: (False, False, True),
    8: (True, False, True),
}


@dataclass(frozen=True)
class EvaluatedCell:
    """A cell with fractional positions, and its energy, forces and stress."""

    cell: np.ndarray
    fractional: np.ndarray
    result: Evaluation

    @property
    def volume(self) -> float:
        """Volume of the cell in A^3."""
        return abs(float(np.linalg.det(self.cell)))


ForceFunction = Callable[[np.ndarray, np.ndarray], Evaluation]


def relaxation_path(crystal: Crystal, settings: RunSettings, evaluate: ForceFunction) -> Iterator[EvaluatedCell]:
    """Yield the geometry of each ionic step, the first as given, and at most NSW of them.

    Parameters
    ----------
    crystal : the start
    settings : of the run
    evaluate : called with cell and cartesian positions in A, once for each geometry
    """
    if settings.static:
        yield EvaluatedCell(crystal.cell, crystal.fractional, evaluate(crystal.cell, crystal.fractional @ crystal.cell))
        return
    from ase import Atoms
    from ase.optimize import BFGS, FIRE

    atoms = Atoms(crystal.symbols, cell=crystal.cell, scaled_positions=crystal.fractional, pbc=True)
    atoms.calc = _calculator(evaluate)
    target = _variables(atoms, settings.freedom, settings.pressure)
    optimiser = FIRE(target, logfile=None) if settings.algorithm == 3 else BFGS(target, logfile=None, maxstep=0.1)
    for _ in optimiser.irun(fmax=0.0, steps=settings.steps - 1):
        atoms.get_potential_energy()
        yield EvaluatedCell(atoms.cell.array.copy(), atoms.get_scaled_positions(wrap=False), atoms.calc.evaluation)


def _calculator(evaluate: ForceFunction) -> Any:
    """Wrap a force function as an ASE calculator that keeps its last evaluation."""
    from ase.calculators.calculator import Calculator, all_changes

    class EngineCalculator(Calculator):
        """An ASE calculator that calls the force function."""

        implemented_properties = ["energy", "forces", "stress"]  # noqa: RUF012 - as ASE declares it
        evaluation: Evaluation

        def calculate(self, atoms: Any = None, properties: Any = None, system_changes: Any = all_changes) -> None:
            super().calculate(atoms, properties, system_changes)
            self.evaluation = evaluate(atoms.cell.array.copy(), atoms.positions.copy())
            self.results = {
                "energy": self.evaluation.energy,
                "forces": self.evaluation.forces,
                "stress": self.evaluation.stress.ravel()[[0, 4, 8, 5, 2, 1]],
            }

    return EngineCalculator()


def _variables(atoms: Any, isif: int, pressure: float) -> Any:
    """Return the ASE object whose degrees of freedom the optimiser changes, at a pressure in eV/A^3."""
    ions, shape, volume = FREEDOM[isif]
    if not shape and not volume:
        return atoms
    from ase.filters import UnitCellFilter  # FrechetCellFilter takes 0.1 s a step for its matrix logarithms

    first_volume = atoms.get_volume()

    class CellFilter(UnitCellFilter):
        """A cell filter that keeps the ions or the volume where ISIF fixes them."""

        def get_forces(self, *args: Any, **kwargs: Any) -> np.ndarray:
            forces = super().get_forces(*args, **kwargs)
            if not ions:  # they keep their fractional coordinates
                forces[: len(self.atoms)] = 0.0
            return forces

        def set_positions(self, *args: Any, **kwargs: Any) -> None:
            super().set_positions(*args, **kwargs)
            if not volume:  # ASE keeps it to first order only
                factor = (first_volume / self.atoms.get_volume()) ** (1 / 3)
                self.atoms.set_cell(self.atoms.cell * factor, scale_atoms=True)

    return CellFilter(atoms, hydrostatic_strain=not shape, constant_volume=not volume, scalar_pressure=pressure)


def is_converged(settings: RunSettings, before: EvaluatedCell | None, now: EvaluatedCell) -> bool:
    """Tell whether a relaxation fulfils EDIFFG.

    EDIFFG < 0 asks that every force that may act be smaller than its absolute value (for the cell: the virial per atom
    in eV); EDIFFG > 0 that the energy of the cell change by less; 0 never stops.
    """
    if settings.static:
        return True
    if settings.ediffg >= 0:
        return before is not None and abs(now.result.energy - before.result.energy) < settings.ediffg
    ions, shape, volume = FREEDOM[settings.freedom]
    largest = float(np.linalg.norm(now.result.forces, axis=1).max()) if ions else 0.0
    virial = (now.result.stress + settings.pressure * np.eye(3)) * now.volume / len(now.fractional)
    pressure = np.eye(3) * np.trace(virial) / 3
    if volume:
        largest = max(largest, float(np.abs(pressure).max()))
    if shape:
        largest = max(largest, float(np.abs(virial - pressure).max()))
    return largest < -settings.ediffg


def is_stop_requested(directory: Path) -> bool:
    """Tell whether a STOPCAR file requests the end of the run."""
    try:
        text = (directory / "STOPCAR").read_text()
    except FileNotFoundError:
        return False
    return re.search(r"\bL(STOP|ABORT)\s*=\s*\.?T", text, re.IGNORECASE) is not None

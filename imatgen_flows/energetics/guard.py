"""The guard around a potential: it counts evaluations, and stops a relaxation that has become unphysical."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from imatgen_flows.parallel import Tick

if TYPE_CHECKING:
    from ase import Atoms
    from ase.calculators.calculator import Calculator

# limits that no sound relaxation reaches: outside them a potential extrapolates, and the rest of its steps is wasted
VOLUME_CHANGE = 3.0  # factor by which a cell may grow or shrink
COMPRESSION = 15  # factor by which it may shrink under a pressure; molecular hydrogen does by 8 up to 100 GPa
SHORTEST_DISTANCE = 0.5  # A; the shortest bond, of H2, is 0.74 A
MAX_ENERGY = 1000.0  # eV/atom, absolute value; cohesive energies are below 10 eV/atom
PROPERTIES = ("energy", "forces", "stress")


@dataclass
class StoppedError(Exception):
    """A relaxation was stopped because a geometry or an energy is unphysical."""

    reason: str
    detail: str = field(default="")


def guarded(calculator: Calculator, tick: Tick, properties: Sequence[str], compression: float) -> Any:
    """Wrap a calculator so that each evaluation of these properties is counted, and an unphysical one raises."""
    from ase.calculators.calculator import Calculator, all_changes

    wanted = [name for name in properties if name in calculator.implemented_properties]

    class Guarded(Calculator):
        implemented_properties = wanted
        evaluations = 0
        volume: float | None = None

        def calculate(self, atoms: Any = None, properties: Any = None, system_changes: Any = all_changes) -> None:
            super().calculate(atoms, properties, system_changes)
            self.volume = self.volume or atoms.get_volume()
            check_geometry(atoms, self.volume, compression)
            tick()
            self.evaluations += 1
            calculator.calculate(atoms, wanted, all_changes)
            self.results = {name: calculator.results[name] for name in wanted}
            check_results(self.results, len(atoms))

    return Guarded()


def check_geometry(atoms: Atoms, volume: float, compression: float = VOLUME_CHANGE) -> None:
    """Check coordinates, distances, and the volume against the initial one (A^3), which may be compressed by a factor.

    Raises
    ------
    StoppedError
        Where one is not finite or outside the limits.
    """
    from pymatgen.optimization.neighbors import find_points_in_spheres

    if not (np.isfinite(atoms.positions).all() and np.isfinite(atoms.cell[:]).all()):
        raise StoppedError("not_finite", "a coordinate is not a finite number")
    change = atoms.get_volume() / volume
    if not 1 / compression <= change <= VOLUME_CHANGE:
        limits = f"limits 1/{compression:g} and {VOLUME_CHANGE:g}"
        raise StoppedError("diverged", f"the volume is {change:.2f} of the initial one ({limits})")
    positions = np.ascontiguousarray(atoms.positions, dtype=float)
    pairs = find_points_in_spheres(
        positions,
        positions,
        r=SHORTEST_DISTANCE,
        pbc=np.ones(3, dtype=np.int64),
        lattice=np.ascontiguousarray(atoms.cell[:], dtype=float),
        tol=1e-8,
    )
    others = np.sort(pairs[3])[len(positions) :]  # each atom finds itself, at distance zero
    if len(others):
        raise StoppedError("diverged", f"two atoms are {others[0]:.2f} A apart (limit {SHORTEST_DISTANCE} A)")


def check_results(results: dict[str, Any], n_atoms: int) -> None:
    """Check the results of a potential.

    Raises
    ------
    StoppedError
        Where one is not finite, or the energy exceeds `MAX_ENERGY`.
    """
    for name, value in results.items():
        if not np.isfinite(value).all():
            raise StoppedError("not_finite", f"the potential returned {name} that is not a finite number")
    energy = float(results["energy"]) / n_atoms
    if abs(energy) > MAX_ENERGY:
        raise StoppedError("diverged", f"the energy is {energy:.3g} eV/atom (limit {MAX_ENERGY:g})")

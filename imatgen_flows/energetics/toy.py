"""A toy potential for any elements, fast and smooth, for tests and for trial campaigns; its energies mean nothing."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from ase.calculators.calculator import Calculator, all_changes
from pymatgen.core import Element
from pymatgen.optimization.neighbors import find_points_in_spheres

# values that make compounds form and relaxations short; no element is described by them
CUTOFF = 5.0  # A
STIFFNESS = 2.5  # 1/A, of the Morse potential


class ToyCalculator(Calculator):
    """Pairwise Morse potential with a smooth cutoff at 5 A.

    The bond length is the sum of the atomic radii, twice that between two atoms of one non-metal (anions repel).
    The depth is 0.2 eV, and 0.3 eV more per unit of electronegativity difference, so that compounds form.
    """

    implemented_properties = ["energy", "forces", "stress"]  # noqa: RUF012 - as ASE declares it

    def __init__(self, device: str = "cpu", **kwargs: Any) -> None:
        super().__init__(**kwargs)

    def calculate(self, atoms: Any = None, properties: Any = None, system_changes: Any = all_changes) -> None:
        """Compute energy (eV), forces (eV/A) and stress (eV/A^3) of one configuration."""
        super().calculate(atoms, properties, system_changes)
        numbers, positions = atoms.numbers, np.ascontiguousarray(atoms.positions)
        cell, periodic = np.ascontiguousarray(atoms.cell[:]), atoms.pbc.astype(np.int64)
        first, second, images, distance = find_points_in_spheres(positions, positions, CUTOFF, periodic, cell)
        pairs = distance > 1e-8  # without each atom itself
        first, second, images, distance = first[pairs], second[pairs], images[pairs], distance[pairs]
        vectors = positions[second] + images @ cell - positions[first]
        kinds, kind = np.unique(numbers, return_inverse=True)
        table = np.array([[_pair(int(a), int(b)) for b in kinds] for a in kinds])
        depth, rest = table[kind[first], kind[second]].T
        decay = np.exp(-STIFFNESS * (distance - rest))
        bond, slope = depth * (decay**2 - 2 * decay), 2 * STIFFNESS * depth * (decay - decay**2)
        u = (distance / CUTOFF) ** 2
        fade, fade_slope = (1 - u) ** 2, -4 * (1 - u) * distance / CUTOFF**2
        pull = ((slope * fade + bond * fade_slope) / distance)[
            :, None
        ] * vectors  # each pair is listed in both directions
        forces = np.zeros((len(numbers), 3))
        np.add.at(forces, first, pull)
        self.results = {"energy": 0.5 * float((bond * fade).sum()), "forces": forces}
        if atoms.cell.rank == 3:
            stress = 0.5 * vectors.T @ pull / atoms.get_volume()
            self.results["stress"] = stress.flat[[0, 4, 8, 5, 2, 1]]


@lru_cache
def _pair(a: int, b: int) -> tuple[float, float]:
    """Return depth (eV) and rest length (A) of the bond between two elements."""
    one, other = Element.from_Z(a), Element.from_Z(b)
    radii = [float(e.atomic_radius or e.atomic_radius_calculated or 1.5) for e in (one, other)]
    apart = not one.is_metal and not other.is_metal
    depth = 0.2 + 0.3 * abs(_electronegativity(one) - _electronegativity(other))
    return depth, sum(radii) * (2 if apart and a == b else 1)


def _electronegativity(element: Element) -> float:
    return 0.0 if element.is_noble_gas else float(element.X)

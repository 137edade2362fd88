"""Synthetic electronic structure: irreducible k-points, and bands that are consistent with a chosen gap."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from imatgen_flows.testing.inputs import Crystal, Mesh, VaspError
from imatgen_flows.testing.settings import RunSettings

NONMETALS = frozenset(("H", "He", "C", "N", "O", "F", "Ne", "P", "S", "Cl", "Ar", "Se", "Br", "Kr", "I", "Xe", "Rn"))
GAP = 1.0  # eV, of every crystal that contains a nonmetal
FERMI = 4.0  # eV
SPACING = 0.35  # eV between bands
GRID = 301  # NEDOS


@dataclass(frozen=True)
class Points:
    """Irreducible k-points, in units of the reciprocal vectors, and their weights."""

    mesh: Mesh
    fractional: np.ndarray
    weights: np.ndarray


def irreducible(crystal: Crystal, mesh: Mesh, symmetry: bool) -> Points:
    """Reduce a mesh by the symmetry of the crystal and by time reversal."""
    if mesh.points is not None and mesh.weights is not None:
        return Points(mesh, mesh.points, mesh.weights)
    import spglib

    kinds = [crystal.species.index(symbol) for symbol in crystal.symbols]
    divisions = np.array(mesh.divisions)
    shift = (divisions % 2 == 0).astype(int) if mesh.style == "Monkhorst-Pack" else np.zeros(3, int)
    # a crystal in which all ions differ has no symmetry but time reversal
    numbers = kinds if symmetry else list(range(len(kinds)))
    found = spglib.get_ir_reciprocal_mesh(
        divisions, (crystal.cell.tolist(), crystal.fractional.tolist(), numbers), is_shift=shift, is_time_reversal=True
    )
    if found is None:
        raise VaspError("the symmetry of the crystal cannot be found: ions may lie upon each other.")
    which, grid = found
    unique, counts = np.unique(which, return_counts=True)
    return Points(mesh, (grid[unique] + shift / 2) / divisions, counts / counts.sum())


@dataclass(frozen=True)
class Bands:
    """Energies in eV and occupations, each spin x k-point x band."""

    fermi: float
    energies: np.ndarray
    occupations: np.ndarray

    def density_of_states(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return energies (n), and the density and its integral (spin x n each), in states/eV."""
        width = 24.0 / (GRID - 1)
        edges = self.fermi - 12 + width * np.arange(GRID + 1)
        density = np.array(
            [
                sum(weight * np.histogram(levels, edges)[0] for weight, levels in zip(weights, spin, strict=True))
                / width
                for spin in self.energies
            ]
        )
        return edges[:-1], density, np.cumsum(density, axis=1) * width


def synthetic_bands(crystal: Crystal, settings: RunSettings, points: Points, moment: float, metal: bool) -> Bands:
    """Build synthetic bands and fill them with the electrons of the cell.

    Parameters
    ----------
    moment : of the cell, mu_B
    metal : no gap, whatever the crystal is made of
    """
    electrons = round(settings.electrons)
    unpaired = min(round(abs(moment)), electrons)
    unpaired += (electrons - unpaired) % 2
    filled = [(electrons + unpaired) // 2, (electrons - unpaired) // 2] if settings.spin else [electrons // 2]
    filled = [min(count, settings.bands - 1) for count in filled]
    gap = 0.0 if metal or not NONMETALS & set(crystal.species) else GAP
    dispersion = 0.15 * (1 - np.cos(2 * np.pi * points.fractional).mean(axis=1))[:, None]  # 0 at Gamma
    band = np.arange(settings.bands)[None, :]
    energies, occupations = [], []
    for count in filled:
        empty = FERMI + gap / 2 + 0.001 + SPACING * (band - count) + dispersion
        full = FERMI - gap / 2 - 0.001 - SPACING * (count - 1 - band) - dispersion
        levels = np.where(band < count, full, empty)
        occupied = np.where(band < count, 1.0, 0.0) * np.ones_like(levels)
        if gap == 0 and count > 0:
            _overlap(levels, occupied, count, dispersion[:, 0])
        energies.append(levels)
        occupations.append(occupied)
    return Bands(FERMI, np.array(energies), np.array(occupations))


def _overlap(levels: np.ndarray, occupied: np.ndarray, count: int, dispersion: np.ndarray) -> None:
    """Raise the highest filled band above the lowest empty one, so that pymatgen finds a gap of exactly 0."""
    place = (dispersion - dispersion.min()) / max(float(np.ptp(dispersion)), 1e-9)
    levels[:, count - 1] = FERMI + 0.1 + 0.2 * place
    levels[:, count] = FERMI - 0.1 - 0.2 * place
    occupied[:, count - 1], occupied[:, count] = 1.0, 0.0

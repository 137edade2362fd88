"""Engines of the stand-in, which compute energies and forces: a toy potential, or CHGNet in a server process."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from imatgen_flows.testing.inputs import Crystal, VaspError


@dataclass(frozen=True)
class Evaluation:
    """Energy in eV, forces in eV/A, stress in eV/A^3 (positive: the cell wants to shrink), moments in mu_B or None."""

    energy: float
    forces: np.ndarray
    stress: np.ndarray
    moments: np.ndarray | None = None


class Engine(Protocol):
    """Computes energy, forces, stress and moments of configurations of one crystal."""

    name: str

    def evaluate(self, cell: np.ndarray, positions: np.ndarray) -> Evaluation:
        """Evaluate one configuration; lengths in A."""


class ToyEngine:
    """The toy potential, in this process. It has no moments: those of MAGMOM stay."""

    name = "toy potential"

    def __init__(self, symbols: list[str]) -> None:
        from imatgen_flows.energetics.toy import ToyCalculator

        self.symbols = symbols
        self.calculator = ToyCalculator()

    def evaluate(self, cell: np.ndarray, positions: np.ndarray) -> Evaluation:
        """Evaluate one configuration."""
        return evaluate_ase(self.calculator, self.symbols, cell, positions)


class ChgnetEngine:
    """CHGNet in a server process, on the energy scale of an uncorrected DFT calculation.

    CHGNet was trained on energies with the corrections of the Materials Project; VASP writes energies without them, and
    they are added to what it wrote. They are therefore subtracted here, for the crystal as it is at the start: the
    energy must not jump within a relaxation.

    Parameters
    ----------
    crystal : as it is at the start
    hubbards : U of each element in eV; empty without LDAU
    idle_seconds : how long a server that is started here outlives its last user
    """

    def __init__(self, crystal: Crystal, hubbards: dict[str, float], idle_seconds: float) -> None:
        from imatgen_flows.testing.client import ServerConnection

        self.symbols = crystal.symbols
        self.server = ServerConnection(idle_seconds)
        positions = crystal.fractional @ crystal.cell
        answer = self.server.request("describe", hubbards=hubbards, **self._crystal(crystal.cell, positions))
        self.name, self.correction = answer["name"], answer["correction"]

    def _crystal(self, cell: np.ndarray, positions: np.ndarray) -> dict[str, Any]:
        return {"symbols": self.symbols, "cell": cell.tolist(), "positions": positions.tolist()}

    def evaluate(self, cell: np.ndarray, positions: np.ndarray) -> Evaluation:
        """Evaluate one configuration."""
        answer = self.server.request("evaluate", **self._crystal(cell, positions))
        return Evaluation(
            energy=answer["energy"] - self.correction,
            forces=np.array(answer["forces"]),
            stress=np.array(answer["stress"]),
            moments=np.array(answer["moments"]),
        )


def start_engine(name: str, crystal: Crystal, hubbards: dict[str, float], idle_seconds: float) -> Engine:
    """Start an engine for one crystal.

    Parameters
    ----------
    name : ``toy`` or ``chgnet``
    hubbards : U of each element in eV; empty without LDAU
    idle_seconds : how long a server that is started here outlives its last user

    Raises
    ------
    VaspError
        Where the name is not known, or the server cannot be started.
    """
    if name == "toy":
        return ToyEngine(crystal.symbols)
    if name == "chgnet":
        return ChgnetEngine(crystal, hubbards, idle_seconds)
    raise VaspError(f"the stand-in has no engine {name!r}: toy and chgnet are there.")


def evaluate_ase(calculator: Any, symbols: list[str], cell: np.ndarray, positions: np.ndarray) -> Evaluation:
    """Evaluate one configuration with an ASE calculator."""
    from ase import Atoms

    atoms = Atoms(symbols, cell=cell, positions=positions, pbc=True)
    atoms.calc = calculator
    energy, forces, stress = atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress(voigt=False)
    moments = calculator.results.get("magmoms")
    return Evaluation(
        float(energy),
        np.asarray(forces, float),
        np.asarray(stress, float),
        None if moments is None else np.abs(np.asarray(moments, float)).ravel(),
    )

"""Settings of a stand-in run: the INCAR completed with VASP's defaults."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from imatgen_flows.testing.inputs import Inputs, VaspError

KILOBAR = 1602.1766208  # of one eV/A^3


@dataclass(frozen=True)
class RunSettings:
    """Settings of one run. Energies in eV, forces in eV/A."""

    steps: int  # NSW
    algorithm: int  # IBRION: -1 none, 1 and 2 quasi-Newton here, 3 damped
    freedom: int  # ISIF
    ediff: float
    ediffg: float  # > 0: change of the energy, < 0: largest force
    electronic_steps: int  # NELM
    spin: bool
    moments: tuple[float, ...]  # MAGMOM, mu_B
    smearing: int  # ISMEAR
    width: float  # SIGMA
    electrons: float  # NELECT
    bands: int  # NBANDS
    hubbards: dict[str, float]  # element: U - J, eV; empty without LDAU
    pressure: float  # PSTRESS, here in eV/A^3

    @property
    def static(self) -> bool:
        """Whether the ions are fixed."""
        return self.algorithm == -1 or self.steps == 0


def read_settings(inputs: Inputs) -> RunSettings:
    """Complete the INCAR of a run with VASP's defaults.

    Raises
    ------
    VaspError
        Where the INCAR asks for molecular dynamics, phonons, spin-orbit coupling, a hybrid functional or a response:
        none of them is supported.
    """
    incar, ions = inputs.incar, len(inputs.crystal.symbols)
    for tag in ("LSORBIT", "LNONCOLLINEAR", "LHFCALC", "LEPSILON", "LOPTICS"):
        if incar.get(tag):
            raise VaspError(f"{tag} is not known to the stand-in.")
    steps = incar.get("NSW", 0)
    algorithm = incar.get("IBRION", 0 if steps > 0 else -1)
    if algorithm not in (-1, 1, 2, 3):
        raise VaspError(f"IBRION = {algorithm} is not known to the stand-in: -1, 1, 2 and 3 are.")
    freedom = incar.get("ISIF", 2)
    if freedom not in range(9):
        raise VaspError(f"ISIF = {freedom} is not known to the stand-in.")
    if incar.get("ICHARG", 2) >= 10:
        raise VaspError("ICHARG >= 10 (a fixed density) is not known to the stand-in.")
    spin = incar.get("ISPIN", 1) == 2
    moments = tuple(incar.get("MAGMOM", [1.0] * ions)) if spin else (0.0,) * ions
    electrons = incar.get("NELECT") or sum(
        p.valence * n for p, n in zip(inputs.potcar, inputs.crystal.counts, strict=True)
    )
    ediff = incar.get("EDIFF", 1e-4)
    return RunSettings(
        steps=steps,
        algorithm=algorithm,
        freedom=freedom,
        ediff=ediff,
        ediffg=incar.get("EDIFFG", 10 * ediff),
        electronic_steps=incar.get("NELM", 60),
        spin=spin,
        moments=moments,
        smearing=incar.get("ISMEAR", 1),
        width=incar.get("SIGMA", 0.2),
        electrons=electrons,
        bands=incar.get("NBANDS") or _default_bands(electrons, ions, moments),
        hubbards=_hubbards(incar, inputs.crystal.species),
        pressure=incar.get("PSTRESS", 0.0) / KILOBAR,
    )


def _default_bands(electrons: float, ions: int, moments: tuple[float, ...]) -> int:
    """Choose enough bands for both spins and a few empty ones."""
    paired = max(math.floor((electrons + 2) / 2) + max(ions // 2, 3), math.floor(0.6 * electrons))
    return paired + math.floor((sum(abs(moment) for moment in moments) + 1) / 2)


def _hubbards(incar: dict[str, Any], species: tuple[str, ...]) -> dict[str, float]:
    if not incar.get("LDAU"):
        return {}
    zeros = [0.0] * len(species)
    pairs = zip(species, incar.get("LDAUU", zeros), incar.get("LDAUJ", zeros), strict=True)
    return {name: strength - exchange for name, strength, exchange in pairs}

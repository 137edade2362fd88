"""Writer of OUTCAR: the lines that pymatgen, emmet and custodian read."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from imatgen_flows.testing import VERSION
from imatgen_flows.testing.calculation import Calculation, IonicStep

RULE = "-" * 104


class Outcar:
    """An OUTCAR file, written and flushed step by step."""

    def __init__(self, path: Path, run: Calculation) -> None:
        self.run, self.stream = run, path.open("w")
        self.stream.write(_head(run))
        self.stream.flush()

    def step(self, step: IonicStep) -> None:
        """Write one ionic step."""
        energy, result, geometry = step.energies[-1], step.geometry.result, step.geometry
        loop = "reached" if step.converged else "not reached (unconverged)"
        parts = [
            f"{RULE}\n\n\n--------------------------------------- Iteration {step.number:6d}({number:4d})  "
            "---------------------------------------\n\n    LOOP:  cpu time      0.0100: real time      0.0100\n\n"
            for number in range(1, len(step.energies) + 1)
        ]
        parts.append(
            f"------------------------ aborting loop because EDIFF is {loop} -----------------------------\n\n"
        )
        parts.append(" E-fermi :   4.0000     XC(G=0): -10.0000     alpha+bet : -10.0000\n\n")
        parts.append(
            f" number of electron {self.run.settings.electrons:15.7f} magnetization {step.moments.sum():15.7f}\n\n"
            f"  free energy    TOTEN  = {energy:18.8f} eV\n\n"
            "  FREE ENERGIE OF THE ION-ELECTRON SYSTEM (eV)\n"
            "  ---------------------------------------------------\n"
            f"  free  energy   TOTEN  = {energy:18.8f} eV\n\n"
            f"  energy  without entropy= {energy:18.8f}  energy(sigma->0) = {energy:18.8f}\n\n"
        )
        stress = step.stress
        voigt = _numbers(stress[[0, 1, 2, 0, 1, 2], [0, 1, 2, 1, 2, 0]], 12, 5)
        parts.append(f"  in kB   {voigt}\n  external pressure = {np.trace(stress) / 3:12.2f} kB")
        parts.append(f"  Pullay stress =        0.00 kB\n\n  volume of cell : {geometry.volume:12.4f}\n\n")
        parts.append(f" POSITION                                       TOTAL-FORCE (eV/Angst)\n {'-' * 83}\n")
        for position, force in zip(geometry.fractional @ geometry.cell, result.forces, strict=True):
            parts.append(f" {_numbers(position, 13, 5)}  {_numbers(force, 14, 6)}\n")
        parts.append(f" {'-' * 83}\n    total drift:                {_numbers(result.forces.sum(axis=0), 14, 6)}\n\n")
        if self.run.inputs.incar.get("LORBIT", 0) >= 10:
            parts.append(self._projections(step))
        parts.append(f"     LOOP+:  cpu time {step.seconds:10.4f}: real time {step.seconds:10.4f}\n")
        self.stream.write("".join(parts))
        self.stream.flush()

    def finish(self, remark: str, seconds: float) -> None:
        """Write how the run ended and how long it took, and close the file."""
        if remark:
            self.stream.write(f"\n {remark}\n")
        times = {
            "Total CPU time used (sec)": seconds,
            "User time (sec)": seconds,
            "System time (sec)": 0.0,
            "Elapsed time (sec)": seconds,
            "Maximum memory used (kb)": 1e5,
            "Average memory used (kb)": 0.0,
        }
        self.stream.write("\n\n General timing and accounting:\n ====================\n\n")
        self.stream.write("".join(f"{name:>45s}: {value:12.3f}\n" for name, value in times.items()))
        self.stream.close()

    def _projections(self, step: IonicStep) -> str:
        """Return the tables of charges and moments of the ions, all of them put into d orbitals."""
        crystal = self.run.inputs.crystal
        valence = {item.element: item.valence for item in self.run.inputs.potcar}
        text = _table("total charge", [valence[symbol] for symbol in crystal.symbols])
        return text + (_table("magnetization (x)", list(step.moments)) if self.run.settings.spin else "")


def _head(run: Calculation) -> str:
    inputs, settings, crystal = run.inputs, run.settings, run.inputs.crystal
    potcar = "".join(
        f" POTCAR:    {item.title}\n   VRHFIN ={item.element}:\n   TITEL  = {item.title}\n"
        f"   POMASS = {item.mass:8.3f}; ZVAL   = {item.valence:8.3f}    mass and valenz\n"
        for item in inputs.potcar
    )
    points = "".join(
        f" k-point {number:4d} :   {_numbers(point, 8, 4)}  plane waves:    1500\n"
        for number, point in enumerate(run.points.fractional, 1)
    )
    count, ions = len(run.points.weights), len(crystal.symbols)
    return (
        f" vasp.{VERSION} (stand-in, {run.engine}; no DFT) complex\n\n"
        f" executed on             STANDIN date {time.strftime('%Y.%m.%d  %H:%M:%S')}\n"
        " running on    1 total cores\n\n INCAR:\n"
        + "".join(f"   {name} = {value}\n" for name, value in inputs.incar.items())
        + potcar
        + f"\n Dimension of arrays:\n   k-points           NKPTS = {count:6d}   k-points in BZ     NKDIM = {count:6d}"
        f"   number of bands    NBANDS= {settings.bands:6d}\n"
        f"   number of dos      NEDOS =    301   number of ions     NIONS = {ions:6d}\n"
        "   total plane-waves  NPLWV =  46656\n"
        f"   ions per type =   {' '.join(f'{count:5d}' for count in crystal.counts)}\n\n"
        f"   ISPIN  = {2 if settings.spin else 1:6d}    spin polarized calculation?\n"
        "   LNONCOLLINEAR =      F non collinear calculations\n"
        f"   NELM   = {settings.electronic_steps:6d}\n   EDIFFG = {settings.ediffg:.1E}\n"
        f"   NSW    = {settings.steps:6d}\n   IBRION = {settings.algorithm:6d}\n   ISIF   = {settings.freedom:6d}\n"
        f"   NELECT = {settings.electrons:12.4f}    total number of electrons\n\n\n{RULE}\n\n\n{points}\n"
        " maximum and minimum number of plane-waves per node :      1500     1500\n\n"
    )


def _table(title: str, values: list[float]) -> str:
    rows = "".join(f"{ion:5d}     {0.0:8.3f}{0.0:8.3f}{x:8.3f}{x:8.3f}\n" for ion, x in enumerate(values, 1))
    total = sum(values)
    return (
        f"\n\n {title}\n\n# of ion       s       p       d       tot\n------------------------------------------\n{rows}"
        f"--------------------------------------------------\n"
        f"tot       {0.0:8.3f}{0.0:8.3f}{total:8.3f}{total:8.3f}\n\n"
    )


def _numbers(row: np.ndarray, width: int, digits: int) -> str:
    return "".join(f"{x:{width}.{digits}f}" for x in row)

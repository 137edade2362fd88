"""Writer of all output files of a run, step by step, so that a killed run leaves what a killed VASP would leave."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from imatgen_flows.io.files import write_atomic
from imatgen_flows.testing import VERSION
from imatgen_flows.testing.calculation import Calculation, IonicStep
from imatgen_flows.testing.electrons import Bands
from imatgen_flows.testing.outcar import Outcar
from imatgen_flows.testing.relaxation import EvaluatedCell
from imatgen_flows.testing.vasprun import Vasprun

OSZICAR_HEAD = "       N       E                     dE             d eps       ncg     rms          rms(c)"


class Outputs:
    """The output files of one run.

    Parameters
    ----------
    run : the calculation
    directory : where the files are written
    """

    def __init__(self, run: Calculation, directory: Path) -> None:
        self.run, self.directory, self.started = run, directory, time.time()
        self.vasprun = Vasprun(directory / "vasprun.xml", run)
        self.outcar = Outcar(directory / "OUTCAR", run)
        self.oszicar = (directory / "OSZICAR").open("w")
        self.xdatcar = (directory / "XDATCAR").open("w")
        self.energy = 0.0
        crystal = run.inputs.crystal
        print(f" running on    1 total cores\n vasp.{VERSION} ({run.engine}; no DFT)")
        print(f" POSCAR found :  {len(crystal.species)} types and {len(crystal.symbols):7d} ions")
        print(f" entering main loop\n{OSZICAR_HEAD}", flush=True)
        self.oszicar.write(OSZICAR_HEAD + "\n")
        self.oszicar.flush()
        self.xdatcar.write(self._head(crystal.cell))
        self._write_ibzkpt()

    def begin_step(self, step: IonicStep) -> None:
        """Write an ionic step, without the end of its record in vasprun.xml: the last record also holds the bands."""
        self.vasprun.begin_step(step)
        self.outcar.step(step)
        self._write_oszicar(step)
        self.xdatcar.write(f"Direct configuration={step.number:6d}\n{_rows(step.geometry.fractional, 12, 8)}")
        self.xdatcar.flush()
        self._write_contcar(step.geometry)

    def end_step(self, bands: Bands | None = None) -> None:
        """End the record of an ionic step; the last one gets the bands."""
        if bands is not None:
            self.vasprun.electrons(bands, self.run.points.weights)
        self.vasprun.end_step()

    def finish(self, geometry: EvaluatedCell, remark: str) -> None:
        """Write what follows the last ionic step, and close all files.

        Parameters
        ----------
        remark : how the relaxation ended; empty in a static run
        """
        if remark:
            print(f" {remark}")
        self.outcar.finish(remark, time.time() - self.started)
        self.vasprun.finish(geometry)
        for stream in (self.oszicar, self.xdatcar):
            stream.close()
        incar = self.run.inputs.incar
        if incar.get("LCHARG", True):
            self._write_chgcar(geometry)
        (self.directory / "WAVECAR").touch()
        for name in ("CHG", "DOSCAR", "EIGENVAL", "PCDAT", "REPORT"):
            (self.directory / name).touch()
        if incar.get("LWAVE", True):
            print(" writing wavefunctions", flush=True)

    def _head(self, cell: np.ndarray) -> str:
        """Return the header of a POSCAR: comment, cell, species and their counts."""
        crystal = self.run.inputs.crystal
        names = "   ".join(f"{name:<2s}" for name in crystal.species)
        counts = "".join(f"{count:6d}" for count in crystal.counts)
        return f"{crystal.comment}\n   1.00000000000000\n{_rows(cell, 22, 16)}   {names}\n{counts}\n"

    def _write_contcar(self, geometry: EvaluatedCell) -> None:
        velocities = _rows(np.zeros_like(geometry.fractional), 16, 8)
        text = f"{self._head(geometry.cell)}Direct\n{_rows(geometry.fractional % 1.0, 20, 16)}\n{velocities}"
        write_atomic(self.directory / "CONTCAR", text)

    def _write_oszicar(self, step: IonicStep) -> None:
        lines, previous = [], 0.0
        for number, energy in enumerate(step.energies, 1):
            lines.append(
                f"DAV:{number:4d}    {energy:18.12E}   {energy - previous:12.5E}  "
                f"{-abs(energy - step.energies[-1]):12.5E} {400:6d}   {10.0 ** (1 - number):9.3E}"
            )
            previous = energy
        energy = step.energies[-1]
        magnetisation = f"  mag= {step.moments.sum():10.4f}" if self.run.settings.spin else ""
        change = energy - self.energy
        lines.append(f"{step.number:4d} F= {energy:.8E} E0= {energy:.8E}  d E ={change:.6E}{magnetisation}")
        self.energy = energy
        text = "\n".join(lines) + "\n"
        self.oszicar.write(text)
        self.oszicar.flush()
        print(text, end="", flush=True)

    def _write_ibzkpt(self) -> None:
        points = self.run.points
        total = int(np.prod(points.mesh.divisions)) or 1
        rows = [
            "".join(f"{x:20.14f}" for x in point) + f"  {round(weight * total):12d}"
            for point, weight in zip(points.fractional, points.weights, strict=True)
        ]
        head = f"Automatically generated mesh\n{len(rows):8d}\nReciprocal lattice\n"
        (self.directory / "IBZKPT").write_text(head + "\n".join(rows) + "\n")

    def _write_chgcar(self, geometry: EvaluatedCell) -> None:
        density = " ".join([f"{self.run.settings.electrons:.11E}"] * 8)
        positions = _rows(geometry.fractional % 1.0, 20, 16)
        text = f"{self._head(geometry.cell)}Direct\n{positions}\n    2    2    2\n {density}\n"
        (self.directory / "CHGCAR").write_text(text)


def _rows(numbers: np.ndarray, width: int, digits: int) -> str:
    return "".join(" " + "".join(f"{x:{width}.{digits}f}" for x in row) + "\n" for row in numbers)

"""Writer of vasprun.xml: the elements that pymatgen and emmet need, in VASP's order."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape, quoteattr

import numpy as np

from imatgen_flows.testing import VERSION
from imatgen_flows.testing.calculation import Calculation, IonicStep
from imatgen_flows.testing.electrons import GRID, Bands
from imatgen_flows.testing.relaxation import EvaluatedCell


class Vasprun:
    """A vasprun.xml file, written and flushed step by step."""

    def __init__(self, path: Path, run: Calculation) -> None:
        self.stream, self.pressure = path.open("w"), run.settings.pressure
        self.write('<?xml version="1.0" encoding="ISO-8859-1"?>\n<modeling>\n')
        self.write(_generator(run.engine))
        self.write("<incar>\n" + "".join(_tag(name, value) for name, value in run.inputs.incar.items()) + "</incar>\n")
        self.write(_kpoints(run))
        self.write('<parameters>\n<separator name="general">\n')
        self.write("".join(_tag(name, value) for name, value in _parameters(run).items()))
        self.write("</separator>\n</parameters>\n")
        self.write(_atoms(run))
        self.write(_structure(run.inputs.crystal.cell, run.inputs.crystal.fractional, "initialpos"))
        self.stream.flush()

    def write(self, text: str) -> None:
        """Write text to the file, without flushing it to the disk."""
        self.stream.write(text)

    def begin_step(self, step: IonicStep) -> None:
        """Write energies, geometry, forces and stress of an ionic step."""
        self.write("<calculation>\n")
        for energy in step.energies:
            self.write(f'<scstep>\n<time name="total">    0.01    0.01</time>\n{_energy(energy)}</scstep>\n')
        self.write(_structure(step.geometry.cell, step.geometry.fractional))
        self.write(_array("forces", step.geometry.result.forces) + _array("stress", step.stress))
        # as VASP does, the energy of an ionic step holds pV under PSTRESS, that of its electronic steps does not
        self.write(_energy(step.energies[-1] + self.pressure * step.geometry.volume))
        self.stream.flush()

    def electrons(self, bands: Bands, weights: np.ndarray) -> None:
        """Write eigenvalues and density of states, which only the last ionic step has."""
        self.write("<eigenvalues>\n<array>\n")
        self.write(
            "".join(f'<dimension dim="{i}">{n}</dimension>\n' for i, n in enumerate(("band", "kpoint", "spin"), 1))
        )
        self.write("<field>eigene</field>\n<field>occ</field>\n<set>\n")
        for spin, (energies, occupations) in enumerate(zip(bands.energies, bands.occupations, strict=True), 1):
            self.write(f'<set comment="spin {spin}">\n')
            for point, (levels, filled) in enumerate(zip(energies, occupations, strict=True), 1):
                rows = "".join(
                    f"<r>{level:10.4f} {part:9.4f} </r>\n" for level, part in zip(levels, filled, strict=True)
                )
                self.write(f'<set comment="kpoint {point}">\n{rows}</set>\n')
            self.write("</set>\n")
        self.write("</set>\n</array>\n</eigenvalues>\n")
        grid, density, integral = bands.density_of_states(weights)
        self.write(f'<dos>\n<i name="efermi">{bands.fermi:16.8f} </i>\n<total>\n<array>\n')
        self.write('<dimension dim="1">gridpoints</dimension>\n<dimension dim="2">spin</dimension>\n')
        self.write("<field>energy</field>\n<field>total</field>\n<field>integrated</field>\n<set>\n")
        for spin, columns in enumerate(zip(density, integral, strict=True), 1):
            rows = "".join(
                "<r>" + "".join(f"{x:12.4f} " for x in row) + "</r>\n" for row in zip(grid, *columns, strict=True)
            )
            self.write(f'<set comment="spin {spin}">\n{rows}</set>\n')
        self.write("</set>\n</array>\n</total>\n</dos>\n")

    def end_step(self) -> None:
        """Close the record of an ionic step."""
        self.write("</calculation>\n")
        self.stream.flush()

    def finish(self, geometry: EvaluatedCell) -> None:
        """Write the last geometry and close the file."""
        self.write(_structure(geometry.cell, geometry.fractional, "finalpos") + "</modeling>\n")
        self.stream.close()


def _generator(engine: str) -> str:
    content = {
        "program": "vasp",
        "version": VERSION,
        "subversion": f"stand-in, {engine}; no DFT",
        "platform": "STANDIN",
        "date": time.strftime("%Y %m %d"),
        "time": time.strftime("%H:%M:%S"),
    }
    return "<generator>\n" + "".join(_tag(name, value) for name, value in content.items()) + "</generator>\n"


def _kpoints(run: Calculation) -> str:
    mesh, points = run.points.mesh, run.points
    generation = ""
    if mesh.style != "explicit":
        divisions = " ".join(f"{n:8d}" for n in mesh.divisions)
        vectors = {"usershift": np.zeros(3)}
        vectors |= {f"genvec{i + 1}": np.eye(3)[i] / n for i, n in enumerate(mesh.divisions)}
        vectors["shift"] = np.zeros(3)
        rows = "".join(f'<v name="{name}">{_numbers(vector)} </v>\n' for name, vector in vectors.items())
        generation = (
            f'<generation param="{mesh.style}">\n<v type="int" name="divisions">{divisions} </v>\n{rows}</generation>\n'
        )
    lists = _array("kpointlist", points.fractional) + _array("weights", points.weights[:, None])
    return f"<kpoints>\n{generation}{lists}</kpoints>\n"


def _parameters(run: Calculation) -> dict[str, Any]:
    """Return the parameters that pymatgen, emmet and custodian read."""
    incar, settings = run.inputs.incar, run.settings
    parameters: dict[str, Any] = {
        "SYSTEM": incar.get("SYSTEM", "unknown system"),
        "PREC": incar.get("PREC", "normal").lower()[:6],
        "ENMAX": incar.get("ENCUT", max(item.cutoff for item in run.inputs.potcar)),
        "EDIFF": settings.ediff,
        "IALGO": incar.get("IALGO", 38),
        "NBANDS": settings.bands,
        "NELECT": settings.electrons,
        "ISMEAR": settings.smearing,
        "SIGMA": settings.width,
        "KSPACING": incar.get("KSPACING", 0.5),
        "KGAMMA": incar.get("KGAMMA", True),
        "LMAXMIX": incar.get("LMAXMIX", 2),
        "ISTART": 0,
        "ICHARG": incar.get("ICHARG", 2),
        "ISPIN": 2 if settings.spin else 1,
        "LNONCOLLINEAR": False,
        "MAGMOM": list(settings.moments),
        "NUPDOWN": -1.0,
        "LSORBIT": False,
        "LASPH": incar.get("LASPH", False),
        "NELM": settings.electronic_steps,
        "NELMDL": incar.get("NELMDL", -5),
        "NELMIN": incar.get("NELMIN", 2),
        "NSW": settings.steps,
        "IBRION": settings.algorithm,
        "ISIF": settings.freedom,
        "EDIFFG": settings.ediffg,
        "POTIM": incar.get("POTIM", 0.5),
        "ISYM": incar.get("ISYM", 2),
        "SYMPREC": incar.get("SYMPREC", 1e-5),
        "LORBIT": incar.get("LORBIT", 0),
        "NEDOS": GRID,
        "EFERMI": 0.0,
        "LWAVE": incar.get("LWAVE", True),
        "LCHARG": incar.get("LCHARG", True),
        "LDAU": incar.get("LDAU", False),
        # a GGA that comes from the POTCAR is written so; anything else changes the run type that emmet finds
        "GGA": incar.get("GGA", "--"),
        "GGA_COMPAT": incar.get("GGA_COMPAT", True),
        "LMETAGGA": "METAGGA" in incar,
        "METAGGA": incar.get("METAGGA", "--"),
        "LHFCALC": False,
        "AEXX": 0.0,
        "HFSCREEN": 0.0,
        "ALDAC": 1.0,
        "AGGAX": 1.0,
        "AGGAC": 1.0,
        "LUSE_VDW": incar.get("LUSE_VDW", False),
        "IVDW": incar.get("IVDW", 0),
        "LEPSILON": False,
        "LOPTICS": False,
        "LCHIMAG": False,
    }
    if settings.hubbards:
        parameters |= {name: incar[name] for name in ("LDAUTYPE", "LDAUL", "LDAUU", "LDAUJ") if name in incar}
    return parameters


def _atoms(run: Calculation) -> str:
    crystal, potcar = run.inputs.crystal, run.inputs.potcar
    ions = "".join(
        f"<rc><c>{symbol:<2s}</c><c>{crystal.species.index(symbol) + 1:4d}</c></rc>\n" for symbol in crystal.symbols
    )
    types = "".join(
        f"<rc><c>{count:4d}</c><c>{item.element:<2s}</c><c>{item.mass:16.8f}</c><c>{item.valence:16.8f}</c>"
        f"<c>  {escape(item.header):<38s}</c></rc>\n"
        for item, count in zip(potcar, crystal.counts, strict=True)
    )
    fields = (
        '<field type="int">atomspertype</field>\n<field type="string">element</field>\n<field>mass</field>\n'
        '<field>valence</field>\n<field type="string">pseudopotential</field>\n'
    )
    return (
        f"<atominfo>\n<atoms>{len(crystal.symbols):8d} </atoms>\n<types>{len(crystal.species):8d} </types>\n"
        '<array name="atoms">\n<dimension dim="1">ion</dimension>\n<field type="string">element</field>\n'
        f'<field type="int">atomtype</field>\n<set>\n{ions}</set>\n</array>\n'
        f'<array name="atomtypes">\n<dimension dim="1">type</dimension>\n{fields}<set>\n{types}</set>\n</array>\n'
        "</atominfo>\n"
    )


def _structure(cell: np.ndarray, fractional: np.ndarray, name: str = "") -> str:
    label = f" name={quoteattr(name)}" if name else ""
    volume = f'<i name="volume">{abs(np.linalg.det(cell)):16.8f} </i>\n'
    crystal = _array("basis", cell) + volume + _array("rec_basis", np.linalg.inv(cell).T)
    return f"<structure{label}>\n<crystal>\n{crystal}</crystal>\n{_array('positions', fractional)}</structure>\n"


def _energy(energy: float) -> str:
    # without entropy of the electrons the three are one
    names = ("e_fr_energy", "e_wo_entrp", "e_0_energy")
    return "<energy>\n" + "".join(_tag(name, float(energy)) for name in names) + "</energy>\n"


def _tag(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return f'<i type="logical" name="{name}"> {"T" if value else "F"}  </i>\n'
    if isinstance(value, int):
        return f'<i type="int" name="{name}">{value:6d}</i>\n'
    if isinstance(value, str):
        return f'<i type="string" name="{name}">{escape(value)}</i>\n'
    if isinstance(value, float):
        return f'<i name="{name}">{value:16.8f}</i>\n'
    whole = all(isinstance(item, int) for item in value)
    kind = ' type="int"' if whole else ""
    numbers = "".join(f" {item:8d}" if whole else f" {item:16.8f}" for item in value)
    return f'<v{kind} name="{name}">{numbers}</v>\n'


def _array(name: str, rows: np.ndarray) -> str:
    return f'<varray name="{name}">\n' + "".join(f"<v>{_numbers(row)} </v>\n" for row in rows) + "</varray>\n"


def _numbers(row: np.ndarray) -> str:
    return "".join(f"{x:17.8f}" for x in row)

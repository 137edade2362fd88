"""Inputs of phonons by VASP: displaced supercells with the static settings of the Materials Project, for phonopy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pymatgen.core import Structure

from imatgen_flows.energetics.phonon_cells import (
    PhononSettings,
    phonon_cost,
    phonopy_of,
    primitive_standard_cell,
    structure_of_phonopy,
)
from imatgen_flows.errors import InputError
from imatgen_flows.io.files import write_atomic

# forces to 1e-4 eV/A or better, of which differences are taken: phonopy's advice for VASP
ACCURATE = {"EDIFF": 1e-8, "PREC": "Accurate", "LREAL": False, "ADDGRID": False, "LWAVE": False, "LCHARG": False}
README = """Phonons of {formula} by VASP and phonopy: {number} displaced supercells of {atoms} atoms.

1. The cell must be at the minimum of VASP's own energy: relax POSCAR-unitcell with the same settings and a small EDIFFG first
   if it comes from elsewhere, and write these inputs again.
2. Copy the POTCAR of your licence into each disp-NNN ({symbols}), and run VASP in each.
3. phonopy --vasp -f disp-{{001..{number:03d}}}/vasprun.xml, in this folder, where phonopy_disp.yaml lies; then
   phonopy-load --mesh 40 for the spectrum.
"""


def write_vasp_inputs(
    structure: Structure,
    folder: Path | str,
    settings: PhononSettings = PhononSettings(),  # noqa: B008 - frozen
) -> list[Path]:
    """Write a folder of inputs for each displaced supercell, and what phonopy needs to read the results.

    Parameters
    ----------
    structure : ordered solid; its primitive standard cell is displaced, without being relaxed here
    folder : is made; it must not hold inputs already
    settings : of the supercell and the displacement

    Returns
    -------
    folders of the calculations, ``disp-001`` and so on; each holds POSCAR, INCAR and KPOINTS. POTCAR is left to the user,
    whose licence decides

    Raises
    ------
    InputError
        Where the structure is no ordered solid, the supercells are too large, or the folder holds inputs already.

    Examples
    --------
    >>> import tempfile
    >>> from pymatgen.core import Lattice, Structure
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     [path.name for path in write_vasp_inputs(Structure(Lattice.cubic(3.0), ["Cu"], [[0] * 3]), folder)]
    ['disp-001']
    """
    cost = phonon_cost(structure, settings)
    if cost.obstacle:
        raise InputError(f"no inputs of phonons are written: {cost.detail}.")
    folder = Path(folder)
    if folder.is_dir() and any(folder.glob("disp-*")):
        raise InputError(f"{folder}: holds displaced supercells already. Give another folder, or remove them.")
    cell = primitive_standard_cell(structure, settings.symprec)
    try:
        symbols = " ".join(_inputs(cell).potcar_symbols)
    except KeyError as error:
        raise InputError(f"the settings of the Materials Project name no pseudopotential of {error}.") from error
    folder.mkdir(parents=True, exist_ok=True)
    phonon = phonopy_of(cell, cost.supercell)
    phonon.generate_displacements(distance=settings.displacement)
    made = []
    for number, displaced in enumerate(phonon.supercells_with_displacements, 1):
        path = folder / f"disp-{number:03d}"
        path.mkdir()
        inputs = _inputs(structure_of_phonopy(displaced))
        for name, text in (("POSCAR", inputs.poscar), ("INCAR", inputs.incar), ("KPOINTS", inputs.kpoints)):
            write_atomic(path / name, f"{text}".rstrip("\n") + "\n")
        made.append(path)
    write_atomic(folder / "POSCAR-unitcell", cell.to(fmt="poscar"))
    phonon.save(folder / "phonopy_disp.yaml")
    formula = cell.composition.reduced_formula
    text = README.format(formula=formula, number=len(made), atoms=cost.supercell_atoms, symbols=symbols)
    write_atomic(folder / "README.txt", text)
    return made


def _inputs(structure: Structure) -> Any:
    """Set VASP up as the Materials Project does for a static calculation; the order of the sites is phonopy's."""
    from pymatgen.io.vasp.sets import MPStaticSet

    return MPStaticSet(structure, user_incar_settings=ACCURATE, sort_structure=False)

"""Crystals that pymatgen and ASE wrote for many programs: read as the same crystal, or left out with a reason."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import warnings
from functools import partial

import ase.io
import numpy as np
import pytest
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Lattice, Structure
from pymatgen.io.ase import AseAtomsAdaptor
from pymatgen.io.cif import CifWriter
from pymatgen.io.vasp.inputs import Poscar

from imatgen_flows.crystals.formats import decode
from imatgen_flows.crystals.structure_files import read_crystals

RUTILE = Structure.from_spacegroup(136, Lattice.tetragonal(4.55, 2.86), ["V", "O"], [[0, 0, 0], [0.305, 0.305, 0]])
CHLORIDE = Structure(Lattice.cubic(4.1), ["Cs", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
TRICLINIC = Structure(
    Lattice.from_parameters(4, 5, 6, 80, 95, 103), ["V", "O", "O"], [[0.1, 0.2, 0.3], [0.6, 0.5, 0.8], [0.3, 0.8, 0.05]]
)
HYDRIDE = Structure.from_spacegroup(225, Lattice.cubic(4.8), ["Zr", "H"], [[0, 0, 0], [0.25, 0.25, 0.25]])
CHARGED = RUTILE.copy().add_oxidation_state_by_element({"V": 4, "O": -2})
MAGNETIC = RUTILE.copy(site_properties={"magmom": [1.0, -1.0, 0, 0, 0, 0]})
MIXED = Structure(Lattice.cubic(4.2), [{"V": 0.5, "Ti": 0.5}, "O"], [[0, 0, 0], [0.5, 0.5, 0.5]])
SAME = StructureMatcher(0.01, 0.02, 0.1, primitive_cell=False, scale=False)


def by_pymatgen(crystal, fmt, **options):
    return crystal.to(fmt=fmt, **options).encode()


def by_ase(crystals, fmt, tmp_path, **options):
    images = [AseAtomsAdaptor.get_atoms(crystal) for crystal in crystals]
    path = tmp_path / "written"
    ase.io.write(path, images if len(images) > 1 else images[0], format=fmt, **options)
    return path.read_bytes()


def database(crystals, tmp_path, suffix):
    from ase.db import connect

    with connect(tmp_path / f"written.{suffix}") as rows:
        for crystal in crystals:
            rows.write(AseAtomsAdaptor.get_atoms(crystal))
    return (tmp_path / f"written.{suffix}").read_bytes()


def molecule(tmp_path):
    from ase.build import molecule

    ase.io.write(tmp_path / "water.xyz", molecule("H2O"), format="xyz")
    return (tmp_path / "water.xyz").read_bytes()


def slab(tmp_path):
    atoms = AseAtomsAdaptor.get_atoms(RUTILE)
    atoms.pbc = (True, True, False)
    ase.io.write(tmp_path / "slab.extxyz", atoms)
    return (tmp_path / "slab.extxyz").read_bytes()


def quantum_espresso(crystal, tmp_path):
    names = {symbol: f"{symbol}.upf" for symbol in crystal.symbol_set}
    return by_ase([crystal], "espresso-in", tmp_path, pseudopotentials=names)


def cif(crystal, **options):
    return str(CifWriter(crystal, **options)).encode()


def with_deuterium(text):
    return text.replace(b"  H  H", b"  D  D")


# name of the file, what writes it, and the crystals that are to be read, or a word of the reason why there is none
KINDS = {
    "p1.cif": (lambda tmp: cif(TRICLINIC), [TRICLINIC]),
    "symmetric.cif": (lambda tmp: cif(RUTILE, symprec=0.01), [RUTILE]),
    "cubic.cif": (lambda tmp: cif(HYDRIDE, symprec=0.01), [HYDRIDE]),
    "ase.cif": (lambda tmp: by_ase([RUTILE], "cif", tmp), [RUTILE]),
    "several.cif": (lambda tmp: by_ase([RUTILE, TRICLINIC], "cif", tmp), [RUTILE, TRICLINIC]),
    "blocks.cif": (lambda tmp: cif(RUTILE) + b"\n" + cif(CHLORIDE), [RUTILE, CHLORIDE]),
    "charged.cif": (lambda tmp: cif(CHARGED), [RUTILE]),
    "deuteride.cif": (lambda tmp: with_deuterium(cif(HYDRIDE)), [HYDRIDE]),
    "mixed.cif": (lambda tmp: cif(MIXED), [MIXED]),
    "latin.cif": (lambda tmp: "# Müller\n".encode("latin-1") + cif(RUTILE), [RUTILE]),
    "windows.cif": (lambda tmp: cif(RUTILE).replace(b"\n", b"\r\n"), [RUTILE]),
    "marked.cif": (lambda tmp: b"\xef\xbb\xbf" + cif(RUTILE), [RUTILE]),
    "wide.cif": (lambda tmp: cif(RUTILE).decode().encode("utf-16"), [RUTILE]),
    "zipped.cif.gz": (lambda tmp: gzip.compress(cif(RUTILE)), [RUTILE]),
    "zipped.cif.bz2": (lambda tmp: bz2.compress(cif(RUTILE)), [RUTILE]),
    "zipped.cif.xz": (lambda tmp: lzma.compress(cif(RUTILE)), [RUTILE]),
    "page.cif": (lambda tmp: b"<html>404</html>", "no CIF"),
    "magnetic.mcif": (lambda tmp: cif(MAGNETIC, write_magmoms=True), [RUTILE]),
    "POSCAR": (lambda tmp: by_pymatgen(TRICLINIC, "poscar"), [TRICLINIC]),
    "direct.vasp": (lambda tmp: by_ase([RUTILE], "vasp", tmp, direct=True), [RUTILE]),
    "cartesian.vasp": (lambda tmp: by_ase([TRICLINIC], "vasp", tmp, direct=False), [TRICLINIC]),
    "fixed.poscar": (
        lambda tmp: str(Poscar(RUTILE, selective_dynamics=[[True, False, True]] * len(RUTILE))).encode(),
        [RUTILE],
    ),
    "four_named.vasp": (lambda tmp: Poscar(RUTILE).get_str(vasp4_compatible=True).encode(), [RUTILE]),
    "four.vasp": (lambda tmp: by_ase([RUTILE], "vasp", tmp, vasp5=False), "cannot be determined"),
    "CONTCAR.gz": (lambda tmp: gzip.compress(by_pymatgen(RUTILE, "poscar")), [RUTILE]),
    "XDATCAR": (lambda tmp: by_ase([RUTILE, RUTILE], "vasp-xdatcar", tmp), [RUTILE, RUTILE]),
    "frames.extxyz": (lambda tmp: by_ase([RUTILE, TRICLINIC], "extxyz", tmp), [RUTILE, TRICLINIC]),
    "frame.xyz": (lambda tmp: by_ase([TRICLINIC], "extxyz", tmp), [TRICLINIC]),
    "zipped.extxyz.gz": (lambda tmp: gzip.compress(by_ase([RUTILE], "extxyz", tmp)), [RUTILE]),
    "water.xyz": (molecule, "no cell"),
    "slab.extxyz": (slab, "periodic along 2 axes"),
    "cell.xsf": (lambda tmp: by_pymatgen(RUTILE, "xsf"), [RUTILE]),
    "ase.xsf": (lambda tmp: by_ase([TRICLINIC], "xsf", tmp), [TRICLINIC]),
    "cell.cssr": (lambda tmp: by_pymatgen(RUTILE, "cssr"), [RUTILE]),
    "airss.res": (lambda tmp: by_pymatgen(TRICLINIC, "res"), [TRICLINIC]),
    "joined.res": (lambda tmp: by_pymatgen(RUTILE, "res") + b"\n" + by_pymatgen(TRICLINIC, "res"), [RUTILE, TRICLINIC]),
    "one.json": (lambda tmp: by_pymatgen(RUTILE, "json"), [RUTILE]),
    "charged.json": (lambda tmp: by_pymatgen(CHARGED, "json"), [RUTILE]),
    "list.json": (lambda tmp: json.dumps([RUTILE.as_dict(), CHLORIDE.as_dict()]).encode(), [RUTILE, CHLORIDE]),
    "documents.json": (lambda tmp: json.dumps([{"structure": RUTILE.as_dict()}]).encode(), [RUTILE]),
    "rows.jsonl": (lambda tmp: json.dumps(RUTILE.as_dict()).encode() + b"\n", [RUTILE]),
    "ase.json": (lambda tmp: database([RUTILE, CHLORIDE], tmp, "json"), [RUTILE, CHLORIDE]),
    "ase.db": (lambda tmp: database([RUTILE], tmp, "db"), [RUTILE]),
    "run.traj": (lambda tmp: by_ase([RUTILE, CHLORIDE], "traj", tmp), [RUTILE, CHLORIDE]),
    "castep.cell": (lambda tmp: by_ase([TRICLINIC], "castep-cell", tmp), [TRICLINIC]),
    "geometry.in": (lambda tmp: by_ase([TRICLINIC], "aims", tmp), [TRICLINIC]),
    "scaled.geometry.in": (lambda tmp: by_ase([RUTILE], "aims", tmp, scaled=True), [RUTILE]),
    "espresso.pwi": (partial(quantum_espresso, RUTILE), [RUTILE]),
    "dftb.gen": (lambda tmp: by_ase([RUTILE], "gen", tmp), [RUTILE]),
    "cell.lmp": (lambda tmp: by_ase([RUTILE], "lammps-data", tmp), "files of this type are not read"),
    "notes.txt": (lambda tmp: b"no crystal", "files of this type are not read"),
}


def plain(crystal):
    """Deuterium is hydrogen, and charges are none, in what is compared."""
    if not crystal.is_ordered:
        return crystal
    return Structure(crystal.lattice, [site.specie.symbol for site in crystal], crystal.frac_coords)


@pytest.mark.parametrize("name", KINDS)
def test_a_file_is_read_as_the_crystal_that_was_written_or_says_why_not(tmp_path, name):
    write, expected = KINDS[name]
    folder = tmp_path / "files"
    folder.mkdir()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        (folder / name).write_bytes(write(tmp_path))
    (folder / "zzz.cif").write_bytes(cif(CHLORIDE))  # a neighbour that is whole
    found = list(read_crystals(folder, None, "templates"))
    assert found.pop().id == "zzz"
    if isinstance(expected, str):
        (raw,) = found
        assert expected in raw.crystal.detail and raw.crystal.detail.startswith(f"{name}: ")
        return
    assert [type(raw.crystal) for raw in found] == [Structure] * len(expected), found
    for raw, crystal in zip(found, expected, strict=True):
        assert len(raw.crystal) == len(crystal)
        assert SAME.fit(plain(raw.crystal), crystal)


def test_pymatgen_and_ase_read_the_same_from_what_both_can_read(tmp_path):
    for name, (write, expected) in KINDS.items():
        if (
            isinstance(expected, str)
            or len(expected) > 1
            or not name.endswith((".cif", ".vasp", "POSCAR", ".json", ".gz"))
        ):
            continue
        if name in ("wide.cif", "ase.json", "documents.json", "deuteride.cif", "mixed.cif", "zipped.extxyz.gz"):
            continue  # which one of the two cannot read, or reads as something else
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            (tmp_path / name).write_bytes(write(tmp_path))
            theirs = Structure.from_file(tmp_path / name)
        (ours,) = read_crystals(tmp_path / name, None, "templates")
        np.testing.assert_allclose(ours.crystal.lattice.matrix, theirs.lattice.matrix, atol=1e-8, err_msg=name)
        np.testing.assert_allclose(ours.crystal.frac_coords, theirs.frac_coords, atol=1e-8, err_msg=name)


def test_text_of_no_declared_encoding_is_decoded():
    assert decode("Å\r\n".encode("latin-1")) == decode("Å\r".encode()) == decode("Å\n".encode("utf-16")) == "Å\n"

"""A campaign at a pressure: all of its energies are enthalpies there, and its hull rests on solids."""

from __future__ import annotations

import pyarrow.parquet as pq
import pytest
from ase.units import GPa
from pymatgen.core import Composition
from pymatgen.io.ase import AseAtomsAdaptor

from imatgen_flows.candidates.states import Geometry
from imatgen_flows.energetics.potentials import get_potential
from imatgen_flows.io.artifacts import read_lines
from imatgen_flows.jobs.build_dataset import build_dataset
from imatgen_flows.jobs.candidate_table import candidate_structures
from imatgen_flows.jobs.dataset_rows import structure_of
from imatgen_flows.jobs.hulls import load_hull
from imatgen_flows.jobs.label_dataset import label_dataset
from imatgen_flows.jobs.rank_candidates import rank_candidates
from imatgen_flows.jobs.references import extend_hull
from imatgen_flows.report.html import build_report
from imatgen_flows.report.methods import methods_paragraph
from imatgen_flows.report.run_directory import RunDirectory

PRESSURE = 20.0


@pytest.fixture(scope="module")
def run(tiny, run_once_trained, tmp_path_factory):
    config = tiny(search={"pressure": PRESSURE}, validity={"charge": "flag"})
    return run_once_trained(config, tmp_path_factory.mktemp("pressure") / "vo")


def enthalpy(structure):
    """E + pV of an atom, by ASE alone."""
    atoms = AseAtomsAdaptor.get_atoms(structure, msonable=False)
    atoms.calc = get_potential("toy").calculator()
    return (atoms.get_potential_energy() + PRESSURE * GPa * atoms.get_volume()) / len(atoms)


def test_every_phase_of_the_hull_is_a_solid_with_its_enthalpy(run, documents):
    (references,) = documents(run, extend_hull)
    phases = [row for row in read_lines(references.phases) if row["state"] == "relaxed"]
    assert load_hull(references).potential == "toy 1 at 20 GPa"
    assert not any(row["molecule"] for row in phases)
    assert {"O2 alpha", "O2 delta", "V bcc"} <= {row["name"] for row in phases}
    for row in phases:
        assert row["energy_per_atom"] == pytest.approx(enthalpy(structure_of(row)), abs=1e-6)


def test_every_relaxed_candidate_has_its_enthalpy_above_that_hull(run, documents):
    (ranked,), (references,) = documents(run, rank_candidates), documents(run, extend_hull)
    structures, hull = candidate_structures(ranked.candidates, Geometry.RELAXED), load_hull(references)
    rows = {row["sample"]: row for row in pq.read_table(run / "candidates.parquet").to_pylist()}
    assert structures
    for sample, structure in structures.items():
        row = rows[sample]
        assert row["energy_per_atom"] == pytest.approx(enthalpy(structure), abs=1e-6)
        above = hull.e_above_hull(Composition(row["formula"]), row["energy_per_atom"])
        assert row["e_above_hull"] == pytest.approx(above) and row["scale"] == "toy 1 at 20 GPa"


def test_a_training_structure_is_labelled_with_its_lowest_enthalpy_as_it_is_compressed(run, documents):
    (dataset,), (labels,) = documents(run, build_dataset), documents(run, label_dataset)
    crystals = {row["id"]: structure_of(row) for row in read_lines(dataset.crystals)}
    energies = [row for row in read_lines(labels.labels) if row["energy_per_atom"] is not None]
    for row in energies[::20]:
        crystal = crystals[row["id"]]
        near = [enthalpy(crystal.copy().scale_lattice(crystal.volume * scale)) for scale in (0.7, 0.8, 0.9, 1.0)]
        assert row["energy_per_atom"] <= min(near) + 2e-3
    assert labels.evaluations["labels"] > 3 * len(crystals)


def test_the_report_speaks_of_enthalpies(run):
    methods = methods_paragraph(RunDirectory.open(run))
    assert "Enthalpies above the convex hull at 20 GPa" in methods and "solids" in methods
    page = build_report(run).read_text()
    assert "enthalpy above the hull at 20 GPa" in page and "The hull at 20 GPa rests on" in page
